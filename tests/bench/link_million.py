#!/usr/bin/env python3
"""Seconds, processor seconds and memory of linking two large registers of invented people, from comparing to persons.

    python3 tests/bench/link_million.py [--build build/release] [--rows 1000000] [--profile quality] [--floor 10]

Two registers of --rows records, one record a person in each, about half of the people in both (`throughcare synth`), are
linked by `throughcare lab link`: every pair of records, within a register and across, is compared exactly. Nothing here is
asserted: the figures of docs/benchmarks.md are from it. The comparison across is what of the time of comparing the second
register with both is not within it.
"""
import argparse
import csv
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def study(profile, floor):
    source = 'study-labelled.yaml' if profile == 'quality' else 'study-hardened.yaml'
    text = (ROOT / 'tests/data' / source).read_text()
    text = text.replace('[ost, psychosocial, none]', '[ost, psychosocial, naltrexone, none]')
    text = re.sub(r'(?m)^  profile: .*$', f'  profile: {profile}', text)
    return re.sub(r'(?m)^  floor: .*$', f'  floor: {floor}', text)


def one_record_a_person(folder, rows):
    """Keep the first record of each person in each register, and the truth of what is kept."""
    kept = {}
    for source in ('prison', 'treatment'):
        seen, kept[source] = set(), set()
        with open(folder / f'{source}.csv', newline='') as f, open(folder / f'{source}-1.csv', 'w', newline='') as out:
            reader, writer = csv.reader(f), csv.writer(out)
            header = next(reader)
            writer.writerow(header)
            person = header.index('person_id')
            for row in reader:
                if row[person] in seen or len(seen) == rows:
                    continue
                seen.add(row[person])
                kept[source].add(row[0])
                writer.writerow(row)
        if len(seen) < rows:
            raise SystemExit(f'{source}: {len(seen)} people only')
    with open(folder / 'truth.csv', newline='') as f, open(folder / 'truth-1.csv', 'w', newline='') as out:
        reader, writer = csv.reader(f), csv.writer(out)
        writer.writerow(next(reader))
        writer.writerows(row for row in reader if row[1] in kept[row[0]])


def prepare(tool, folder, rows):
    if not (folder / 'truth-1.csv').exists():
        subprocess.run([tool, 'synth', '--persons', str(rows * 145 // 100), '--seed', '1', '--releases-per-person', '1', '--rare-names', '60',
                        '-o', folder], check=True, capture_output=True)
        one_record_a_person(folder, rows)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--build', default=ROOT / 'build/release', type=pathlib.Path)
    args.add_argument('--rows', default=1_000_000, type=int)
    args.add_argument('--profile', default='quality')
    args.add_argument('--floor', default=10, type=float)
    args.add_argument('--threads', type=int, default=os.cpu_count())
    args.add_argument('--keep', type=pathlib.Path, help='folder of registers, made there if they are not')
    args = args.parse_args()
    tool = args.build / 'tools/throughcare'
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or pathlib.Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(tool, folder, args.rows)
        path = pathlib.Path(name) / 'study.yaml'
        path.write_text(study(args.profile, args.floor))
        keys = pathlib.Path(name) / 'keys'
        subprocess.run([tool, 'keys', 'init', keys, '--study', path], check=True, capture_output=True)
        start = time.monotonic()
        process = subprocess.Popen([tool, 'lab', 'link', '--study', path, '--secret', keys / 'custodians/main.secret',
                                    '--truth', folder / 'truth-1.csv', '--threads', str(args.threads),
                                    folder / 'prison-1.csv', folder / 'treatment-1.csv'], stdout=subprocess.PIPE, text=True)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit('throughcare lab link failed')
        report = json.loads(out)
        report.pop('plan', None)
        report['wall_seconds'] = time.monotonic() - start
        report['processor_seconds_all'] = usage.ru_utime + usage.ru_stime
        print(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
