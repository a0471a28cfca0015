# labels: quick once
"""What `throughcare encode` holds while a register runs through it: not more with many threads than with one, and with what ten million
rows add for finding repeated records still below 100 MB."""
import itertools
import pathlib
import subprocess

from harness import PATIENCE_S, SOURCE, THROUGHCARE, make_registers, tool

ROWS = 100_000
# Record numbers in memory before they are sorted into a file (16 MiB), and a byte of filter a row after that.
TEN_MILLION_ROWS = (16 << 20) + 10_000_000


def peak_memory(keys, register, out, threads):
    """Encode the register over and over under new record numbers from a pipe; the peak once all but the last rows are through."""
    process = subprocess.Popen([THROUGHCARE, 'encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret',
                                '--record-key', keys / 'prison/record.key', '--source', 'prison', '--threads', str(threads), '-o', out,
                                '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    header, *rows = register.read_text().splitlines(keepends=True)
    process.stdin.write(header)
    for i, row in enumerate(itertools.islice(itertools.cycle(rows), ROWS)):
        process.stdin.write(f'{i}x{row}')
    # It waits for the end of its input now, so what it was can be asked.
    process.stdin.flush()
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    summary, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and f'{ROWS} records' in summary
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith('VmHWM:'))


def test_threads_take_no_more_memory(tmp_path):
    keys = tmp_path / 'keys'
    tool('keys', 'init', keys, '--study', SOURCE / 'tests/data/study-fields.yaml')
    register = make_registers(tmp_path / 'r', 4000) / 'prison.csv'
    peak = {n: peak_memory(keys, register, tmp_path / 'out.batch', n) for n in (1, 2, 16)}
    print({n: f'{bytes_ / 1e6:.1f} MB' for n, bytes_ in peak.items()})
    assert max(peak.values()) - peak[1] < 12 << 20
    assert max(peak.values()) + TEN_MILLION_ROWS < 100_000_000
