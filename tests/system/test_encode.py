"""throughcare encode from outside: what it checks before it reads a person, what it leaves behind, and its summary."""
import html.parser
import json
import os
import pty
import re
import shutil
import stat
import subprocess

import pytest

from harness import SHARED, SOURCE, STUDY, THROUGHCARE, descriptors, fix_secrets, make_registers, read_csv, tool, wait_for, write_csv

NAME = 'Zyxwvutquist'                 # stands in the data and may stand in no message


@pytest.fixture(scope='module')
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp('keys') / 'keys'
    tool('keys', 'init', folder, '--study', STUDY)
    fix_secrets(folder)                   # filters, and what a report estimates from them, are the same in every run
    return folder


@pytest.fixture(scope='module')
def register(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers') / 'r', 400) / 'prison.csv'


def encode(keys, register, out, *options, check=True, source='prison', study=None, secret=None, stdin=None):
    return tool('encode', '--study', study or keys / 'study.yaml', '--secret', secret or keys / 'custodians/main.secret',
                '--record-key', keys / source / 'record.key', '--source', source, '-o', out, register, *options,
                check=check, stdin=stdin)


def refused(done, status, *words):
    assert done.returncode == status, done.stderr
    assert done.stdout == ''
    for word in words:
        assert word in done.stderr, done.stderr
    assert NAME not in done.stderr
    return done.stderr


def test_summary(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'out.batch')
    rows = read_csv(register)
    assert f'{len(rows)} rows, {len(rows)} records in 1 batch' in done.stdout
    n = sum(row['surname'] == '' for row in rows)
    line = next((line for line in done.stdout.splitlines() if line.split()[:1] == ['surname']), None)
    assert (line is None) == (n == 0) and (n == 0 or int(line.split()[1]) == n)
    assert stat.S_IMODE((tmp_path / 'out.batch').stat().st_mode) == 0o600
    assert done.stderr == '', 'no progress bar into a pipe'


def test_nothing_of_the_register_is_in_the_batch(keys, register, tmp_path):
    encode(keys, register, tmp_path / 'out.batch')
    data = (tmp_path / 'out.batch').read_bytes().lower()
    for row in read_csv(register)[:200]:
        for field in ('surname', 'place', 'date_of_birth', 'record_id', 'person_id'):
            if len(row[field]) > 5:
                assert row[field].lower().encode() not in data, field


def test_standard_input_and_file_give_the_same(keys, register, tmp_path):
    encode(keys, register, tmp_path / 'file.batch')
    encode(keys, '-', tmp_path / 'stdin.batch', stdin=register.read_text())
    assert (tmp_path / 'file.batch').read_bytes() == (tmp_path / 'stdin.batch').read_bytes()


def test_batches_of_so_many_records(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'out.batch', '--batch-records', 100)
    n = len(read_csv(register))
    assert f'in {-(-n // 100)} batches' in done.stdout
    assert (tmp_path / 'out.batch').read_bytes().count(b'TCBATCH1') == -(-n // 100)


def test_another_secret_is_told_before_a_row_is_read(keys, register, tmp_path):
    tool('keys', 'init', tmp_path / 'other', '--study', STUDY)
    done = encode(keys, tmp_path / 'no-such.csv', tmp_path / 'out.batch', check=False,
                  secret=tmp_path / 'other/custodians/main.secret')
    refused(done, 65, 'main.secret', 'key check')
    assert not (tmp_path / 'out.batch').exists()


def test_an_unpinned_study_is_refused(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'out.batch', check=False, study=STUDY)
    refused(done, 65, 'key_check')


def test_readable_secret_is_refused(keys, register, tmp_path):
    open_secret = tmp_path / 'main.secret'
    open_secret.write_bytes((keys / 'custodians/main.secret').read_bytes())
    open_secret.chmod(0o644)
    refused(encode(keys, register, tmp_path / 'out.batch', check=False, secret=open_secret), 78, 'main.secret')


def test_the_short_command(keys, register, tmp_path):
    """The record key where 'keys init' puts it, and a report without a name, at the end or before an option."""
    asked = ('encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret', '--source', 'prison')
    long = tmp_path / 'long.batch'
    assert encode(keys, register, long).returncode == 0
    for i, rest in enumerate((['--report'], ['--report', '--threads', '1'], ['--report', '-'])):
        done = tool(*asked, register, '-o', tmp_path / f'{i}.batch', *rest)
        assert done.returncode == 0 and 'Register report' in done.stdout, done
        assert (tmp_path / f'{i}.batch').read_bytes() == long.read_bytes()
    other = shutil.copy(register, tmp_path / 'other.csv')
    done = tool(*asked, '--report', other, register, '-o', tmp_path / 'none.batch', check=False)    # taken for the report's name
    assert done.returncode == 64 and 'must not end in .csv' in done.stderr and read_csv(other) == read_csv(register)
    done = tool(*asked, '--report', register, '-o', tmp_path / 'none.batch', check=False)
    assert done.returncode == 64 and 'too few arguments' in done.stderr and register.stat().st_size > 0
    # Beside the secret it is found too; where there is none, or one in each place, that is said.
    alone = tmp_path / 'alone'
    alone.mkdir()
    shutil.copy(keys / 'custodians/main.secret', alone)
    asked = ('encode', '--study', keys / 'study.yaml', '--secret', 'main.secret', '--source', 'prison', register.absolute())

    def run_alone():
        return subprocess.run([THROUGHCARE, *map(str, asked), '-o', 'o.batch'], capture_output=True, text=True, cwd=alone)
    done = run_alone()
    assert done.returncode == 64 and '--record-key is needed' in done.stderr and not (alone / 'o.batch').exists()
    shutil.copy(keys / 'prison/record.key', alone)
    done = run_alone()
    assert done.returncode == 0 and (alone / 'o.batch').read_bytes() == long.read_bytes(), done
    assert 'record numbers are hidden under record.key\n' in done.stdout
    (tmp_path / 'prison').mkdir()
    (tmp_path / 'prison/record.key').symlink_to('nowhere')
    done = run_alone()
    assert done.returncode == 64 and 'there are both ../prison/record.key and record.key' in done.stderr


def test_record_key_in_place_of_the_secret_is_refused(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'out.batch', check=False, secret=keys / 'prison/record.key')
    refused(done, 78, 'record.key')


def test_unknown_source(keys, register, tmp_path):
    done = tool('encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret', '--record-key',
                keys / 'prison/record.key', '--source', 'hospital', '-o', tmp_path / 'o', register, check=False)
    refused(done, 65, 'study.yaml', 'source')


@pytest.mark.parametrize('options', [
    [], ['--study', 'x'], ['--study', 'x', '--source', 'y', '-o', 'z'], ['--schema', 'x'],
    ['--schema', 'x', '--clks', 'y', '--study', 'z'], ['--clks', 'x'], ['--nonsense'],
    ['--study', 'x', '--source', 'y', '-o', 'z', '--record-key', 'k', '--from-clks', 'c', '--report', '-'],
    ['--schema', 'x', '--clks', 'y', '--secret', 'z', '--batch-records', '5']])
def test_usage(options):
    done = tool('encode', '--secret', 's', *options, 'in.csv', check=False)
    refused(done, 64, '--help')


def test_help_shows_an_example():
    done = tool('encode', '--help')
    assert '--reject' in done.stdout and 'throughcare encode --study' in done.stdout


def test_output_that_cannot_be_written(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'no-folder' / 'out.batch', check=False)
    refused(done, 74, 'out.batch')


def test_a_report_that_cannot_be_written_is_told_first(keys, register, tmp_path):
    done = encode(keys, register, tmp_path / 'out.batch', '--report', tmp_path / 'none/r.html', check=False)
    refused(done, 74, 'r.html')
    assert not (tmp_path / 'out.batch').exists()
    assert list(tmp_path.iterdir()) == []


def test_an_older_batch_stays_when_the_new_one_fails(keys, register, tmp_path):
    (tmp_path / 'out.batch').write_bytes(b'older')
    rows = read_csv(register)[:30]
    rows[20]['event_date'] = 'soon'
    write_csv(tmp_path / 'in.csv', rows)
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'row 21 (line 22)', 'event_date')
    assert (tmp_path / 'out.batch').read_bytes() == b'older'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.csv', 'out.batch']


def test_nothing_is_left_of_a_run_that_is_killed(keys, register, tmp_path):
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError as error:
        pytest.skip(f'{tmp_path} has no files without a name ({error}): nothing was checked')
    (tmp_path / 'out.batch').write_bytes(b'older')
    process = subprocess.Popen([THROUGHCARE, 'encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret',
                                '--source', 'prison', '-o', tmp_path / 'out.batch', '--reject', tmp_path / 'aside.csv', '-'],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(register.read_bytes())
    process.stdin.flush()              # and it waits for more

    wait_for(lambda: sum(at.startswith(str(tmp_path)) for at in descriptors(process.pid).values()) == 2, 'an output is not open')
    process.kill()
    process.wait()
    process.stdin.close()
    assert tree(tmp_path) == {'out.batch': b'older'}


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.is_symlink()}


@pytest.fixture
def place(keys, register, tmp_path):
    """All files of a run in one folder, and a command that names them."""
    for name, source in (('study.yaml', keys / 'study.yaml'), ('main.secret', keys / 'custodians/main.secret'),
                         ('record.key', keys / 'prison/record.key')):
        (tmp_path / name).write_bytes(source.read_bytes())
        (tmp_path / name).chmod(0o600)
    rows = read_csv(register)[:30]
    rows[3]['date_of_birth'] = '1970-13-01'
    write_csv(tmp_path / 'in.csv', rows)
    (tmp_path / 'older').write_text('older')
    return tmp_path


def encode_in(place, *options, register='in.csv', stdin=None, before=()):
    return subprocess.run([*before, THROUGHCARE, 'encode', '--study', 'study.yaml', '--secret', 'main.secret', '--record-key',
                           'record.key', '--source', 'prison', *options, register], cwd=place, stdin=stdin,
                          capture_output=True, text=True)


@pytest.mark.parametrize('option', ['--output', '--reject', '--report'])
@pytest.mark.parametrize('file, named', [
    ('in.csv', 'the register'), ('study.yaml', '--study'), ('main.secret', '--secret'), ('record.key', '--record-key')])
def test_no_output_goes_over_what_is_read(place, option, file, named):
    before = tree(place)
    others = [] if option == '--output' else ['-o', 'out.batch']
    (place / 'way').symlink_to('.')
    for path in (file, './' + file, place / file, 'way/' + file):
        refused(encode_in(place, *others, option, path), 64, option, named, 'same file')
        assert tree(place) == before
    if file == 'in.csv':
        with open(place / file) as stdin:
            refused(encode_in(place, *others, option, file, register='-', stdin=stdin), 64, option, named)
        assert tree(place) == before


@pytest.mark.parametrize('one, other', [('--output', '--reject'), ('--output', '--report'), ('--reject', '--report')])
def test_no_output_goes_over_another(place, one, other):
    before = tree(place)
    others = [] if one == '--output' else ['-o', 'out.batch']
    (place / 'way').symlink_to('.')
    for first, second in (('new', 'new'), ('new', './new'), ('new', place / 'new'), ('way/new', 'new'), ('older', 'way/older')):
        refused(encode_in(place, *others, one, first, other, second), 64, one, other, 'same file')
        assert tree(place) == before


@pytest.mark.parametrize('option', ['--output', '--reject', '--report'])
def test_only_files_are_written_over(place, option):
    """A rename would put a file in place of the device, pipe or link itself."""
    others = [] if option == '--output' else ['-o', 'out.batch']
    os.mkfifo(place / 'pipe')
    (place / 'link').symlink_to('older')
    (place / 'dangling').symlink_to('nothing')
    (place / 'folder').mkdir()
    before, modes = tree(place), {p.name: p.lstat().st_mode for p in place.iterdir()}
    for name, words in (('pipe', 'a named pipe'), ('link', 'a symbolic link'), ('dangling', 'a symbolic link'), ('folder', 'a folder')):
        refused(encode_in(place, *others, option, name), 64, option, name, words)
    if option != '--report':          # which is for people, and is the only one that goes to standard output
        refused(encode_in(place, *others, option, '-'), 64, option, '- is none')
    assert tree(place) == before and {p.name: p.lstat().st_mode for p in place.iterdir()} == modes


def test_clks_go_over_nothing_that_is_read(tmp_path):
    for name in ('schema.json', 'secret', 'in.csv'):
        (tmp_path / name).write_text('kept')
        (tmp_path / name).chmod(0o600)
    for out, named in (('schema.json', '--schema'), ('secret', '--secret'), ('in.csv', 'the register'), ('new', '--reject')):
        done = subprocess.run([THROUGHCARE, 'encode', '--schema', 'schema.json', '--secret', 'secret', '--clks', out,
                               '--reject', 'new', 'in.csv'], cwd=tmp_path, capture_output=True, text=True)
        refused(done, 64, '--clks', named, 'same file')
    assert tree(tmp_path) == {name: b'kept' for name in ('schema.json', 'secret', 'in.csv')}


@pytest.mark.parametrize('options', [[], ['--report', '-']])
def test_what_standard_output_does_not_take_is_told(place, options):
    with open('/dev/full', 'w') as full:
        done = subprocess.run([THROUGHCARE, 'encode', '--study', 'study.yaml', '--secret', 'main.secret', '--record-key',
                               'record.key', '--source', 'prison', '-o', 'out.batch', '--reject', 'aside.csv', *options, 'in.csv'],
                              cwd=place, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 74 and 'writ' in done.stderr


@pytest.mark.parametrize('features, header, good', [
    (['a'], 'a,b', True), (['a'], 'a,a', False), (['a', 'a'], 'a,a', True), (['a', 'a'], 'a,b,a,a', False), (['a', 'b'], 'b,a,b', False)])
def test_clks_of_a_header_that_repeats(tmp_path, features, header, good):
    """A column may stand as often as the schema names it, as for clkhash."""
    schema = json.loads((SOURCE / 'tests/data/vectors/clkhash/14_date.json').read_text())['schema']
    text = {'format': {'type': 'string'}, 'hashing': {'comparison': {'type': 'ngram', 'n': 2}, 'strategy': {'bitsPerToken': 20}}}
    schema['features'] = [dict(text, identifier=name) for name in features]
    (tmp_path / 'schema.json').write_text(json.dumps(schema))
    (tmp_path / 'secret').write_text('horse staple')
    (tmp_path / 'in.csv').write_text(f'{header}\n' + ','.join([NAME] * len(header.split(','))) + '\n')
    done = tool('encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks', tmp_path / 'out.json',
                tmp_path / 'in.csv', check=False)
    assert (tmp_path / 'out.json').exists() == good
    if good:
        assert done.returncode == 0, done.stderr
    else:
        refused(done, 65, 'in.csv: the header (line 1) has column', 'more often than the schema')


def test_rows_set_aside_without_room(place, register):
    """The file's name and 74; nothing is left behind, and an older file stays."""
    rows = read_csv(register)[:1] * 4000
    rows[1:] = [dict(row, date_of_birth='1970-13-01') for row in rows[1:]]
    write_csv(place / 'in.csv', rows)
    before = tree(place)
    done = encode_in(place, '-o', 'out.batch', '--reject', 'older',
                     before=['env', '--ignore-signal=XFSZ', 'prlimit', '--fsize=100000'])
    refused(done, 74, 'older: writing failed')
    assert tree(place) == before


def test_rows_set_aside_stay_where_all_are(place, register):
    write_csv(place / 'in.csv', [dict(row, date_of_birth='1970-13-01') for row in read_csv(register)[:5]])
    refused(encode_in(place, '-o', 'out.batch', '--reject', 'aside.csv'), 65, 'no record')
    assert len(read_csv(place / 'aside.csv')) == 5 and not (place / 'out.batch').exists()


def test_every_bad_row_is_set_aside(keys, register, tmp_path):
    rows = read_csv(register)[:30]
    for row in rows:
        row['surname'] = NAME
    rows[3]['date_of_birth'] = '1970-13-01'
    rows[7]['event'] = 'escape'
    rows[9]['record_id'] = rows[8]['record_id']
    rows[11]['region'] = 'centre'
    write_csv(tmp_path / 'in.csv', rows)
    with open(tmp_path / 'in.csv', 'a', newline='') as f:
        f.write('short,row\r\n')
    done = encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', '--reject', tmp_path / 'rejected.csv')
    assert '31 rows, 26 records' in done.stdout and '5 rows set aside' in done.stdout
    aside = read_csv(tmp_path / 'rejected.csv')
    assert [(row['row'], row['line'], row['column']) for row in aside] == [
        ('4', '5', 'date_of_birth'), ('8', '9', 'event'), ('10', '11', 'record_id'), ('12', '13', 'region'), ('31', '32', '')]
    text = (tmp_path / 'rejected.csv').read_text() + done.stdout + done.stderr
    assert NAME not in text and '1970-13-01' not in text and 'escape' not in text and 'centre' not in text


def test_a_register_without_rows(keys, register, tmp_path):
    (tmp_path / 'in.csv').write_text(register.read_text().splitlines()[0] + '\n')
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'no record')
    (tmp_path / 'in.csv').write_text('')
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'empty')


def test_semicolons_are_recognised(keys, register, tmp_path):
    (tmp_path / 'in.csv').write_text(register.read_text().replace(',', ';'))
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'semicolons')


def test_utf16_is_recognised(keys, register, tmp_path):
    (tmp_path / 'in.csv').write_text(register.read_text(), encoding='utf-16')
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'UTF-16', 'UTF-8')


def test_what_is_no_csv_is_recognised(keys, register, tmp_path):
    """What people take for the register: a folder, a workbook, lines of an old Mac, names written otherwise."""
    refused(encode(keys, tmp_path, tmp_path / 'out.batch', check=False), 74, 'is a folder')
    text = register.read_text()
    header, rows = text.split('\n', 1)
    for content, words in ((b'PK\3\4\x14\0', 'workbook'), (text.replace('\n', '\r').encode(), 'carriage return alone'),
                           (f'{header}\n{rows.replace(chr(10), chr(13))}'.encode(), 'carriage returns; save the file'),
                           (text.replace(',', ';').encode(), 'semicolons'), (f'{header.upper()}\n{rows}'.encode(), 'case or spaces'),
                           (rows.encode(), "has no column 'record_id'\n"), (text.replace('Martin', 'Martín').encode('latin-1'), 'is not UTF-8')):
        (tmp_path / 'in.csv').write_bytes(content)
        refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', check=False), 65, 'in.csv', words)
    assert [p.name for p in tmp_path.iterdir()] == ['in.csv']


@pytest.mark.parametrize('change, words', [
    (lambda schema: schema.pop('version'), 'version'),
    (lambda schema: schema['features'][0].pop('hashing'), 'features[0]'),
    (lambda schema: schema['clkConfig'].update(l=1000), 'power of two'),
    (lambda schema: schema['features'][0]['format'].update(pattern='(?=x)'), 'pattern')])
def test_bad_schema_for_clks(tmp_path, change, words):
    schema = json.loads((SOURCE / 'tests/data/vectors/clkhash/01_bigram_bits_per_token.json').read_text())['schema']
    change(schema)
    (tmp_path / 'schema.json').write_text(json.dumps(schema))
    (tmp_path / 'secret').write_text('horse staple')
    (tmp_path / 'in.csv').write_text(f'surname\n{NAME}\n')
    done = tool('encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks',
                tmp_path / 'out.json', tmp_path / 'in.csv', check=False)
    refused(done, 65, 'schema.json', words)
    assert not (tmp_path / 'out.json').exists()


def test_clks_stop_or_set_aside(tmp_path):
    vector = json.loads((SOURCE / 'tests/data/vectors/clkhash/14_date.json').read_text())
    (tmp_path / 'schema.json').write_text(json.dumps(vector['schema']))
    (tmp_path / 'secret').write_text(vector['secret'])
    (tmp_path / 'in.csv').write_text('dob\n07/03/1985\n31/02/1985\n7/3/1985\n')
    options = ['encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks',
               tmp_path / 'out.json', tmp_path / 'in.csv']
    refused(tool(*options, check=False), 65, 'row 2 (line 3), column dob')
    assert not (tmp_path / 'out.json').exists()
    tool(*options, '--reject', tmp_path / 'rejected.csv')
    clks = json.loads((tmp_path / 'out.json').read_text())['clks']
    assert clks == [v['clk_base64'] for v in vector['vectors']]


def test_clks_take_the_secret_as_it_is_and_columns_by_name(tmp_path):
    """From standard input, with columns in another order and one more; a newline at the end of the secret counts."""
    vector = json.loads((SOURCE / 'tests/data/vectors/clkhash/18_xorFolds_camel_is_ignored.json').read_text())
    names = [feature['identifier'] for feature in vector['schema']['features']]
    (tmp_path / 'schema.json').write_text(json.dumps(vector['schema']))
    rows = [dict(zip(names, v['record']), beyond=NAME) for v in vector['vectors']]
    write_csv(tmp_path / 'in.csv', [dict(reversed(row.items())) for row in rows])
    found = []
    for end in ('', '\n'):
        (tmp_path / 'secret').write_bytes((vector['secret'] + end).encode())
        done = tool('encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks',
                    tmp_path / 'out.json', '-', stdin=(tmp_path / 'in.csv').read_text())
        assert 'warning: xorFolds is not read' in done.stderr
        found.append(json.loads((tmp_path / 'out.json').read_text())['clks'])
    assert found[0] == [v['clk_base64'] for v in vector['vectors']]
    assert len(found[1]) == len(found[0]) and all(x != y for x, y in zip(*found))


@pytest.mark.parametrize('bits', [1024, 1 << 18])
def test_threads_change_no_clks(tmp_path, bits):
    """Over several blocks of rows, some of them refused; also where filters are so long that a block holds few."""
    schema = {'version': 3, 'clkConfig': {'l': bits, 'kdf': {'type': 'HKDF'}}, 'features': [
        {'identifier': name, 'format': {'type': 'string', 'encoding': 'ascii'}, 'hashing': {
            'comparison': {'type': 'ngram', 'n': 2}, 'strategy': {'bitsPerToken': 7}, 'hash': {'type': 'doubleHash'}}}
        for name in ('name', 'place')]}
    (tmp_path / 'schema.json').write_text(json.dumps(schema))
    (tmp_path / 'secret').write_text('not for use')
    rows = [{'name': f'name{i % 401}' if i % 97 else 'n\u00e9e', 'place': '' if i % 5 else f'place {i}'}
            for i in range(3500 if bits == 1024 else 150)]
    write_csv(tmp_path / 'in.csv', rows)
    results = []
    for threads in (1, 2, 5):
        done = tool('encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks',
                    tmp_path / 'out.json', '--reject', tmp_path / 'aside', '--threads', threads, tmp_path / 'in.csv')
        results.append(((tmp_path / 'out.json').read_bytes(), (tmp_path / 'aside').read_text(), done.stdout))
    assert results[0] == results[1] == results[2]
    assert len(json.loads(results[0][0])['clks']) == sum(row['name'] != 'n\u00e9e' for row in rows)
    assert results[0][1].count('\n') - 1 == sum(row['name'] == 'n\u00e9e' for row in rows) and '\u00e9' not in results[0][1]


def test_labelled_registers_are_read_whole(tmp_path):
    """Every row of the public benchmark sets, wrong dates and all, fits tests/data/study-labelled.yaml."""
    data = SHARED / 'data'
    if not data.is_dir():
        pytest.skip(f'the labelled registers are not here ({data}): nothing was checked on them')
    keys = tmp_path / 'keys'
    tool('keys', 'init', keys, '--study', SOURCE / 'tests/data/study-labelled.yaml')
    for folder in sorted(p for p in data.iterdir() if (p / 'prison.csv').exists()):
        for source in ('prison', 'treatment'):
            done = encode(keys, folder / f'{source}.csv', tmp_path / 'out.batch', source=source)
            expected = json.loads((folder / 'expected.json').read_text())[f'{source}_rows']
            assert f'{expected} rows, {expected} records' in done.stdout


def test_threads_change_nothing(keys, tmp_path):
    """Also with rows set aside, repeated rows, quotes, and batches that end in the middle of a block."""
    register = make_registers(tmp_path / 'many', 4000) / 'prison.csv'
    rows = read_csv(register)
    for i in range(50, len(rows), 97):
        rows[i]['event_date'] = 'soon'
    for i in range(1500, len(rows), 301):
        rows[i]['record_id'] = rows[i - 1400]['record_id']
    for i in range(7, len(rows), 500):
        rows[i]['place'] = 'Saint "Ville",\nupon Lys'
    write_csv(tmp_path / 'in.csv', rows)
    results = []
    for threads in (1, 2, 5):
        out, aside = tmp_path / f'{threads}.batch', tmp_path / f'{threads}.aside'
        done = encode(keys, tmp_path / 'in.csv', out, '--reject', aside, '--threads', threads, '--batch-records', 1777)
        results.append((out.read_bytes(), aside.read_text(), done.stdout.replace(str(out), '')))
    assert results[0] == results[1] == results[2]
    assert results[0][1].count('soon') == 0 and results[0][1].count('stands in the file before') > 5
    assert results[0][0].count(b'TCBATCH1') >= 4


def test_the_first_bad_row_is_the_one_that_is_told(keys, register, tmp_path):
    rows = [dict(row) for row in read_csv(register) * 6]
    for i, row in enumerate(rows):
        row['record_id'] = f'N{i}'
    rows[1100]['event_date'] = rows[2300]['event_date'] = 'soon'
    write_csv(tmp_path / 'in.csv', rows)
    with open(tmp_path / 'in.csv', 'a', newline='') as f:
        f.write('"an open quote')
    for threads in (1, 4):
        done = encode(keys, tmp_path / 'in.csv', tmp_path / 'o', '--threads', threads, check=False)
        refused(done, 65, 'row 1101 (line 1102)', 'event_date')


NATIONAL = {'M': 'M', 'F': 'V', 'male': 'Man', 'female': 'V', '': ''}


def test_national_forms_give_the_same_records(keys, register, tmp_path):
    """Dates as 31.1.1980 and sexes as M and V, under the rules that read them, and not without."""
    text = (keys / 'study.yaml').read_text()
    assert 'normalise: [trim,' in text
    (tmp_path / 'study.yaml').write_text(
        text.replace('normalise: [trim,', 'normalise: [date_forms, sex_codes, latin, trim,').replace(
            '  key_check:', '  domains: {main: {language: nl, key_check:', 1).replace(
            re.search(r'key_check: *("?[0-9a-f]{32}"?)', text)[1], re.search(r'key_check: *("?[0-9a-f]{32}"?)', text)[1] + '}}', 1))
    rows = read_csv(register)
    encode(keys, register, tmp_path / 'a.batch', study=tmp_path / 'study.yaml')
    for row in rows:
        if row['date_of_birth']:
            y, m, d = row['date_of_birth'].split('-')
            row['date_of_birth'] = f'{int(d)}.{int(m)}.{y}'
        row['sex'] = NATIONAL[row['sex']]
    write_csv(tmp_path / 'in.csv', rows)
    encode(keys, tmp_path / 'in.csv', tmp_path / 'b.batch', study=tmp_path / 'study.yaml')
    assert (tmp_path / 'a.batch').read_bytes() == (tmp_path / 'b.batch').read_bytes()
    refused(encode(keys, tmp_path / 'in.csv', tmp_path / 'c.batch', check=False), 65, 'row 1 ')


class NoTag(html.parser.HTMLParser):
    """Collects text, and what a page would load from elsewhere."""
    def __init__(self):
        super().__init__()
        self.text, self.loads, self.tags = '', [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ('src', 'href', 'xlink:href')]

    def handle_data(self, data):
        self.text += data


def flawed_register(tmp_path):
    rows = read_csv(make_registers(tmp_path / 'flawed', 3000) / 'prison.csv')
    assert len(rows) > 2000
    for i, row in enumerate(rows):
        if i % 40 == 0:
            row['surname'] = ''
        elif i % 40 == 1:
            row['surname'] = NAME + '7'
        elif i % 40 == 2:
            row['given_name'] = 'unknown'
        elif i % 80 == 47:
            row['place'] = f'{NAME}\nP000,{NAME}' if i % 160 == 47 else NAME * 20
        elif i % 40 == 3:
            row['date_of_birth'] = '1970-01-01'
        elif i % 40 == 4:
            row['date_of_birth'] = '1970-13-01'
        elif i == 5:
            row['event'] = 'escape'
        elif i % 160 == 8:
            row['region'] = 'centre'
        elif i % 4 == 2:
            row['place'] = 'Bourg-' + NAME
    twins = [dict(row, record_id=f'T{i}', person_id=f'T{i}') for i, row in enumerate(rows[6::40])]
    write_csv(tmp_path / 'in.csv', rows + twins)
    return rows, twins


def test_report(keys, tmp_path):
    rows, twins = flawed_register(tmp_path)
    n = len(rows) + len(twins)
    done = encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', '--reject', tmp_path / 'aside.csv', '--report', '-')
    text = done.stdout[done.stdout.index('Register report'):]

    def count(start):
        line = next(line for line in text.splitlines() if line.startswith('  ' + start))
        return int(line.split(start)[1].split()[0].replace(',', ''))
    assert count('rows') == n
    assert count('date_of_birth: expected a date in the form %Y-%m-%d') == sum(row['date_of_birth'] == '1970-13-01' for row in rows)
    assert 'event: expected one of the study\'s events' in text and '<10' in text
    # Else the sum would tell how often the event was wrong.
    assert re.search(r'^  region: .* 10 or more$', text, re.M)
    encoded = [row for row in rows
               if row['date_of_birth'] != '1970-13-01' and row['event'] != 'escape' and row['region'] != 'centre'] + twins
    assert count('encoded') == len(encoded)
    assert count('surname: missing') == sum(row['surname'] == '' for row in encoded)
    assert count('surname: digits in a name') == sum('7' in row['surname'] for row in encoded)
    assert count("given_name: a word for 'not known'") == sum(row['given_name'] == 'unknown' for row in encoded)
    assert count('place: a line break, or too long for one value') == sum('\n' in row['place'] or len(row['place']) > 200 for row in encoded) > 10
    assert count('date_of_birth: 1 January') == sum(row['date_of_birth'][5:] == '01-01' for row in encoded)
    assert 'place: 1 value' in text and 'date_of_birth: 1 value' in text
    assert count('records with a twin') >= 2 * len(twins)
    assert 'surname: ' in text.split('Fill of the filters')[1] and 'OUT OF LIMITS' not in text
    # Costs: a row set aside is a link lost, nearly; what is missing costs less; few rows are not told by their costs.
    def cost(start):
        line = next(line for line in text.splitlines() if line.startswith('  ' + start))
        return line.split()[-1]
    bad = sum(row['date_of_birth'] == '1970-13-01' for row in rows)
    assert .8 * bad <= int(cost('date_of_birth: expected a date in the form %Y-%m-%d')) <= bad + 1
    assert 0 < int(cost('surname: missing')) < count('surname: missing')
    assert 0 < int(cost("given_name: a word for 'not known'")) < count("given_name: a word for 'not known'")
    assert len(twins) - 20 <= int(cost('records with a twin')) <= count('records with a twin')
    assert cost('event: expected one of the study\'s events') == '<10'
    at_best, as_is = (int(n.replace(',', '')) for n in re.search(
        r'about ([\d,]+) would link were all complete and true, and about ([\d,]+) as they are', ' '.join(text.split())).groups())
    assert .85 * n <= at_best <= n and at_best - .15 * n <= as_is < at_best
    worst = [line.split()[-1] for line in text.split('What costs most')[1].splitlines()[2:] if line.strip()]
    numbers = [0 if w == '<10' else int(w.replace(',', '')) for w in worst]
    assert len(numbers) >= 5 and numbers == sorted(numbers, reverse=True)
    for secret in (NAME, '1970-13-01', 'escape', 'Bourg'):
        assert secret not in text


@pytest.mark.parametrize('events, dates', [(3, 0), (9, 9)])
def test_report_tells_no_small_number_by_what_is_left(keys, register, tmp_path, events, dates):
    """Neither sums nor shares lead to the rows set aside, nor what has a value to what has none."""
    rows = read_csv(register)[:300]
    for i, row in enumerate(rows):
        row['surname'] = 'Martin' if i % 100 == 99 else ''
        row['event'] = 'escape' if i < events else row['event']
        row['date_of_birth'] = '1970-13-01' if events <= i < events + dates else row['date_of_birth']
    write_csv(tmp_path / 'in.csv', rows)
    text = encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', '--reject', tmp_path / 'aside.csv', '--report', '-').stdout
    text = text[text.index('Register report'):]
    aside = events + dates
    assert re.search(r'^  set aside +' + ('<10' if aside < 10 else '10 or more'), text, re.M) and '  encoded' not in text
    if aside < 10:
        assert re.search(r'^  surname: missing +all but <10', text, re.M)
    for n in (300 - aside, aside) + ((297 - aside,) if aside < 10 else ()):
        assert not re.search(rf'(?<![\d.,]){n}(?![\d.,])', text), (n, text)
    for count, share in re.findall(r' ([\d,]+) \(([\d.]+) %\)', text):
        n = int(count.replace(',', ''))
        assert f'{100 * n / 300:.1f}' == share, (count, share)


def test_report_on_few_rows(keys, register, tmp_path):
    """Of fewer people than the threshold it has nothing to say but what is none."""
    write_csv(tmp_path / 'in.csv', read_csv(register)[:5])
    text = encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', '--report', '-').stdout
    text = text[text.index('Register report'):]
    assert 'There are too few rows to tell.' in text and text.count('of too few') == 2
    assert re.findall(r' [\d.,]+ \(|%$', text, re.M) == []


def test_report_as_html(keys, tmp_path):
    flawed_register(tmp_path)
    encode(keys, tmp_path / 'in.csv', tmp_path / 'out.batch', '--reject', tmp_path / 'aside.csv', '--report', tmp_path / 'r.html')
    page = (tmp_path / 'r.html').read_text()
    parser = NoTag()
    parser.feed(page)
    assert parser.loads == [] and 'script' not in parser.tags and parser.tags.count('svg') > 10
    assert 'What it costs in links' in parser.text and 'What costs most' in parser.text and "expected one of the study's events" in parser.text
    for secret in (NAME, '1970-13-01', 'escape', 'Bourg'):
        assert secret not in page
    assert stat.S_IMODE((tmp_path / 'r.html').stat().st_mode) == 0o600


def test_report_names_filters_out_of_limits(tmp_path):
    """Filters too short for what is hashed into them; whether diffused ones are too full cannot be told."""
    text = re.sub(r'  filters:.*?(?=^sources:)', '', (SOURCE / 'tests/data/study-labelled.yaml').read_text(), flags=re.S | re.M)
    text = text.replace('[ost, psychosocial, none]', '[ost, psychosocial, naltrexone, none]')
    register = make_registers(tmp_path / 'r', 1000) / 'prison.csv'
    for name, hardening in (('plain', ''), ('diffused', '  hardening: {diffusion: 3}\n')):
        (tmp_path / f'{name}.yaml').write_text(text.replace(
            'sources:\n', hardening + '  filters:\n    all: {features: [given_name, middle_name, surname, date_of_birth, place, '
            'postcode], bits: 128}\n\nsources:\n', 1))
        tool('keys', 'init', tmp_path / name, '--study', tmp_path / f'{name}.yaml')
        fix_secrets(tmp_path / name)
        done = encode(tmp_path / name, register, tmp_path / f'{name}.batch', '--report', '-')
        assert ('OUT OF LIMITS' in done.stdout) == (name == 'plain')
        costs = [line.split()[-1] for line in done.stdout.splitlines() if 'OUT OF LIMITS' in line]
        assert len(costs) == (2 if name == 'plain' else 0) and all(int(c) >= 10 for c in costs), costs


@pytest.fixture(scope='module')
def clk_study(tmp_path_factory):
    """A study whose one filter is clkhash's own, its keys, its schema, and its secret as clkhash takes it."""
    folder = tmp_path_factory.mktemp('clk')
    text = STUDY.read_text()
    text = re.sub(r'  profile: [^\n]*\n  roles: [^\n]*\n', '  profile: none\n', text)
    text = re.sub(r'  normalise: [^\n]*\n', '  normalise: none\n', text)
    (folder / 'study.yaml').write_text(text)
    tool('keys', 'init', folder / 'keys', '--study', folder / 'study.yaml')
    fix_secrets(folder / 'keys')
    (folder / 'schema.json').write_text(re.search(r'  schema:\n(.*?)\n\nsources:', text, flags=re.S)[1])
    secret = (folder / 'keys/custodians/main.secret').read_text().strip().split(':')[-1]
    (folder / 'raw.secret').write_bytes(bytes.fromhex(secret))
    return folder


def from_clks(folder, clks, events, out, *options, check=True):
    return tool('encode', '--study', folder / 'keys/study.yaml', '--record-key', folder / 'keys/prison/record.key', '--source',
                'prison', '--from-clks', clks, '-o', out, events, *options, check=check)


def test_from_clks_gives_the_batch_of_the_register(clk_study, tmp_path):
    rows = [row for row in read_csv(make_registers(tmp_path / 'r', 3000) / 'prison.csv') if row['date_of_birth']]
    assert len(rows) > 2100, 'several blocks of rows'
    rows[11].update(given_name='', surname='', date_of_birth='', place='', postcode='')
    write_csv(tmp_path / 'in.csv', rows)
    encode(clk_study / 'keys', tmp_path / 'in.csv', tmp_path / 'direct.batch')
    tool('encode', '--schema', clk_study / 'schema.json', '--secret', clk_study / 'raw.secret', '--clks', tmp_path / 'clks.json',
         tmp_path / 'in.csv')
    for row in rows:
        for name in ('given_name', 'middle_name', 'surname', 'place', 'postcode'):
            row.pop(name, None)
    write_csv(tmp_path / 'events.csv', rows)
    done = from_clks(clk_study, tmp_path / 'clks.json', tmp_path / 'events.csv', tmp_path / 'a.batch', '--secret',
                     clk_study / 'keys/custodians/main.secret')
    assert '1 records have nothing to encode' in done.stdout and done.stderr == ''
    assert (tmp_path / 'a.batch').read_bytes() == (tmp_path / 'direct.batch').read_bytes()
    # Spaced and escaped as another JSON writer does, and without a secret.
    text = json.dumps(json.loads((tmp_path / 'clks.json').read_text()), indent=2).replace('/', '\\/')
    (tmp_path / 'other.json').write_text(text)
    done = from_clks(clk_study, tmp_path / 'other.json', tmp_path / 'events.csv', tmp_path / 'b.batch', '--threads', 3)
    assert 'taken on trust' in done.stderr
    assert (tmp_path / 'b.batch').read_bytes() == (tmp_path / 'direct.batch').read_bytes()


EVENTS = [{'record_id': f'{i}', 'event': 'release', 'event_date': '2024-01-02'} for i in range(3)]
CLK = 'A' * 86 + '=='


@pytest.mark.parametrize('text, words', [
    ('', ['expected {"clks"']), ('[]', ['expected {"clks"']), ('{"clks": {}}', ['expected {"clks"']),
    (f'{{"clks": ["{CLK}", "{CLK}"]}}', ['ends before row 3']),
    (f'{{"clks": ["{CLK}", "{CLK}", "{CLK}", "{CLK}"]}}', ['goes on after']),
    (f'{{"clks": ["{CLK}", "{CLK}", "{CLK}"]}} x', ['filter 3', 'nothing more']),
    (f'{{"clks": ["{CLK}", "{CLK}", "{CLK}"]', ['filter 3']),
    (f'{{"clks": ["{CLK}" "{CLK}", "{CLK}"]}}', ['filter 1', 'comma']),
    (f'{{"clks": ["{CLK}", "{CLK[4:]}", "{CLK}"]}}', ['filter 2', '64 bytes']),
    (f'{{"clks": ["{CLK}", "A{CLK}", "{CLK}"]}}', ['filter 2', '64 bytes']),
    (f'{{"clks": ["{CLK}", "{"!" * 88}", "{CLK}"]}}', ['filter 2', '64 bytes']),
    (f'{{"clks": ["{CLK}", 7, "{CLK}"]}}', ['filter 2', 'string']),
    (f'{{"clks": ["{CLK}", "{CLK[:20]}', ['filter 2']),
])
def test_bad_clks(clk_study, tmp_path, text, words):
    (tmp_path / 'clks.json').write_text(text)
    write_csv(tmp_path / 'events.csv', EVENTS)
    done = from_clks(clk_study, tmp_path / 'clks.json', tmp_path / 'events.csv', tmp_path / 'o', check=False)
    assert done.returncode == 65 and done.stdout == ''
    for word in ['clks.json', *words]:
        assert word in done.stderr
    assert not (tmp_path / 'o').exists()


def test_clks_need_a_study_that_sends_them_as_they_are(keys, tmp_path):
    (tmp_path / 'clks.json').write_text('{"clks": []}')
    write_csv(tmp_path / 'events.csv', EVENTS)
    done = tool('encode', '--study', keys / 'study.yaml', '--record-key', keys / 'prison/record.key', '--source', 'prison',
                '--from-clks', tmp_path / 'clks.json', '-o', tmp_path / 'o', tmp_path / 'events.csv', check=False)
    refused(done, 65, 'one filter')


@pytest.mark.parametrize('hardening', ['diffusion: 2', 'incomplete: pad'])
def test_clks_are_refused_where_the_study_hardens_them(clk_study, tmp_path, hardening):
    (tmp_path / 'clks.json').write_text(json.dumps({'clks': [CLK] * 3}))
    write_csv(tmp_path / 'events.csv', EVENTS)
    text = (clk_study / 'keys/study.yaml').read_text()
    assert text.count('linkage:\n') == 1
    (tmp_path / 'study.yaml').write_text(text.replace('linkage:\n', 'linkage:\n  hardening: {' + hardening + '}\n'))
    done = tool('encode', '--study', tmp_path / 'study.yaml', '--record-key', clk_study / 'keys/prison/record.key', '--source',
                'prison', '--from-clks', tmp_path / 'clks.json', '-o', tmp_path / 'o', tmp_path / 'events.csv', check=False)
    refused(done, 65, 'one filter', 'hardens')


def test_progress_on_a_terminal(keys, tmp_path):
    register = make_registers(tmp_path / 'r', 3000) / 'prison.csv'
    ours, theirs = pty.openpty()
    process = subprocess.Popen([THROUGHCARE, 'encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret',
                                '--record-key', keys / 'prison/record.key', '--source', 'prison', '-o', tmp_path / 'o', register],
                               stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b''
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:         # how Linux says that nobody holds the other end any more
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    process.communicate()
    assert process.returncode == 0
    assert re.search(rb'\[[#.]+\] +\d+ %  [\d.]+ [kMGT]?B/s  \d+:\d\d left', shown) and shown.endswith(b'\r\x1b[K')


def test_report_counts_what_is_no_date_in_text(tmp_path):
    """A register with dates as text: what is no day of any calendar is not refused, so it has to be told."""
    text = re.sub(r'\{"identifier": "date_of_birth", "format": \{[^}]*\}', '{"identifier": "date_of_birth", "format": {"type": "string", '
                  '"encoding": "utf-8"}', STUDY.read_text())
    assert text != STUDY.read_text()
    (tmp_path / 'study.yaml').write_text(text)
    tool('keys', 'init', tmp_path / 'keys', '--study', tmp_path / 'study.yaml')
    rows = read_csv(make_registers(tmp_path / 'r', 1000) / 'prison.csv')
    for row, wrong in zip(rows, 20 * ['1980-02-30'] + 20 * ['19801345'] + 20 * ['12 of never']):
        row['date_of_birth'] = wrong
    write_csv(tmp_path / 'in.csv', rows)
    done = encode(tmp_path / 'keys', tmp_path / 'in.csv', tmp_path / 'o.batch', '--report', '-')
    line = next(line for line in done.stdout.splitlines() if 'date_of_birth: not a day of any calendar' in line)
    assert line.split('calendar')[1].split()[0] == '60', line
