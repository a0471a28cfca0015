# labels: quick once
"""Revocation and renewal of the access file while clients ask without a pause: nobody who may is refused, and who was
revoked, or whose rule was taken away, is not answered any more a second later.

Two things are asserted. Of what is sent after the daemon said that the new file is in force nothing is answered: without
any margin. And it is in force within a second of the moment the new file is in its place (its ctime), to the sending of the
last request that was still answered; of the time that has passed, that is taken off in which a processor was ready to run
the daemon's threads but another program had it (/proc/PID/task/TID/schedstat), and the time that the disk took to make the log's entry durable,
which the access file waits for. On a machine that does nothing else that is little; both figures are printed (`pytest -s`)."""
import http.client
import pathlib
import re
import threading
import time

from harness import PATIENCE_S, tool, wait_for
from test_access import IN_USE, WithAccess, certificates, fingerprint

N_CLIENTS, N_RENEWALS, N_LEAVERS = 4, 15, 3


class Asker(threading.Thread):
    """Asks again and again, now on a connection that it keeps, now on a new one, until told to stop."""

    def __init__(self, unit, who=None, path='/healthz', cert=None, key=None):
        super().__init__()
        self.unit, self.who, self.path, self.cert, self.key = unit, who, path, cert, key
        self.stop, self.wrong, self.n, self.last_answered = threading.Event(), [], 0, 0.0

    def one(self, connection):
        sent = time.time()
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


def not_ours(unit):
    """Seconds so far in which the daemon's threads waited for a processor, and in which it waited for the disk."""
    waited = 0
    for pid in unit.processes():
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            waited += int((task / 'schedstat').read_text().split()[1])
    text = unit.request('operator', 'GET', '/metrics')[2].decode()
    return waited / 1e9 + int(re.search(r'(?m)^throughcare_commit_microseconds_total (\d+)$', text).group(1)) / 1e6


def watch(unit, leaver, change, path, said):
    """Seconds from the change of that file to the last request of the leaver that was sent and answered: by the clock, and
    without what is not ours."""
    deadline = time.monotonic() + PATIENCE_S
    while leaver.n < 5:
        assert time.monotonic() < deadline and not leaver.wrong, leaver.wrong
        time.sleep(0.01)
    before, n_said, deadline = not_ours(unit), unit.log().count(said), time.monotonic() + PATIENCE_S
    change()
    while unit.log().count(said) == n_said:
        assert time.monotonic() < deadline, unit.log()
        time.sleep(0.005)
    in_force = time.time()
    changed = path.stat().st_ctime
    lost = not_ours(unit) - before
    while len(leaver.wrong) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    leaver.stop.set()
    leaver.join()
    assert len(leaver.wrong) >= 5 and leaver.last_answered <= in_force, (leaver.wrong[:3], leaver.last_answered - in_force)
    took = max(0.0, leaver.last_answered - changed)
    assert took - lost < 1, (took, lost)
    return took, max(0.0, took - lost)


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
                    file, said = ((unit.keys / 'ca' / 'revoked.crl', 'revocation list renewed') if how == 'revoked' else
                                  (unit.access, IN_USE))
                    took[how].append(watch(unit, leaver, change, file, said))
        finally:
            for asker in askers:
                asker.stop.set()
            for asker in askers:
                asker.join()
        assert not [asker.wrong for asker in askers if asker.wrong], [asker.wrong[:3] for asker in askers]
        assert all(asker.n > 20 for asker in askers), [asker.n for asker in askers]
        wait_for(lambda: len(certificates(unit, change='revoked')) == N_LEAVERS, unit.log)
    for how, seconds in took.items():
        print(f'{how}: last answered request {max(s[0] for s in seconds):.3f} s after the change '
              f'({max(s[1] for s in seconds):.3f} s of the daemon\'s own), beside '
              f'{sum(asker.n for asker in askers)} requests of others, none refused')
