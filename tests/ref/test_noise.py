# labels: quick once
"""The reference sampler gives the golden vectors."""
import json
import pathlib

import pytest

from noise import Bits, discrete_gaussian, discrete_laplace

VECTORS = json.loads((pathlib.Path(__file__).parents[1] / 'data/vectors/discrete_gaussian.json').read_text())['vectors']


@pytest.mark.parametrize('vector', VECTORS, ids=lambda v: f"{v['sampler']}-{v.get('sigma2', v.get('scale'))}-{v['seed_hex'][-2:]}")
def test_golden(vector):
    bits = Bits(bytes.fromhex(vector['seed_hex']))
    if vector['sampler'] == 'discrete_gaussian':
        got = [discrete_gaussian(vector['sigma2'], bits) for _ in vector['samples']]
    else:
        got = [discrete_laplace(vector['scale'], bits) for _ in vector['samples']]
    assert got == vector['samples']
