#!/usr/bin/env python3
"""Records a second of `throughcare encode`, one core and all, beside what the bare hash calls would take.

    python3 tests/bench/encode.py [--build build/release] [--persons 150000] [--repeat 3] [--rows 10000000 [--profile balanced] [--threads 16]]

A synthetic register of the six-field sample schema (tests/data/study-labelled.yaml) is encoded under the profiles `quality`
and `balanced`. One-core figures are by processor time, so that other load on the machine counts for little. Nothing here is
asserted: the figures of docs/benchmarks.md are from it. With --rows the register is repeated under new record numbers up to so many rows, encoded once
with --profile, and the peak memory is printed.
"""
import argparse
import itertools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = ('  roles: {given_name: given, middle_name: middle, surname: surname, date_of_birth: date, place: place, '
         'postcode: postcode}\n')


PROFILES = ('quality', 'balanced', 'hardened')


def study(profile):
    text = (ROOT / 'tests/data/study-labelled.yaml').read_text()
    text = text.replace('[ost, psychosocial, none]', '[ost, psychosocial, naltrexone, none]')
    if profile == 'quality':
        return text
    text = re.sub(r'  filters:\n.*?(?=^sources:)', '', text, flags=re.S | re.M)
    return text.replace('  profile: quality\n', f'  profile: {profile}\n{ROLES}')


def encode(tool, keys, register, folder, threads):
    """Records per second of processor time and by the clock, and peak memory in KiB."""
    start = time.monotonic()
    process = subprocess.Popen([tool, 'encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret',
                                '--record-key', keys / 'prison/record.key', '--source', 'prison', '-o', folder / 'out.batch',
                                *(['--threads', str(threads)] if threads else []), register], stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f'encode ended with {process.returncode}')
    n = int(re.search(r'(\d+) records', out)[1])
    return n / (usage.ru_utime + usage.ru_stime), n / (time.monotonic() - start), usage.ru_maxrss


def enlarge(register, out, rows):
    """Line by line: the peak memory of a child is never below what its parent held when it was started."""
    written = 0
    with open(out, 'w') as to:
        while written < rows:
            with open(register) as lines:
                header = next(lines)
                if written == 0:
                    to.write(header)
                first = written
                for line in itertools.islice(lines, rows - written):
                    to.write(f'{first}x{line}')
                    written += 1


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--build', default=ROOT / 'build/release', type=pathlib.Path)
    args.add_argument('--persons', default=150_000, type=int)
    args.add_argument('--repeat', default=3, type=int)
    args.add_argument('--rows', type=int)
    args.add_argument('--profile', choices=PROFILES, help='one of them only; with --rows quality if none is named')
    args.add_argument('--threads', type=int, default=0)
    args = args.parse_args()
    tool = args.build / 'tools/throughcare'
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([tool, 'synth', '--persons', str(args.persons), '--seed', '1', '-o', folder / 'r'], check=True,
                       capture_output=True)
        register = folder / 'r/prison.csv'
        (folder / 'quality.yaml').write_text(study('quality'))
        bare = json.loads(subprocess.run([args.build / 'tests/bench_hash', folder / 'quality.yaml', register, '20000'],
                                         check=True, capture_output=True, text=True).stdout)
        print(f'bare hash calls: {bare["records_per_s"]:,} records/s on one core ({bare["calls_per_record"]} calls a record)')
        if args.rows:
            enlarge(register, folder / 'large.csv', args.rows)
            profile = args.profile or 'quality'
            (folder / f'{profile}.yaml').write_text(study(profile))
            subprocess.run([tool, 'keys', 'init', folder / 'k', '--study', folder / f'{profile}.yaml'], check=True, capture_output=True)
            _, by_clock, peak = encode(tool, folder / 'k', folder / 'large.csv', folder, args.threads)
            print(f'{profile}, {args.rows:,} rows: at most {peak / 1024:.0f} MiB of memory; {by_clock:,.0f} records/s by the clock')
            return
        for profile in [args.profile] if args.profile else PROFILES[:2]:
            (folder / f'{profile}.yaml').write_text(study(profile))
            keys = folder / profile
            subprocess.run([tool, 'keys', 'init', keys, '--study', folder / f'{profile}.yaml'], check=True, capture_output=True)
            one = max(encode(tool, keys, register, folder, 1)[0] for _ in range(args.repeat))
            all_cores = max(encode(tool, keys, register, folder, 0)[1] for _ in range(args.repeat))
            print(f'{profile}: {one:,.0f} records/s of processor time ({one / bare["records_per_s"]:.1f} times the bare hash '
                  f'calls); {all_cores:,.0f} records/s by the clock on {len(os.sched_getaffinity(0))} cores')


if __name__ == '__main__':
    main()
