# labels: quick once
"""The layer checker finds each kind of breach and stays silent where there is none."""
import pathlib
import subprocess
import sys

CHECKER = pathlib.Path(__file__).parent.parent / 'check_layers.py'
RULES = '''
layer low:
layer proto:
layer keys: proto
layer tests: *
header lmdb.h: keys/engine.c
never keys: proto/secret.h
apart keys/query.c: proto/records.h low/
'''


def run(tmp_path, files):
    (tmp_path / 'LAYERS').write_text(RULES)
    for name, text in {'keys/query.c': '', **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run([sys.executable, CHECKER, tmp_path], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_clean_tree_passes(tmp_path):
    status, out = run(tmp_path, {'proto/a.h': '', 'keys/b.c': '#include "proto/a.h"\n#include <stdio.h>\n',
                                 'keys/engine.c': '#include <lmdb.h>\n'})
    assert status == 0, out
    assert '4 files, 3 includes' in out


def test_breaches_are_named_with_their_line(tmp_path):
    status, out = run(tmp_path, {
        'keys/b.h': '',
        'proto/a.c': '\n#include "keys/b.h"\n',                # upwards
        'proto/secret.h': '',
        'keys/c.c': '#include "proto/secret.h"\n',             # forbidden by name
        'keys/d.c': '#include <lmdb.h>\n',                     # another file's system header
        'keys/e.c': '#include "b.h"\n',                        # not a path from the root
    })
    assert status == 1
    for expected in ('proto/a.c:2: proto may not include keys', 'keys/c.c:1: keys may never include proto/secret.h',
                     'keys/d.c:1: <lmdb.h> belongs to keys/engine.c', 'keys/e.c:1: "b.h" is not a path'):
        assert expected in out


def test_what_stands_apart_is_not_reached_through_others_either(tmp_path):
    apart = {'keys/query.c': '#include "keys/a.h"\n', 'keys/a.h': '#include "proto/b.h"\n', 'proto/b.h': '#include "proto/b.h"\n'}
    status, out = run(tmp_path, apart)
    assert status == 0, out
    status, out = run(tmp_path, {**apart, 'proto/b.h': '#include "proto/records.h"\n', 'proto/records.h': ''})
    assert status == 1 and 'keys/query.c: may not reach proto/records.h (through proto/b.h)' in out
    (tmp_path / 'keys/query.c').rename(tmp_path / 'keys/renamed.c')
    done = subprocess.run([sys.executable, CHECKER, tmp_path], capture_output=True, text=True)
    assert 'apart keys/query.c: there is no such file' in done.stdout


def test_an_empty_tree_fails(tmp_path):
    (tmp_path / 'LAYERS').write_text('layer proto:\n')
    assert subprocess.run([sys.executable, CHECKER, tmp_path]).returncode == 1
