# labels: quick once
"""What an operator sees at night: figures that answer a question, and warnings before a limit is met."""
import datetime
import json
import re
import shutil
import subprocess
import time

import pytest

from harness import Unit, batches_of, make_registers, wait_for


def metrics(unit):
    code, headers, body = unit.request('operator', 'GET', '/metrics')
    assert code == 200 and headers['Content-Type'].startswith('text/plain')
    lines = [line for line in body.decode().splitlines() if not line.startswith('#')]
    found = {name: int(value) for name, value in (line.rsplit(' ', 1) for line in lines)}
    assert len(found) == len(lines), 'each figure once'
    return {name.removeprefix('throughcare_'): value for name, value in found.items()}


def ends_of(unit):
    """When the certificate, the authority and the revocation list run out, as openssl reads them."""
    out = []
    for kind, path, option in (('x509', 'daemon/tls.crt', '-enddate'), ('x509', 'ca/ca.crt', '-enddate'),
                               ('crl', 'ca/revoked.crl', '-nextupdate')):
        text = subprocess.run(['openssl', kind, '-noout', option, '-in', unit.keys / path], capture_output=True, text=True,
                              check=True).stdout.split('=', 1)[1].strip()
        when = datetime.datetime.strptime(text, '%b %d %H:%M:%S %Y %Z').replace(tzinfo=datetime.timezone.utc)
        out.append(int(when.timestamp()))
    return out


def test_figures(tmp_path):
    registers = make_registers(tmp_path / 'registers', 200)
    with Unit(tmp_path / 'unit') as unit:
        wait_for(lambda: metrics(unit)['expiry_timestamp_seconds'] > 0, 'the front has counted')
        before = metrics(unit)
        assert before['expiry_timestamp_seconds'] == min(ends_of(unit))
        unit.push_registers(registers)
        assert unit.request('analyst', 'GET', '/v1/status')[0] == 403
        with unit.tls('analyst'), unit.tls('auditor'):      # open at any moment, whatever the question's own one does
            wait_for(lambda: metrics(unit)['connections'] >= 2, 'open connections are counted')
        pushed = sum(len(batches_of(unit.folder / f'{s}.batch')) for s in ('prison', 'treatment'))

        def counted():
            now = metrics(unit)
            return now['http_refused_total'] > before['http_refused_total'] and \
                now['connections_total'] > before['connections_total']
        wait_for(counted, 'what the front refused is counted')
        unit.publish()
        after = metrics(unit)
        assert after['commits_total'] >= before['commits_total'] + min(pushed, 1)
        assert after['commit_microseconds_total'] >= after['commit_slowest_microseconds'] > 0
        assert after['rho_left_millionths'] == after['rho_limit_millionths'] - after['rho_spent_millionths']
        started = [e['t'] for e in unit.entries() if e['kind'] == 'release_started'][0]
        at = datetime.datetime.strptime(started, '%Y-%m-%dT%H:%M:%SZ').replace(tzinfo=datetime.timezone.utc)
        assert before['release_timestamp_seconds'] == 0 and 0 <= at.timestamp() - after['release_timestamp_seconds'] < 600
        assert (after['records_pending'], after['compare_failed'], after['release_failed']) == (0, 0, 0)
        assert after['rho_spent_millionths'] > 0 == before['rho_spent_millionths']
        assert 'less than' not in unit.log(), 'nothing is near its limit'
        status = unit.status()
        assert status['attention'] == [] and status['release']['last'] == started and status['writing']['slowest_us'] > 0
        assert datetime.datetime.fromisoformat(status['expires']).timestamp() == min(ends_of(unit))
        shown = unit.as_('operator', 'admin', 'status').stdout
        assert re.match(r'attention +-\n', shown) and re.search(r'\n  slowest +\d+\.\d{3} ms\n', shown), shown


def test_warnings(tmp_path):
    """A disk that is nearly full, as the configuration has it: said once, not at every look."""
    if shutil.disk_usage(tmp_path).free >= 2 << 40:
        pytest.skip('more than 2 TiB are free here: no configuration calls that nearly full')
    with Unit(tmp_path / 'unit', store_min_free_bytes='1T') as unit:
        wait_for(lambda: 'twice store_min_free_bytes' in unit.log(), 'a warning')
        time.sleep(2.5)
        assert len(re.findall('twice store_min_free_bytes', unit.log())) == 1
        assert 'store_map_bytes is left' not in unit.log()
        assert [text for text in unit.status()['attention'] if 'twice store_min_free_bytes' in text]
        assert 'twice store_min_free_bytes' in unit.as_('operator', 'admin', 'status').stdout.split('\n')[1]


def test_log_of_json(tmp_path):
    """`log: json`: every line of both processes is an object, and has no more in it than the text form."""
    with Unit(tmp_path / 'unit', log='json') as unit:
        unit.request('operator', 'GET', '/metrics')
        assert unit.request('analyst', 'GET', '/v1/status')[0] == 403
    lines = [json.loads(line) for line in unit.log().splitlines()]
    assert len(lines) > 5 and {line['component'] for line in lines} >= {'core', 'front'}
    for line in lines:
        assert set(line) == {'time', 'level', 'component', 'pid', 'message'} and line['level'] in ('error', 'warning', 'info')
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', line['time'])
