#!/usr/bin/env python3
"""Checks every #include of the tree against the file LAYERS. Prints each breach; ends with 1 when there is one."""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def read_rules(path):
    layers, headers, never, apart = {}, {}, {}, {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split('#')[0].strip()
        if not line:
            continue
        word, _, rest = line.partition(' ')
        name, colon, values = rest.partition(':')
        target = {'layer': layers, 'header': headers, 'never': never, 'apart': apart}.get(word)
        if target is None or not colon:
            sys.exit(f'{path}:{number}: expected "layer|header|never|apart NAME: ..."')
        target[name.strip()] = values.split()
    return layers, headers, never, apart


def layer_of(path, layers):
    """The longest layer name that is a folder of this path."""
    parts = path.split('/')[:-1]
    while parts:
        if '/'.join(parts) in layers:
            return '/'.join(parts)
        parts.pop()
    return None


def owner_rule(header, headers):
    fits = [p for p in headers if header == p or (p.endswith('/') and header.startswith(p))]
    return max(fits, key=len) if fits else None


def reached(root, name, seen):
    """Every header that a file includes, through others too, and the file that includes it."""
    for kind, header in INCLUDE.findall((root / name).read_text()):
        if kind == '"' and header not in seen and (root / header).exists():
            seen[header] = name
            reached(root, header, seen)
    return seen


def check_apart(root, apart):
    for name, forbidden in apart.items():
        if not (root / name).is_file():
            yield f'LAYERS: apart {name}: there is no such file'
            continue
        for header, by in reached(root, name, {}).items():
            if any(header == f or (f.endswith('/') and header.startswith(f)) for f in forbidden):
                yield f'{name}: may not reach {header} (through {by})'


def check(root):
    layers, headers, never, apart = read_rules(root / 'LAYERS')
    breaches, n_includes = [], 0
    files = [p for top in ('proto', 'keys', 'daemon', 'tools', 'tests') for p in sorted((root / top).rglob('*.[ch]'))]
    for path in files:
        name = path.relative_to(root).as_posix()
        layer = layer_of(name, layers)
        if layer is None:
            breaches.append(f'{name}: belongs to no layer')
            continue
        for match in INCLUDE.finditer(path.read_text()):
            n_includes += 1
            kind, header = match.groups()
            line = path.read_text()[:match.start()].count('\n') + 1
            where = f'{name}:{line}'
            if kind == '"':
                if header.endswith('.pb-c.h'):
                    if layer != 'proto':
                        breaches.append(f'{where}: generated {header} stays inside proto')
                    continue
                target = layer_of(header, layers)
                if '/' not in header or target is None or not (root / header).exists():
                    breaches.append(f'{where}: "{header}" is not a path from the root of the repository')
                elif target != layer and target not in layers[layer] and '*' not in layers[layer]:
                    breaches.append(f'{where}: {layer} may not include {target}')
                elif header in never.get(layer, ()):
                    breaches.append(f'{where}: {layer} may never include {header}')
            elif layer != 'tests':
                rule = owner_rule(header, headers)
                if rule and not any(name == o or name.startswith(o + '/') for o in headers[rule]):
                    breaches.append(f'{where}: <{header}> belongs to {" ".join(headers[rule])}')
    breaches += check_apart(root, apart)
    return breaches, len(files), n_includes


if __name__ == '__main__':
    found, n_files, n_includes = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else '.').resolve())
    print('\n'.join(found) if found else f'{n_files} files, {n_includes} includes keep to LAYERS')
    sys.exit(1 if found or n_files == 0 else 0)
