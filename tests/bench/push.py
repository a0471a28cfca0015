"""How many records a second custodians push durably: the real daemon, the real client, mutual TLS, the client on the same machine.

usage: python3 tests/bench/push.py [--records 300000] [--runs 3] [BUILD]

Every batch is acknowledged after its commit is on the disk. Beside the clock it prints processor time, of daemon and client
together, a record: on a machine with other work the clock says what was left over, and processor time what it takes.
"""
import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time


def children_seconds():
    t = os.times()
    return t.children_user + t.children_system


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--records', type=int, default=300000)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--batch-records', type=int, default=4096)
    parser.add_argument('build', nargs='?', default='build/release')
    args = parser.parse_args()
    source = pathlib.Path(__file__).resolve().parents[2]
    os.environ['TC_BINARY_DIR'] = str(pathlib.Path(args.build).resolve())
    sys.path.insert(0, str(source / 'tests' / 'system'))
    from harness import FIELDS, Unit, make_registers

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        registers = make_registers(folder / 'registers', args.records // 3, 1)
        first = Unit(folder / 'first', FIELDS)
        first.encode('prison', registers / 'prison.csv', folder / 'prison.batch', '--batch-records', args.batch_records)
        records = sum(1 for _ in open(registers / 'prison.csv')) - 1
        size = (folder / 'prison.batch').stat().st_size
        clock, busy = [], []
        for run in range(args.runs):
            with Unit(folder / f'run{run}', like=first, store_map_bytes='8G') as unit:
                before, children, start = unit.processor_seconds(), children_seconds(), time.monotonic()
                unit.push('prison', folder / 'prison.batch')
                clock.append(records / (time.monotonic() - start))
                used = unit.processor_seconds() - before + children_seconds() - children
                busy.append(used / records)
                print(f'run {run + 1}: {records} records, {size / 1e6:.0f} MB: {clock[-1]:,.0f} records/s by the clock, '
                      f'{1e6 * busy[-1]:.2f} µs of processor time a record', flush=True)
    cores = os.cpu_count()
    print(f'median: {statistics.median(clock):,.0f} records/s by the clock; {1e6 * statistics.median(busy):.2f} µs a record, which is '
          f'{cores / statistics.median(busy):,.0f} records/s on {cores} cores with nothing else to do')


if __name__ == '__main__':
    main()
