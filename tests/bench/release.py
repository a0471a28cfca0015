#!/usr/bin/env python3
"""Seconds and memory of one release over a large register, by the real daemon, once all records are compared; how long
receipts take meanwhile; and how long 50 clients wait for answers from it (tests/bench/serve.py).

    python3 tests/bench/release.py [--build build/release] [--events 10000000] [--keep FOLDER]

Two synthetic registers (`throughcare synth --rare-names 60`), in which all people live the same three years three times over, are
encoded, pushed and compared; then a release is asked for and waited for. What is counted: reading every stored record, the model, thresholds, persons, seven tables of three measures with
noise and consistent margins, and the entry that makes it public. Comparing is not in it, it goes on while records come. The
clock is that between asking and `done`; processor time is that of both its processes. Before and meanwhile a custodian sends
batches of one record, each over a connection of its own. Nothing is asserted.

With --keep the compared unit stays in FOLDER and is used again: each run works on a copy of its store.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import serve

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
    unit = harness.Unit(folder / 'unit', study(folder / 'study.yaml', args.floor), store_map_bytes='64G', memory_lock='try',
                        max_connections=1024, max_connections_per_client=1024)
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


class Pusher(threading.Thread):
    """A custodian who sends small batches, one after the other, and waits for the receipt of each."""

    def __init__(self, unit, batches):
        super().__init__()
        self.unit, self.batches, self.waits, self.refused, self.over = unit, batches, [], [], threading.Event()

    def send(self, batch):
        start = time.monotonic()
        code, _, body = self.unit.post_batch('prison', batch)
        self.waits.append(1000 * (time.monotonic() - start))
        if code != 201:
            self.refused.append((code, body))

    def run(self):
        while self.batches and not self.over.wait(0.25):
            self.send(self.batches.pop())

    def say(self, when):
        if self.refused:
            raise SystemExit(f'no receipt: {self.refused[0]}')
        print(f'{len(self.waits)} receipts {when}: half within {statistics.median(self.waits):.0f} ms, all within '
              f'{max(self.waits):.0f} ms', flush=True)


def small_batches(unit, folder, harness, n=240):
    """So many batches of one record each, of people that the register does not have."""
    batches = folder / 'small'
    shutil.rmtree(batches, ignore_errors=True)
    batches.mkdir()
    rows = harness.read_csv(harness.make_registers(batches / 'registers', 2 * n, 2) / 'prison.csv')[:n]
    for i, row in enumerate(rows):
        row['record_id'] = f'late-{i}'
        harness.write_csv(batches / f'{i}.csv', [row])
        unit.encode('prison', batches / f'{i}.csv', batches / f'{i}')
    return [(batches / f'{i}').read_bytes() for i in range(len(rows))]


def measure(unit, harness, folder):
    batches = small_batches(unit, folder, harness)
    unit.start()
    try:
        wait_until(unit, lambda s: s['comparing']['pending_records'] == 0)
        quiet, beside = Pusher(unit, batches), Pusher(unit, batches)
        for _ in range(20):
            quiet.send(batches.pop())
        quiet.say('before')
        wait_until(unit, lambda s: s['comparing']['pending_records'] == 0)
        resident = peak_mib(unit)
        busy, start = unit.processor_seconds(), time.monotonic()
        code, _, body = unit.request('operator', 'POST', '/v1/releases', b'{"as_of":"2025-12-31"}', {'Content-Type': 'application/json'})
        if code not in (200, 201, 202):
            raise SystemExit(f'no release: {body!r}')
        beside.start()
        wait_until(unit, lambda s: s['release']['state'] == 'done')
        clock, busy = time.monotonic() - start, unit.processor_seconds() - busy
        peak = peak_mib(unit)
        beside.over.set()
        beside.join()
        beside.say('meanwhile')
        print(re.findall(r'release 1: (records .*)', unit.log())[-1])
        records = sum(s['records'] for s in unit.status()['sources'])
        print(json.dumps({'records': records, 'seconds': round(clock, 1), 'processor_seconds': round(busy, 1),
                          'cores_busy': round(busy / clock, 2), 'resident_mib': round(resident), 'peak_mib': round(peak),
                          'load': os.getloadavg()[0]}), flush=True)
        wait_until(unit, lambda s: s['comparing']['pending_records'] == 0)
        serve.waiting_times(unit, argparse.Namespace(seconds=3, rounds=5))
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
                measure(unit, harness, folder)
            finally:
                shutil.rmtree(copy, ignore_errors=True)


if __name__ == '__main__':
    main()
