#!/usr/bin/env python3
"""Seconds and memory of one release over a large register, by the real daemon, once all records are compared.

    python3 tests/bench/release.py [--build build/release] [--events 10000000] [--keep FOLDER]

Two synthetic registers (`throughcare synth --rare-names 60`), in which all people live the same three years three times over, are
encoded, pushed and compared; then a release is asked for and waited for. What is counted: reading every stored record, the model, thresholds, persons, seven tables of three measures with
noise and consistent margins, and the entry that makes it public. Comparing is not in it, it goes on while records come. The
clock is the daemon's own between asking and `done`; processor time is that of both its processes. Nothing is asserted.

With --keep the compared unit stays in FOLDER and is used again: each run works on a copy of its store.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVENTS_A_PERSON = 9.7    # of synth, with three releases at most, and lived again: some 3.4 and 2 · 3.1
TABLES = """measures:
  continuity: {kind: continuity, bands: [7, 14, 21, 28, 90]}
  return: {kind: return, bands: [30, 90, 365]}
  mortality: {kind: mortality, bands: [14, 28, 365]}

tables:
  continuity_by_quarter: {measure: continuity, period: quarter, by: [], sigma2: 20}
  continuity_by_intervention: {measure: continuity, period: quarter, by: [intervention, sex], sigma2: 10}
  continuity_by_region: {measure: continuity, period: quarter, by: [region], sigma2: 10}
  continuity_by_drug: {measure: continuity, period: quarter, by: [drug], sigma2: 10}
  continuity_by_age: {measure: continuity, period: quarter, by: [age_band], sigma2: 10}
  return_by_intervention: {measure: return, period: year, by: [intervention, sex], sigma2: 10}
  mortality_by_intervention: {measure: mortality, period: year, by: [intervention], sigma2: 10}

"""


def study(path, floor):
    text = (ROOT / 'tests/data/study-labelled.yaml').read_text()
    text = text.replace('[ost, psychosocial, none]', '[ost, psychosocial, naltrexone, none]')
    text = re.sub(r'(?m)^  floor: .*$', f'  floor: {floor}', text)
    text = re.sub(r'(?ms)^measures:.*?(?=^disclosure:)', TABLES, text)
    path.write_text(text.replace('linkage_sigma2: 20', 'linkage_sigma2: 20\n  linkage_by: intervention'))
    return path


def live_again(path, years=(3, 6)):
    """All rows but deaths once more, so many years before."""
    with open(path) as f:
        header, *lines = f.read().splitlines()
    date, event = header.split(',').index('event_date'), header.split(',').index('event')
    with open(path, 'a') as out:
        for back in years:
            for line in lines:
                cells = line.split(',')
                if cells[event] == 'death':
                    continue
                cells[0] += f'-{back}'
                day = cells[date]
                cells[date] = f'{int(day[:4]) - back}{"-02-28" if day.endswith("-02-29") else day[4:]}'
                out.write(','.join(cells) + '\n')


def peak_mib(unit):
    text = pathlib.Path(f'/proc/{unit.processes()[0]}/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+)', text).group(1)) / 1024


def wait_until(unit, done, patience_s=24 * 3600):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        status = unit.status()
        if status['comparing']['error'] is not None or status['release']['error'] is not None:
            raise SystemExit(f'failed: {status}')
        if done(status):
            return status
        time.sleep(0.1)
    raise SystemExit('too long')


def prepare(args, folder, harness):
    """A unit that holds all records, compared, in `folder`."""
    registers = folder / 'registers'
    unit = harness.Unit(folder / 'unit', study(folder / 'study.yaml', args.floor), store_map_bytes='64G', memory_lock='try')
    with unit:
        harness.make_registers(registers, int(args.events / EVENTS_A_PERSON), 1, '--rare-names', 60)
        for source in ('prison', 'treatment'):
            live_again(registers / f'{source}.csv')
            unit.encode(source, registers / f'{source}.csv', folder / 'batch')
            (registers / f'{source}.csv').unlink()
            unit.push(source, folder / 'batch')
            (folder / 'batch').unlink()
        print('pushed; comparing', flush=True)
        wait_until(unit, lambda s: s['comparing']['pending_records'] == 0)
        print(f'compared: {unit.processor_seconds():.0f} s of processor time of the daemon so far', flush=True)
    return unit


def measure(unit, harness, events):
    unit.start()
    try:
        wait_until(unit, lambda s: s['comparing']['pending_records'] == 0)
        resident = peak_mib(unit)
        busy, start = unit.processor_seconds(), time.monotonic()
        code, _, body = unit.request('operator', 'POST', '/v1/releases', b'{"as_of":"2025-12-31"}', {'Content-Type': 'application/json'})
        if code not in (200, 201, 202):
            raise SystemExit(f'no release: {body!r}')
        wait_until(unit, lambda s: s['release']['state'] == 'done')
        clock, busy = time.monotonic() - start, unit.processor_seconds() - busy
        records = sum(s['records'] for s in unit.status()['sources'])
        print(json.dumps({'records': records, 'seconds': round(clock, 1), 'processor_seconds': round(busy, 1),
                          'cores_busy': round(busy / clock, 2), 'resident_mib': round(resident), 'peak_mib': round(peak_mib(unit))}))
    finally:
        unit.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=ROOT / 'build/release', type=pathlib.Path)
    parser.add_argument('--events', default=10_000_000, type=int)
    parser.add_argument('--floor', default=10, type=float)
    parser.add_argument('--runs', default=1, type=int)
    parser.add_argument('--keep', type=pathlib.Path)
    args = parser.parse_args()
    os.environ['TC_BINARY_DIR'] = str(args.build.resolve())
    sys.path.insert(0, str(ROOT / 'tests/system'))
    import harness

    harness.PATIENCE_S = 24 * 3600
    with tempfile.TemporaryDirectory() as name:
        folder = (args.keep or pathlib.Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / 'compared').exists():
            shutil.rmtree(folder / 'unit', ignore_errors=True)
            prepare(args, folder, harness)
            (folder / 'compared').touch()
        for run in range(args.runs):
            copy = folder / f'run{run}'
            shutil.rmtree(copy, ignore_errors=True)
            # Keys with the store in them; a sparse map stays sparse.
            subprocess.run(['cp', '-r', '--sparse=always', folder / 'unit', copy], check=True)
            unit = harness.Unit.__new__(harness.Unit)
            unit.__dict__.update(folder=copy, keys=copy / 'keys', daemon=None, program=harness.THROUGHCARED, log_path=copy / 'daemon.log',
                                 study=copy / 'keys/study.yaml', conf_path=copy / 'keys/daemon/throughcared.yaml')
            unit.conf_path.write_text(unit.conf_path.read_text().replace(str(folder / 'unit'), str(copy)))
            try:
                measure(unit, harness, args.events)
            finally:
                shutil.rmtree(copy, ignore_errors=True)


if __name__ == '__main__':
    main()
