# labels: quick once
"""The restore drill: batches, a backup, more batches, the store is gone; restore, clients push again what came after, and the
release is that of a run that nothing disturbed. What was signed, charged and published since is not forgotten in silence."""
import json
import random
import shutil
import subprocess

import pytest

from history import History, Line, World, ask_for_release, finish, kill_hard, wait_for_port, wait_for_release
from injection import stop_traced
from harness import PATIENCE_S, THROUGHCARED, read_csv, tool
from test_entry_schema import judge


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    return World(folder, backup_directory=folder / 'backups')


def restore(unit, backup, *options):
    return subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--restore', backup, *options], capture_output=True, text=True,
                          timeout=PATIENCE_S)


def backup_of(world):
    name = world.unit.as_('operator', 'admin', 'backup').stdout.split()[1]
    return world.folder / 'backups' / name


def push(unit, pieces, history):
    with Line(unit) as line:
        for key in pieces:
            code, body = line.post_batch(*key)
            history.answered(key, code, body)
    assert not history.wrong, history.wrong[0]


def lose_the_store(unit):
    kill_hard(unit)
    shutil.rmtree(unit.keys / 'daemon' / 'store')


def test_drill(world):
    unit, before, after = world.unit, History(), History()
    world.put(world.pristine)
    pieces = random.Random(3).sample(world.pieces, len(world.pieces))
    half = len(pieces) // 2
    unit.start()
    push(unit, pieces[:half], before)
    verified = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--state', world.folder / 'early')
    assert verified.returncode == 0
    backup = backup_of(world)
    push(unit, pieces[half:-2], after)                      # two never arrive before the disaster
    unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--state', world.folder / 'late')
    signed = len(unit.entries())
    lose_the_store(unit)

    # The operator must say that entries are given up; until then nothing is there, and the signer has not moved.
    state = (unit.keys / 'daemon' / 'log.key.state').read_text()
    refused = restore(unit, backup)
    assert refused.returncode == 76 and f'but {signed} were signed' in refused.stderr, refused
    assert not list((unit.keys / 'daemon' / 'store').iterdir())
    assert (unit.keys / 'daemon' / 'log.key.state').read_text() == state
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0 and 'signed log entries are lost' in done.stdout, done
    assert restore(unit, backup, '--accept-loss').returncode == 65, 'a store is never overwritten'

    unit.start()
    before.check(unit)                                      # all of before the backup, receipts byte for byte
    lost = unit.entries()
    entry = [e for e in lost if e['kind'] == 'restore']
    assert len(entry) == 1 and entry[0]['signed_entries'] == signed and entry[0]['entries'] == lost.index(entry[0])
    again = History()
    push(unit, pieces[half:-2], again)                      # 201, with receipts of the log as it is now
    assert set(again.receipts) == set(after.receipts)
    assert all(again.receipts[key] != after.receipts[key] for key in again.receipts)
    finish(world)                                           # the rest, the release, and that it is the undisturbed one
    again.check(unit)

    # Whoever saw no more than the backup has goes on; whoever saw what was lost finds the fork, and is told why.
    verify = ('audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--state')
    told = unit.as_('auditor', *verify, world.folder / 'early')
    assert f'{signed - entry[0]["entries"]} signed entries and 0 releases were lost' in told.stdout
    forked = unit.as_('auditor', *verify, world.folder / 'late', check=False)
    assert forked.returncode == 76 and 'restored from a backup' in forked.stderr, forked
    assert unit.stop() == 0, unit.log()


def test_a_lost_release_stays_charged(world):
    """Numbers and charges of releases that were published after the backup go on where they were."""
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    push(unit, world.pieces[1:-1], History())
    code, _ = ask_for_release(unit)
    assert code == 202
    wait_for_release(unit)
    first = unit.release_body(1)
    backup = backup_of(world)
    push(unit, [world.pieces[0], world.pieces[-1]], History())     # of both sources
    assert ask_for_release(unit)[0] == 202
    wait_for_release(unit)
    spent = unit.status()['ledger']['rho_total_micro']
    charged = [e['rho_micro'] for e in unit.entries() if e['kind'] == 'release_started']
    assert len(charged) == 2 and spent == sum(charged)
    lose_the_store(unit)

    # Without the mark beside the signer's state nobody knows what was charged: then it must be stated, and never less.
    mark = unit.keys / 'daemon' / 'log.key.state.ledger'
    kept = mark.read_text()
    assert kept.split()[1:3] == ['2', str(spent)]
    for broken in (None, kept.replace(' 2 ', ' 1 ')):
        mark.unlink(missing_ok=True)
        if broken is not None:
            mark.write_text(broken)
        refused = restore(unit, backup, '--accept-loss')
        assert refused.returncode == 76 and '--charged' in refused.stderr, refused
    mark.write_text(kept)
    for stated in (f'1:{charged[0]}', f'2:{spent - 1}', f'1:{spent}'):
        refused = restore(unit, backup, '--accept-loss', '--charged', stated)
        assert refused.returncode == 76 and 'says more' in refused.stderr, refused
    mark.unlink()                                           # known from the backup alone: it has one release
    refused = restore(unit, backup, '--accept-loss', '--charged', f'1:{spent + 1}')
    assert refused.returncode == 76 and f'they cost {charged[0]}' in refused.stderr, refused
    mark.write_text(kept)
    assert restore(unit, backup, '--accept-loss', '--charged', 'x').returncode == 64
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0, done

    unit.start()
    status = unit.status()
    assert (status['releases'], status['ledger']['rho_total_micro']) == (2, spent)
    assert unit.release_body(1) == first
    code, _, body = unit.request('analyst', 'GET', '/v1/tables')
    assert (code, json.loads(body)['release']) == (200, 1), 'the last one that can be read'
    table = json.loads(body)['tables'][0]['name']
    assert unit.request('analyst', 'GET', f'/v1/tables/{table}?release=1')[0] == 200
    assert unit.request('analyst', 'GET', f'/v1/tables/{table}?release=2')[0] == 404
    push(unit, world.pieces, History())
    code, body = ask_for_release(unit)
    assert (code, body['release']) == (202, 3), body
    wait_for_release(unit)
    assert unit.status()['ledger']['rho_total_micro'] >= spent
    unit.restart()                                          # and the next start finds it all in order
    assert unit.status()['releases'] == 3
    told = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
    assert '2  lost by the restore' in told and 'audit log verified' in told
    report = world.folder / 'report.html'
    unit.as_('auditor', 'audit', 'report', '--vkey', unit.keys / 'log.vkey', '--year', lost_year(unit), '-o', report)
    assert '<td>lost</td>' in report.read_text()
    assert unit.stop() == 0, unit.log()


def test_charged_by_what_others_saw(world):
    """Signer's state and mark are as old as the backup: nothing says that anything is lost but the operator, who knows from
    an auditor what was charged since. That counts; what cannot be is refused."""
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    state = unit.keys / 'daemon' / 'log.key.state'
    signed = state.read_text()
    backup = backup_of(world)
    lose_the_store(unit)
    state.write_text(signed)
    refused = restore(unit, backup, '--accept-loss', '--charged', '0:1')
    assert refused.returncode == 76 and 'has all of these releases, and they cost 0' in refused.stderr, refused
    refused = restore(unit, backup, '--charged', '1:5000')
    assert refused.returncode == 76 and '1 were charged, as --charged says' in refused.stderr, refused
    assert state.read_text() == signed and not list((unit.keys / 'daemon' / 'store').iterdir())
    done = restore(unit, backup, '--accept-loss', '--charged', '1:5000')
    assert done.returncode == 0 and 'charged and are lost: 1;' in done.stdout, done
    unit.start()
    assert (unit.status()['releases'], unit.status()['ledger']['rho_total_micro']) == (1, 5000)
    assert unit.stop() == 0, unit.log()


def withdraw(unit, ids):
    path = unit.folder / 'ids.txt'
    path.write_text(''.join(f'{i}\n' for i in ids))
    return unit.as_('prison', 'push', '--withdraw', path, '--record-key', unit.keys / 'prison' / 'record.key').stdout


def released(unit):
    assert ask_for_release(unit)[0] == 202
    wait_for_release(unit)
    return unit.release_body()


def ids_of_prison(world, first, n):
    return [row['record_id'] for row in read_csv(world.folder / 'registers' / 'prison.csv')][first:first + n]


def erased(n, of=None):
    return f'{of or n} record numbers withdrawn: {n} stored records erased\n'


def withdrawals_again(unit):
    return [e for e in unit.entries() if e['kind'] == 'withdrawal' and 'again' in e and 'who' not in e]


def withdrawn_after_a_backup(world, ids):
    """All is pushed, a backup is made, then these are withdrawn, and the store is lost."""
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    push(unit, world.pieces, History())
    backup = backup_of(world)
    assert withdraw(unit, ids) == erased(len(ids))
    lose_the_store(unit)
    return backup


def test_withdrawals_after_the_backup(world):
    """What was withdrawn after the backup is withdrawn again by the start, before anybody can ask for anything: the release is that
    of a run without the disaster, nobody has to remember, and the records cannot come again."""
    unit, ids = world.unit, ids_of_prison(world, 5, 20)
    world.put(world.pristine)
    unit.start()
    push(unit, world.pieces, History())
    assert withdraw(unit, ids) == erased(20)
    expected = released(unit)
    assert expected != world.body
    assert unit.stop() == 0, unit.log()

    backup = withdrawn_after_a_backup(world, ids)
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0 and 'withdrawn since: 20; the next start withdraws them again' in done.stdout, done
    unit.start()
    assert '20 records of prison that were withdrawn after the backup are withdrawn again: 20 were in the store' in unit.log()
    assert [(e['source'], e['ids'], e['records']) for e in withdrawals_again(unit)] == [('prison', 20, 20)]
    assert released(unit) == expected
    assert withdraw(unit, ids) == erased(0, of=20)
    unit.restart()                                          # once is enough
    assert len(withdrawals_again(unit)) == 1
    unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
    assert unit.stop() == 0, unit.log()


@pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed: cannot kill at a call')
def test_killed_while_withdrawing_again(world):
    """Wherever a start dies that withdraws again, the next one goes on; each record is counted once. Nothing answers before."""
    unit, ids = world.unit, ids_of_prison(world, 0, 200)    # of many chunks, so that there are several entries
    backup = withdrawn_after_a_backup(world, ids)
    assert restore(unit, backup, '--accept-loss').returncode == 0
    image = world.folder / 'restored'
    shutil.copytree(unit.keys / 'daemon', image)
    n_begun = 0
    for call, n in (('fdatasync', 4), ('fdatasync', 7), ('fdatasync', 9), ('fdatasync', 12), ('rename', 4)):
        world.put(image)
        before = len(unit.log())
        unit.start(ready=False, wrapper=[shutil.which('strace'), '-f', '-qqq', '-o', '/dev/null', '-e', f'trace={call}', '-e',
                                         f'inject={call}:signal=SIGKILL:when={n}'])
        if wait_for_port(unit):                             # it was over before
            stop_traced(unit)
        else:
            unit.daemon.wait(PATIENCE_S)
            unit.daemon = None
        n_begun += 'withdrawn again' not in unit.log()[before:]
        unit.start()
        entries = withdrawals_again(unit)
        assert sum(e['records'] for e in entries) == sum(e['ids'] for e in entries) == len(ids), entries
        assert withdraw(unit, ids) == erased(0, of=len(ids))
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
        assert unit.stop() == 0, unit.log()
    assert n_begun > 0


def does_not_start(unit, status):
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == status, unit.log()
    unit.daemon = None


def test_the_list_of_withdrawals_is_lost_or_damaged(world):
    """Then it is not known what was withdrawn since. The operator is told; nothing is served from a store that is known to lack
    something; what was withdrawn again by its source counts."""
    unit, ids = world.unit, ids_of_prison(world, 40, 3)
    backup = withdrawn_after_a_backup(world, ids)
    listed = unit.keys / 'daemon' / 'log.key.state.withdrawn'
    kept = listed.read_text()
    lines = kept.splitlines(keepends=True)
    assert len(lines) == 1 + len(ids)
    damaged = lines[1][:30] + ('0' if lines[1][30] != '0' else '1') + lines[1][31:]

    listed.unlink()
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0 and 'is not known: the list of withdrawals' in done.stdout, done
    unit.start()
    assert withdraw(unit, ids) == erased(3)
    assert sorted(listed.read_text().splitlines()) == sorted(kept.splitlines())
    kill_hard(unit)
    shutil.rmtree(unit.keys / 'daemon' / 'store')

    listed.write_text(kept.replace(lines[1], damaged))
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0 and 'cannot be used' in done.stdout, done
    does_not_start(unit, 74)
    assert 'of which 1 lines are damaged' in unit.log()
    listed.write_text(lines[0].replace('v1 ', 'v1 0') + ''.join(lines[1:]))
    does_not_start(unit, 76)
    listed.write_text(lines[0] + ''.join(lines[2:]))        # as docs/operations.md says
    unit.start()
    assert withdraw(unit, ids) == erased(1, of=3)
    assert len(listed.read_text().splitlines()) == len(lines)

    # Without a restore nothing is lost with the list: it is made anew from the store.
    for text in (None, lines[0] + damaged, kept[:-1], ''):
        assert unit.stop() == 0, unit.log()
        listed.unlink() if text is None else listed.write_text(text)
        unit.start()
        assert sorted(listed.read_text().splitlines()) == sorted(kept.splitlines())
    assert unit.stop() == 0, unit.log()


def test_restored_twice(world):
    """A restore that is lost itself before the first start: the next one finds the loss again, and refunds nothing."""
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    backup = backup_of(world)
    push(unit, world.pieces, History())
    assert ask_for_release(unit)[0] == 202
    wait_for_release(unit)
    spent = unit.status()['ledger']['rho_total_micro']
    assert spent > 0
    lose_the_store(unit)
    store, state = unit.keys / 'daemon' / 'store', unit.keys / 'daemon' / 'log.key.state'
    assert restore(unit, backup).returncode == 76
    assert restore(unit, backup, '--accept-loss').returncode == 0
    wound_back = state.read_text()
    shutil.rmtree(store)
    for _ in range(2):                                      # the signer stands at the entry that tells of the loss
        refused = restore(unit, backup)
        assert refused.returncode == 76 and 'were signed' in refused.stderr, refused
        assert not list(store.iterdir()) and state.read_text() == wound_back
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0 and '1 signed log entries are lost' in done.stdout, done
    unit.start()
    kinds = [e['kind'] for e in unit.entries()]
    assert kinds.count('restore') == 1 and unit.entries()[kinds.index('restore')]['rho_total_micro'] == spent
    assert unit.status()['ledger']['rho_total_micro'] == spent and unit.status()['releases'] == 1
    unit.restart()
    assert 'lost by the restore' in unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
    assert unit.stop() == 0, unit.log()


def test_the_mark_says_more_than_the_log(world):
    """An older store beside an older state of the signer, which the mark alone gives away."""
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    kill_hard(unit)
    data = unit.keys / 'daemon'
    older = world.folder / 'older'
    shutil.copytree(data, older)
    unit.start()
    marks = []
    for pieces in (world.pieces[1:-1], [world.pieces[0], world.pieces[-1]]):
        push(unit, pieces, History())
        assert ask_for_release(unit)[0] == 202
        wait_for_release(unit)
        marks.append((data / 'log.key.state.ledger').read_text())
    spent = unit.status()['ledger']['rho_total_micro']
    kill_hard(unit)

    world.put(older)
    mark = data / 'log.key.state.ledger'
    mark.write_text(marks[1])
    refused = subprocess.run([THROUGHCARED, '-c', unit.conf_path], capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 76 and '2 releases were charged, the log has 0' in refused.stderr, refused
    assert mark.read_text() == marks[1]
    # One more is what a kill between the mark and its charge leaves: told, and the mark stays.
    mark.write_text(marks[0])
    unit.start()
    assert 'release 1 was charged, the log does not have it' in unit.log()
    assert mark.read_text() == marks[0]
    backup = backup_of(world)
    kill_hard(unit)

    # A restore takes either for a loss, also where the signer misses nothing; and so does a second one.
    (data / 'log.key.state').write_text((older / 'log.key.state').read_text())
    mark.write_text(marks[1])
    for _ in range(2):
        shutil.rmtree(data / 'store')
        refused = restore(unit, backup)
        assert refused.returncode == 76 and not list((data / 'store').iterdir()), refused
        done = restore(unit, backup, '--accept-loss')
        assert done.returncode == 0 and 'charged and are lost: 2;' in done.stdout, done
    unit.start()
    entry = [e for e in unit.entries() if e['kind'] == 'restore']
    assert not any(judge(e) for e in entry), entry
    assert len(entry) == 1 and (entry[0]['releases'], entry[0]['rho_total_micro']) == (2, spent)
    assert (unit.status()['releases'], unit.status()['ledger']['rho_total_micro']) == (2, spent)
    told = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
    assert 'signed entries and 2 releases were lost' in told
    assert unit.stop() == 0, unit.log()


def lost_year(unit):
    return [e['t'] for e in unit.entries() if e['kind'] == 'restore'][0][:4]


def test_what_is_no_backup(world):
    unit = world.unit
    world.put(world.pristine)
    unit.start()
    backup = backup_of(world)
    second = restore(unit, backup)
    assert second.returncode == 65 and 'another process' in second.stderr, 'a running daemon is left alone'
    lose_the_store(unit)
    assert restore(unit, world.folder / 'nothing').returncode == 74
    data = backup.read_bytes()
    for changed in (data[:-1], data[:40], data[:200] + bytes([data[200] ^ 1]) + data[201:], b'TCBACKP1' + b'\0' * 60):
        bad = world.folder / 'bad.backup'
        bad.write_bytes(changed)
        refused = restore(unit, bad, '--accept-loss')
        assert refused.returncode in (65, 74, 78) and refused.stderr, refused
        assert not list((unit.keys / 'daemon' / 'store').iterdir())
    assert restore(unit, backup, '--accept-loss').returncode == 0
    unit.start()
    assert unit.stop() == 0



def rotate(unit, kind, key, new):
    tool('keys', 'rotate', kind, key, '-o', new)
    unit.as_('operator', 'admin', 'rotate', f'{new}.handover')


def test_keys_were_rotated_since_the_backup(world):
    """The log key twice and the sealing key once, each with a crash behind it; then the store is lost, and all there is is the
    backup of before. It opens with the sealing key of its day, and the log goes on to the key that signs now, whose statements
    are kept beside the signer's state."""
    unit, before = world.unit, History()
    world.put(world.pristine)
    daemon, folder = unit.keys / 'daemon', world.folder / 'rotated'
    folder.mkdir()
    verify = ('audit', 'verify', '--vkey', unit.keys / 'log.vkey')       # the public key of the first
    unit.start()
    push(unit, world.pieces[:6], before)
    unit.as_('auditor', *verify, '--state', folder / 'early')
    backup = backup_of(world)
    shutil.copy2(daemon / 'seal.key', folder / 'old-seal.key')
    for n, (kind, name) in enumerate((('--log', 'log.key'), ('--seal', 'seal.key'), ('--log', 'log.key'))):
        rotate(unit, kind, daemon / name, folder / f'{n}.key')
        push(unit, world.pieces[6 + n:7 + n], History())
        kill_hard(unit)
        (folder / f'{n}.key').replace(daemon / name)
        unit.start()
    push(unit, world.pieces[9:10], History())
    unit.as_('auditor', *verify, '--state', folder / 'late')
    lose_the_store(unit)

    done = restore(unit, backup, '--accept-loss')
    assert done.returncode != 0 and 'sealing key' in done.stderr, done
    shutil.copy2(folder / 'old-seal.key', daemon / 'seal.key')
    done = restore(unit, backup, '--accept-loss')
    assert done.returncode == 0, done
    statements = daemon / 'log.key.state.keys'
    kept = statements.read_bytes()
    statements.write_bytes(b'[]')                           # control: without them nothing leads to the key
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == 78 and 'nor one that follows it' in unit.log()
    statements.write_bytes(kept)
    unit.start()
    before.check(unit)
    entries = [e for e in unit.entries() if e['kind'] in ('restore', 'key_rotated')]
    assert [(e['kind'], e.get('key')) for e in entries] == [('restore', None), ('key_rotated', 'log'), ('key_rotated', 'log')]
    assert entries[1]['new'] == entries[2]['old']
    unit.as_('auditor', *verify, '--state', folder / 'early')
    assert unit.as_('auditor', *verify, '--state', folder / 'late', check=False).returncode == 76
    kill_hard(unit)
    unit.start()
    rotate(unit, '--seal', daemon / 'seal.key', folder / 'last.key')     # and on it goes
    finish(world)
    unit.as_('auditor', *verify, '--state', folder / 'early')
    assert unit.stop() == 0, unit.log()
