"""Which lines the tests do not reach, and why: reads what gcovr counted (JSON) and sorts each line by the first rule that fits
its text. What no rule fits is listed at the end, to be covered or argued (docs/coverage.md).

usage: uncovered.py COUNTED.json [ROOT]
"""
import collections
import json
import pathlib
import re
import sys

CONFINED = ('daemon/base/confine', 'daemon/core/core.c:confine', 'daemon/front/front.c:confine')
RULES = (
    ('no memory', r'NOMEM|no_memory|nomem'),
    ('the system refuses: files, sockets, threads, clock', r'RC_IO|RC_NOSPACE|strerror|errno|RC_FORBIDDEN|EINTR|continue;'),
    ('OpenSSL, or the kernel\'s random numbers, fail', r'RC_CRYPTO|tls_error|RC_KEY'),
    ('damage that only a fault of ours or of memory makes', r'RC_DAMAGED|RC_INTERNAL|RC_PROTOCOL|RC_INVALID|RC_MALFORMED'),
    ('limits that need more than a test should make', r'RC_TOO_LARGE|RC_BUSY|RC_STOPPING|RC_HEADERS|MAX_|_CAP'),
    ('handing on an error of the kinds above', r'^(return (rc|err|status|logged|txn->status|ret|false|NULL|-1|0)\b.*;|goto \w+;|break;|'
     r'return;|rc = rc|\w+:$|return fail\(|return \w+_fail\()'),
    ('cleaning up after one', r'^\w*(free|deinit|close|destroy|decref|unref|release|abort|wipe|unlock|bzero|reset)\w*\(|^\(void\)!?\w+\(|'
     r'= NULL;$|->len = |has_\w+ = false'),
    ('saying so', r'log_(error|warning|info)\(|diag_set|request_problem|fprintf\(stderr|exit\('),
)


def lines_of(path):
    counted = json.loads(pathlib.Path(path).read_text())
    for file in sorted(counted['files'], key=lambda f: f['file']):
        counts = collections.Counter()
        for line in file['lines']:
            if not line.get('gcovr/noncode'):
                counts[line['line_number']] += line['count']
        yield file['file'], counts


def functions_of(text):
    """The function that each line stands in: in the style of this project its head begins a line."""
    name, names = '', ['']
    for line in text:
        if re.match(r'[a-z_]', line) and (found := re.search(r'(\w+)\(', line)):
            name = found[1]
        names.append(name)
    return names


def reason(file, function, text):
    if file.startswith(CONFINED[0]) or f'{file}:{function}' in CONFINED:
        return 'run, but by processes that have confined themselves and can count nothing any more'
    for why, pattern in RULES:
        if re.search(pattern, text):
            return why
    return ''


def main():
    path, root = sys.argv[1], pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else '.')
    groups, totals = collections.defaultdict(list), collections.defaultdict(lambda: [0, 0])
    for file, counts in lines_of(path):
        text = (root / file).read_text().split('\n')
        functions = functions_of(text)
        folder = '/'.join(file.split('/')[:2]) if file.count('/') > 1 else file.split('/')[0]
        totals[folder][0] += len(counts)
        totals[folder][1] += sum(n > 0 for n in counts.values())
        for number, n in sorted(counts.items()):
            if n == 0:
                what = text[number - 1].strip()
                groups[reason(file, functions[number], what)].append(f'{file}:{number}: {functions[number]}: {what}')
    for folder, (n, run) in sorted(totals.items()):
        print(f'{folder:16} {run:6} of {n:6} lines  {100 * run / n:5.1f} %')
    n, run = (sum(t[i] for t in totals.values()) for i in range(2))
    print(f'{"all":16} {run:6} of {n:6} lines  {100 * run / n:5.1f} %\n')
    for why, places in sorted(groups.items(), key=lambda g: (g[0] == '', -len(g[1]))):
        print(f'{len(places):5}  {why or "other"}')
    for why, places in sorted(groups.items(), key=lambda g: (g[0] == '', -len(g[1]))):
        print(f'\n== {why or "other"}')
        print('\n'.join(places))


if __name__ == '__main__':
    main()
