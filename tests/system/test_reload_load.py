# labels: quick once
"""Revocation and renewal of the access file while clients ask without a pause: nobody who may is refused, and who was
revoked, or whose rule was taken away, is not answered any more a second later.

The second is measured from the moment the new file is in its place to the sending of the last request that was still
answered. What is asserted leaves a busy machine time; the figure is printed (`pytest -s`)."""
import http.client
import threading
import time

from harness import PATIENCE_S, tool, wait_for
from test_access import WithAccess, certificates, fingerprint

MARGIN_S = 100      # beside the one second, for a machine that is busy with other things
N_CLIENTS, N_RENEWALS, N_LEAVERS = 4, 15, 3


class Asker(threading.Thread):
    """Asks again and again, now on a connection that it keeps, now on a new one, until told to stop."""

    def __init__(self, unit, who=None, path='/healthz', cert=None, key=None):
        super().__init__()
        self.unit, self.who, self.path, self.cert, self.key = unit, who, path, cert, key
        self.stop, self.wrong, self.n, self.last_answered = threading.Event(), [], 0, 0.0

    def one(self, connection):
        sent = time.monotonic()
        connection.request('GET', self.path)
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            self.n, self.last_answered = self.n + 1, sent
        else:
            self.wrong.append(response.status)

    def run(self):
        while not self.stop.is_set():
            connection = http.client.HTTPConnection('localhost', self.unit.port)
            try:
                connection.sock = self.unit.tls(self.who, self.cert, self.key, timeout=PATIENCE_S)
                for _ in range(10):
                    self.one(connection)
                    if self.stop.is_set():
                        break
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(error)
            finally:
                connection.close()


def watch(leaver, change, margin=MARGIN_S):
    """Seconds from the change to the last request of the leaver that was sent and answered."""
    deadline = time.monotonic() + PATIENCE_S
    while leaver.n < 5:
        assert time.monotonic() < deadline and not leaver.wrong, leaver.wrong
        time.sleep(0.01)
    change()
    changed = time.monotonic()
    deadline = changed + margin + 1
    while len(leaver.wrong) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    refused_at = time.monotonic()
    n = leaver.n
    while time.monotonic() < refused_at + 0.5:              # and it stays so
        time.sleep(0.05)
    leaver.stop.set()
    leaver.join()
    assert len(leaver.wrong) >= 3 and leaver.n == n, (leaver.n, n, leaver.wrong[:3])
    took = max(0.0, leaver.last_answered - changed)
    assert took < 1 + margin, took
    return took


def test_under_load(tmp_path):
    with WithAccess(tmp_path / 'unit', '{}\n', max_connections_per_client=64) as unit:
        base = 'requests_per_minute: 900000\ncertificates:\n' + unit.rule('analyst', 'roles: [analyst]')
        unit.renew(base, 'access file in use')
        askers = [Asker(unit, who, path) for who, path in (
            ('analyst', '/v1/tables'), ('auditor', '/audit/checkpoint'), ('operator', '/v1/status'), ('prison', '/v1/study'))]
        assert len(askers) == N_CLIENTS
        for asker in askers:
            asker.start()
        took = {'revoked': [], 'rule taken away': []}
        try:
            for n in range(N_RENEWALS):
                unit.renew(f'{base}  requests_per_minute: {500000 + n}\n', 'access file in use')
            for n in range(N_LEAVERS):
                for how in took:
                    path = tmp_path / f'leaver{n}-{how[:4]}'
                    tool('keys', 'cert', '--ca', unit.keys / 'ca', '--client', path.name, '--role', 'analyst', '-o', path)
                    new = unit.access.with_suffix('.new')
                    new.write_text(f'{base}- fingerprint: {fingerprint(f"{path}.crt")}\n  roles: []\n')

                    def change():
                        if how == 'revoked':
                            tool('keys', 'revoke', '--ca', unit.keys / 'ca', f'{path}.crt')
                        else:
                            new.rename(unit.access)

                    leaver = Asker(unit, cert=f'{path}.crt', key=f'{path}.key')
                    leaver.start()
                    took[how].append(watch(leaver, change))
        finally:
            for asker in askers:
                asker.stop.set()
            for asker in askers:
                asker.join()
        assert not [asker.wrong for asker in askers if asker.wrong], [asker.wrong[:3] for asker in askers]
        assert all(asker.n > 20 for asker in askers), [asker.n for asker in askers]
        wait_for(lambda: len(certificates(unit, change='revoked')) == N_LEAVERS, unit.log)
    for how, seconds in took.items():
        print(f'{how}: last answered request {max(seconds):.3f} s after the change, beside '
              f'{sum(asker.n for asker in askers)} requests of others, none refused')
