"""Packages from the npm registry, which may be away."""
import re
import shutil
import subprocess

import pytest

# What npm says when it is the network or the registry, not the package.
NPM_NETWORK = re.compile(r'ENOTFOUND|EAI_|ECONN|ETIMEDOUT|ENETUNREACH|ENETDOWN|EHOSTUNREACH|EPIPE|ERR_SOCKET|socket hang up|'
                         r'network|ERR_SSL|_CERT|UNABLE_TO_|\bE429\b|\bE5\d\d\b|\b50[0-4]\b')


def npm_packages(source, folder, without):
    """Install a lock file's packages into a folder; skips, and says what was not done, without npm or network."""
    if shutil.which('npm') is None or shutil.which('node') is None:
        pytest.skip(f'npm and node are not here: {without}')
    for name in ('package.json', 'package-lock.json'):
        shutil.copy(source / name, folder)
    try:
        done = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-timeout=20000',
                               '--fetch-retries=0'], cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f'the npm registry does not answer in time: {without}')
    if done.returncode != 0 and NPM_NETWORK.search(done.stderr):
        pytest.skip(f'the npm registry cannot be reached: {without}')
    assert done.returncode == 0, done.stderr
    return folder
