"""Simulated power cuts: what a disk may hold when the power goes, for any moment of a run that was recorded once.

strace writes down every call by which the daemon changes its files, with its bytes and times. For a moment t the files
are made anew: a write is there when a sync of its file that had begun after it had ended by t (or when its descriptor
was opened O_DSYNC); any other write begun by t is there or not, page by page, as chance has it; a rename is there when
a sync of its folder followed. Clocks of client and daemon are the same, so what must be there is what clients were
told before t.
"""
import pathlib
import re
import shutil

CALLS = ('openat', 'lseek', 'write', 'writev', 'pwrite64', 'pwritev', 'ftruncate', 'fallocate', 'fsync', 'fdatasync', 'msync',
         'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'linkat')
PAGE = 4096
LINE = re.compile(r'(\d+\.\d+) (\w+)\((.*)\) += (-?\d+)(.*?)<(\d+\.\d+)>$')
QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
FD = re.compile(r'(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>')


def strace_command(strace, prefix):
    return [strace, '-ff', '-qq', '-xx', '-y', '-s', '1000000000', '-ttt', '-T', '-o', prefix, '-e', 'trace=' + ','.join(CALLS),
            '-e', 'signal=none']


def plain(text):
    return bytes.fromhex(text.replace('\\x', ''))


class Op:
    def __init__(self, kind, start, end, path, offset=0, data=b'', to=None, dsync=False):
        self.kind, self.start, self.end, self.path = kind, start, end, path
        self.offset, self.data, self.to, self.dsync = offset, data, to, dsync


class Recording:
    """Changes of the files below `folder`, in the order they began."""

    def __init__(self, prefix, folder):
        self.folder = str(folder)
        self.position, self.dsync, self.ops = {}, {}, []
        lines = []
        for path in pathlib.Path(prefix).parent.glob(pathlib.Path(prefix).name + '.*'):
            process = path.suffix
            for line in path.read_text(errors='replace').splitlines():
                match = LINE.match(line)
                if match and int(match[4]) >= 0:
                    lines.append((float(match[1]), process, match))
        for start, process, match in sorted(lines, key=lambda line: line[0]):
            self.take(start, match)
        assert any(op.kind == 'sync' for op in self.ops) and any(op.kind == 'write' for op in self.ops)

    def take(self, start, match):
        name, args, result, end = match[2], match[3], int(match[4]), start + float(match[6])
        fds = [(number, plain(path).decode()) for number, path in FD.findall(args)]
        texts = [plain(text) for text in QUOTED.findall(args)]
        fd, path = fds[0] if fds else (None, '')
        if name == 'openat':
            path = str(pathlib.Path(path) / texts[0].decode())
            # Descriptors that only read have the same numbers in the other process.
            if path.startswith(self.folder) and 'O_RDONLY' not in args:
                self.position[str(result)], self.dsync[str(result)] = 0, 'SYNC' in args
                if 'O_TRUNC' in args:
                    self.ops.append(Op('truncate', start, end, path))
            return
        if name.startswith('rename'):
            names = [str(pathlib.Path(p) / t.decode()) for (_, p), t in zip(fds, texts)] if fds else [t.decode() for t in texts]
            if names[1].startswith(self.folder):
                self.ops.append(Op('rename', start, end, names[0], to=names[1]))
            return
        if not path.startswith(self.folder):
            assert name not in ('unlink', 'unlinkat', 'linkat', 'msync') or self.folder not in args, 'not modelled'
            return
        if name == 'lseek':
            self.position[fd] = result
        elif name in ('write', 'writev', 'pwrite64', 'pwritev'):
            data = b''.join(texts)
            assert len(data) == result, f'{name}: {len(data)} of {result} bytes seen'
            if name.startswith('p'):
                offset = int(args.rsplit(',', 1)[1])
            else:
                offset = self.position[fd]
                self.position[fd] += result
            self.ops.append(Op('write', start, end, path, offset, data, dsync=self.dsync.get(fd, False)))
        elif name in ('fsync', 'fdatasync'):
            self.ops.append(Op('sync', start, end, path))
        else:
            assert name in ('unlinkat', 'linkat'), f'{name} is not modelled'

    def moments(self, rng, n, after=0.0):
        """Times at which the power may go: at, in and right after a change."""
        ops = [op for op in self.ops if op.start >= after]
        return [rng.uniform(op.start, op.end + 0.0005) for op in rng.choices(ops, k=n)]

    def is_durable(self, op, t, syncs):
        if not syncs:
            return False
        if op.dsync and op.end <= t:
            return True
        # A rename is made durable by a sync of the folder, a write by one of its file, under whichever name.
        names = {str(pathlib.Path(op.to).parent)} if op.kind == 'rename' else {op.path}
        return any(s.kind == 'sync' and s.path in names and s.start >= op.end and s.end <= t for s in self.ops)

    def image(self, pristine, target, t, rng, keep, syncs=True):
        """The files after a power cut at t in `target`; what was not synced is kept with probability `keep`."""
        files, base = {}, pathlib.Path(pristine)
        for path in base.rglob('*'):
            if path.is_file():
                files[str(pathlib.Path(self.folder) / path.relative_to(base))] = bytearray(path.read_bytes())
        for op in self.ops:
            if op.start > t or op.kind == 'sync':
                continue
            durable = self.is_durable(op, t, syncs)
            if op.kind == 'truncate':
                if durable or rng.random() < keep:
                    files[op.path] = bytearray()
                files.setdefault(op.path, bytearray())
            elif op.kind == 'rename':
                if durable or rng.random() < keep:
                    files[op.to] = files.pop(op.path)
            else:
                put(files.setdefault(op.path, bytearray()), op, lambda durable=durable: durable or rng.random() < keep)
        shutil.rmtree(target, ignore_errors=True)
        for path, data in files.items():
            path = pathlib.Path(target) / pathlib.Path(path).relative_to(self.folder)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(data)
            path.chmod(0o600)


def put(content, op, keeps):
    """Write the pages of an operation that reached the disk."""
    at = 0
    while at < len(op.data):
        n = min(PAGE - (op.offset + at) % PAGE, len(op.data) - at)
        if keeps():
            if len(content) < op.offset + at:
                content.extend(bytes(op.offset + at - len(content)))
            content[op.offset + at:op.offset + at + n] = op.data[at:at + n]
        at += n
