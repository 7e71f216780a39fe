"""A disk whose power can be cut: it records what is flushed, and makes folders as they may be found after a cut.

What POSIX promises, and no more. The bytes of a file are safe once it is flushed; otherwise any part of them may be lost, or be
zeros. A name in a folder, a rename or a removal is safe once the folder is flushed; otherwise it may or may not have happened.
"""

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock


@dataclass(frozen=True)
class Cut:
    """The state of a disk at one moment: by inode, names in folders and bytes of files, now and when they were last flushed."""

    root: int
    folders: dict
    files: dict
    flushed_folders: dict
    flushed_files: dict

    def restore(self, target, rng):
        """Make in a new folder what may be found after the cut, drawn at random."""
        self._folder(self.root, Path(target), rng)

    def _folder(self, inode, target, rng):
        target.mkdir()
        old, new = self.flushed_folders.get(inode, {}), self.folders.get(inode, {})
        for name, found in _names(old, new, rng).items():
            if found in self.folders or found in self.flushed_folders:
                self._folder(found, target / name, rng)
            else:
                (target / name).write_bytes(self._bytes(found, rng))

    def _bytes(self, inode, rng):
        safe, now = self.flushed_files.get(inode), self.files.get(inode)
        if now is None or now == safe:
            return safe or b""
        kept = len(safe) if safe is not None and now.startswith(safe) else 0
        end = rng.randint(kept, len(now))
        return rng.choice([now[:kept], now[:end], now[:end] + bytes(len(now) - end), now])


def _names(old, new, rng):
    """Choose between what a folder held when it was flushed and what it holds now, for each name; a rename is one choice."""
    group = {name: name for name in {*old, *new}}
    now_called = {inode: name for name, inode in new.items()}
    for name, inode in old.items():
        if inode in now_called:
            first, second = group[name], group[now_called[inode]]
            group = {other: first if one == second else one for other, one in group.items()}
    is_done = {one: rng.random() < 0.5 for one in sorted(set(group.values()))}
    chosen = {name: (new if is_done[group[name]] else old).get(name) for name in sorted(group)}
    return {name: inode for name, inode in chosen.items() if inode is not None}


class Disk:
    """Watches a folder. cuts: its state before each flush, rename and removal, if `keep` says so of its number."""

    def __init__(self, root, keep=lambda number: True):
        self.root, self.keep = Path(root), keep
        self.cuts = []
        self.events = 0
        self._flushed_folders, self._flushed_files = {}, {}
        self._held = {}  # open files, so that no inode is given away twice
        self._lock = RLock()

    @contextmanager
    def watched(self, monkeypatch):
        """Record what this process does to the folder; flushes are noted, not done."""
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", self._fsync)
            for name in ("rename", "replace", "unlink", "rmdir"):
                patch.setattr(os, name, self._recorded(getattr(os, name)))
            yield
        for opened in self._held.values():
            os.close(opened)

    def _recorded(self, change):
        def recorded(*args, **kwargs):
            self._event()
            return change(*args, **kwargs)

        return recorded

    def _fsync(self, opened):
        with self._lock:
            self._event()
            found = os.fstat(opened)
            if found.st_ino not in self._held:
                self._held[found.st_ino] = os.dup(opened)
            path = Path(f"/proc/self/fd/{opened}")
            if stat.S_ISDIR(found.st_mode):
                self._flushed_folders[found.st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}
            else:
                self._flushed_files[found.st_ino] = path.read_bytes()

    def _event(self):
        with self._lock:
            self.events += 1
            if self.root.is_dir() and self.keep(self.events):
                folders, files = {}, {}
                _read(self.root, folders, files)
                root = self.root.stat().st_ino
                self.cuts.append(Cut(root, folders, files, dict(self._flushed_folders), dict(self._flushed_files)))


def _read(folder, folders, files):
    names = folders.setdefault(folder.stat().st_ino, {})
    for entry in os.scandir(folder):
        names[entry.name] = entry.inode()
        if entry.is_dir():
            _read(Path(entry.path), folders, files)
        else:
            files[entry.inode()] = Path(entry.path).read_bytes()
