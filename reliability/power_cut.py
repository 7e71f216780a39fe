"""A disk whose power can be cut: it records what is flushed, and makes folders as they may be found after a cut.

What POSIX promises, and no more. The bytes of a file are safe once it is flushed; otherwise any part of them may be lost, or be
zeros. A name in a folder, a rename or a removal is safe once the folder is flushed; otherwise it may or may not have happened.
Times of change are those of the moment of the cut, so that nothing can be told from them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import RLock
from typing import Any

CHANGES = ("rename", "replace", "unlink", "remove", "rmdir")
"""The functions of `os` that change names in folders."""


@dataclass(frozen=True)
class Cut:
    """The state of a disk at one moment: by inode, names in folders and bytes of files, now and when they were last flushed.

    times: of the last change of each file, in nanoseconds.
    """

    root: int
    folders: Mapping[int, Mapping[str, int]]
    files: Mapping[int, bytes]
    flushed_folders: Mapping[int, Mapping[str, int]]
    flushed_files: Mapping[int, bytes]
    times: Mapping[int, int]

    def restore(self, target: Path, rng: Random) -> None:
        """Make in a new folder what may be found after the cut, drawn at random."""
        self._folder(self.root, Path(target), rng)

    def _folder(self, inode: int, target: Path, rng: Random) -> None:
        target.mkdir()
        old, new = self.flushed_folders.get(inode, {}), self.folders.get(inode, {})
        for name, found in _names(old, new, rng).items():
            path = target / name
            if found in self.folders or found in self.flushed_folders:
                self._folder(found, path, rng)
            else:
                path.write_bytes(self._bytes(found, rng))
                if found in self.times:
                    os.utime(path, ns=(self.times[found], self.times[found]))

    def _bytes(self, inode: int, rng: Random) -> bytes:
        safe, now = self.flushed_files.get(inode), self.files.get(inode)
        if now is None or now == safe:
            return safe or b""
        kept = len(safe) if safe is not None and now.startswith(safe) else 0
        end = rng.randint(kept, len(now))
        return rng.choice([now[:kept], now[:end], now[:end] + bytes(len(now) - end), now])


def _names(old: Mapping[str, int], new: Mapping[str, int], rng: Random) -> dict[str, int]:
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

    def __init__(self, root: Path, keep: Callable[[int], bool] = lambda number: True) -> None:
        self.root, self.keep = Path(root), keep
        self.cuts: list[Cut] = []
        self.events = 0
        self._flushed_folders: dict[int, Mapping[str, int]] = {}
        self._flushed_files: dict[int, bytes] = {}
        self._held: dict[int, int] = {}  # open files, so that no inode is given away twice
        self._lock = RLock()

    @contextmanager
    def watched(self, monkeypatch: Any) -> Iterator[None]:
        """Record what this process does to the folder; flushes are noted, not done."""
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", self._fsync)
            for name in CHANGES:
                patch.setattr(os, name, self._recorded(getattr(os, name)))
            yield
        self.close()

    def flushed(self, descriptor: int) -> None:
        """Note that an open file or folder was flushed as it is now."""
        with self._lock:
            found = os.fstat(descriptor)
            if found.st_ino not in self._held:
                self._held[found.st_ino] = os.dup(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}")
            if stat.S_ISDIR(found.st_mode):
                self._flushed_folders[found.st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}
            else:
                self._flushed_files[found.st_ino] = path.read_bytes()

    def flush_all(self) -> None:
        """Note that all that is there is safe, as after a start."""
        for folder, _, names in os.walk(self.root):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                descriptor = os.open(path, os.O_RDONLY)
                self.flushed(descriptor)
                os.close(descriptor)

    def cut(self) -> Cut:
        """What is there and what is safe of it, at this moment."""
        folders: dict[int, dict[str, int]] = {}
        files: dict[int, bytes] = {}
        times: dict[int, int] = {}
        _read(self.root, folders, files, times)
        root = self.root.stat().st_ino
        return Cut(root, folders, files, dict(self._flushed_folders), dict(self._flushed_files), times)

    def close(self) -> None:
        """Let go of the files that are held."""
        for opened in self._held.values():
            os.close(opened)
        self._held = {}

    def _recorded(self, change: Callable[..., None]) -> Callable[..., None]:
        def recorded(*args: Any, **kwargs: Any) -> None:
            self._event()
            return change(*args, **kwargs)

        return recorded

    def _fsync(self, opened: int) -> None:
        with self._lock:
            self._event()
            self.flushed(opened)

    def _event(self) -> None:
        with self._lock:
            self.events += 1
            if self.root.is_dir() and self.keep(self.events):
                self.cuts.append(self.cut())


def _read(folder: Path, folders: dict[int, dict[str, int]], files: dict[int, bytes], times: dict[int, int]) -> None:
    names = folders.setdefault(folder.stat().st_ino, {})
    for entry in os.scandir(folder):
        names[entry.name] = entry.inode()
        if entry.is_dir():
            _read(Path(entry.path), folders, files, times)
        else:
            files[entry.inode()] = Path(entry.path).read_bytes()
            times[entry.inode()] = entry.stat().st_mtime_ns
