# labels: quick once
"""`throughcare audit report` and `follow`: a year of the log as a page, and the log as it grows."""
import html.parser
import signal
import subprocess
import os

import pytest

from harness import PATIENCE_S, STUDY, THROUGHCARE, Unit, make_registers, tool
from log_server import Log, Server

AUDIT_FAILED = 76


class Page(html.parser.HTMLParser):
    """Well-formed: what opens, closes; collects cells of tables, and looks for anything from elsewhere."""

    VOID = {'meta', 'rect', 'path'}

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.outside, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [v for k, v in attributes if k in ('src', 'href', 'xlink:href', 'onload', 'onclick')]
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if any(t in self.open for t in ('td', 'th')):
            self.rows[-1][-1] += data


@pytest.fixture
def place(tmp_path):
    tool('keys', 'init', tmp_path / 'keys', '--study', STUDY)
    server = Server(tmp_path / 'keys')
    server.log, server.vkey = Log(tmp_path / 'keys'), tmp_path / 'keys/log.vkey'
    yield server
    server.close()


def test_report_of_a_real_run(tmp_path):
    with Unit(tmp_path / 'unit') as unit:
        registers = make_registers(tmp_path / 'registers', 200)
        unit.push_registers(registers)
        unit.publish()
        unit.as_('analyst', 'query', 'continuity_by_quarter')
        assert unit.request('analyst', 'GET', '/v1/status')[0] == 403
        unit.refusals(1)                        # written while its client has the answer already
        assert unit.post_batch('prison', b'nonsense')[0] == 400
        year = int(unit.entries()[-1]['t'][:4])
        out = tmp_path / 'report.html'
        unit.as_('auditor', 'audit', 'report', '--vkey', unit.keys / 'log.vkey', '--year', year, '-o', out)
        page, entries = Page(out.read_text()), unit.entries()
        assert not page.outside and 'script' not in page.tags and page.tags.count('svg') == 2
        sent = {e['source']: e['records'] for e in entries if e['kind'] == 'batch'}
        for source, n in sent.items():
            assert ['■ ' + source, '1', str(n), '0'] in page.rows
        release = next(e for e in entries if e['kind'] == 'release')
        started = next(e for e in entries if e['kind'] == 'release_started')
        row = next(row for row in page.rows if row[-1] == release['digest'])
        assert row[0] == '1' and row[4] == f'{started["rho_micro"] / 1e6:.6f}' and row[3] == str(sum(sent.values()))
        assert [r[1:] for r in page.rows if r[1:2] in (['request'], ['batch'])] == [
            ['request', 'analyst', '/v1/status', 'forbidden'], ['batch', 'prison', 'prison', 'malformed']]
        assert ['analyst', '1'] in page.rows
        assert 'No release of this year says anything of it' in out.read_text()     # a study without counts of links

        # Another year has the same log and nothing of this one.
        unit.as_('auditor', 'audit', 'report', '--vkey', unit.keys / 'log.vkey', '--year', year - 1, '-o', out)
        assert 'None in this year' in out.read_text() and release['digest'] not in out.read_text()


def test_hostile_log(place, tmp_path):
    """Markup in the log stays text; a log that breaks a rule gives no page."""
    out = tmp_path / 'report.html'
    options = ['--vkey', place.vkey, '--year', 2026, '-o', out]
    place.log.add('refused', 1, route='<script>alert("1")</script>&\'\u0007', reason='x' * 300)
    for n in range(5100):
        place.log.add('refused', 2, route='/metrics', reason='forbidden', not_logged_before=2)
    place.files = place.log.files()
    tool('audit', 'report', *options, env=place.environment)
    page = Page(out.read_text())
    assert 'script' not in page.tags
    assert any(row[3:4] == ['<script>alert("1")</script>&\'?'] for row in page.rows)
    assert '5101 requests and batches; 10200 more' in out.read_text() and 'the first 5000 are listed' in out.read_text()
    out.unlink()
    place.log.add('query', 3, release=1, query='q', answer='0' * 64)
    place.files = place.log.files()
    done = tool('audit', 'report', *options, env=place.environment, check=False)
    assert done.returncode == AUDIT_FAILED and 'no report' in done.stderr and not out.exists()


def test_follow(place):
    """What comes is printed when its checkpoint is verified, once; a fork ends it."""
    for n in range(300):
        place.log.add('refused', n, route=f'/old/{n}', reason='forbidden')
    place.files = place.log.files()
    process = subprocess.Popen([THROUGHCARE, 'audit', 'follow', '--vkey', place.vkey, '--every', '1', '--from', '298'],
                               env={**os.environ, **place.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    try:
        assert '/old/298' in process.stdout.readline()
        assert '/old/299' in process.stdout.readline()
        for n in range(230):
            place.log.add('refused', 400 + n, route=f'/new/{n}', reason='forbidden')
        place.files = place.log.files()
        assert [f'/new/{n}"' in process.stdout.readline() for n in range(230)] == [True] * 230
        place.log.entries[5] = place.log.entries[6]
        place.log.add('refused', 700, route='/forked', reason='forbidden')
        place.files = place.log.files()
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == AUDIT_FAILED and out == '' and 'differs' in err, (out, err)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_filters(place):
    """By kind, client and period; the rest of the log is verified all the same."""
    who = {'client': 'prison-1', 'fp': '0' * 64, 'role': 'submitter'}
    for day in range(4):
        place.log.add('refused', 86400 * day, route=f'/r/{day}', reason='forbidden')
        place.log.add('batch_rejected', 86400 * day + 1, source='prison', reason='malformed', bytes=day, who=who)
    place.files = place.log.files()

    def show(*options):
        lines = tool('audit', 'show', '--vkey', place.vkey, *options, env=place.environment).stdout.splitlines()
        return [int(line.split()[0]) for line in lines]

    assert show() == [*range(8)]
    assert show('--kind', 'refused') == [0, 2, 4, 6]
    assert show('--client', 'prison-1') == [1, 3, 5, 7]
    assert show('--since', '2026-01-02', '--until', '2026-01-03') == [2, 3, 4, 5]
    assert show('--since', '2026-01-02', '--kind', 'refused', '--from', '3') == [4, 6]
    assert tool('audit', 'show', '--vkey', place.vkey, '--every', 3, env=place.environment, check=False).returncode == 64
