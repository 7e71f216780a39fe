"""The folder beside OUT in which `aya merge` works: whose it is, who works in it, and what may be removed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aya_core.api import DataError, flush, locked, make_folder, make_output_folder, os_sentence, rename, say, write_file

_MARK, _LOCK, _MADE, _SCRATCH = "aya-merge", ".lock", "made", "work"


class OutputPlace:
    """OUT, which does not exist yet, and OUT.partial, where what becomes OUT is made.

    OUT.partial holds a mark by which we know that it is ours, a lock, `made` (what becomes OUT), and `work` (finished shards, from
    which a stopped merge goes on). Nothing else in it is touched.
    """

    def __init__(self, out: Path) -> None:
        """Name the two folders. Raises DataError where OUT cannot become a folder."""
        self.out = out
        if not _is_free(out):
            if out.is_symlink() and not out.exists():
                raise DataError(f"{out}: is a link to a place that does not exist; remove it, or choose another folder")
            raise DataError(f"{out}: exists already; choose another folder, or remove it")
        self.partial = out.with_name(out.name + ".partial")

    @property
    def made(self) -> Path:
        """What becomes OUT."""
        return self.partial / _MADE

    def scratch(self, name: str) -> Path:
        """A folder for finished shards, which outlasts a stopped merge."""
        return self.partial / _SCRATCH / name

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Take OUT.partial for this process alone; `made` is empty then.

        Removed at the end is what we made there: `made` always, all of it where the work is done or has left no finished shard.
        Raises DataError where another merge is at work, where the folder is anybody else's, and for errors of the disk.
        """
        with told(self.out), ExitStack() as stack:
            while True:
                self._check()
                make_output_folder(self.partial)
                try:
                    stack.enter_context(locked(self.partial / _LOCK, self._taken))
                    break
                except FileNotFoundError:  # the merge that we waited for has removed the folder
                    continue
            self._check()
            write_file(
                self.partial / _MARK,
                "Made by `aya merge`, which goes on from here when the same command is given again.\n",
            )
            self._remove(self.made)
            make_folder(self.made)
            try:
                yield
            except BaseException:
                self._remove(self.made)
                if self.partial.is_dir() and not any((self.partial / _SCRATCH).rglob("*.safetensors")):
                    self._close()
                raise

    def finish(self) -> None:
        """Give what is made its place, and remove the rest. To be called last in the block of `opened`."""
        flush(self.made)
        if not _is_free(self.out):
            kept = self.partial.with_name(f"{self.out.name}.merged")
            if _is_free(kept):
                rename(self.made, kept)
            raise DataError(f"{self.out}: was made by something else meanwhile; the merge is whole and lies in {kept}")
        rename(self.made, self.out)
        self._close()

    def _check(self) -> None:
        if not _is_free(self.out):
            raise DataError(f"{self.out}: exists already; choose another folder, or remove it")
        if not os.path.lexists(self.partial):
            return
        is_ours = self.partial.is_dir() and not self.partial.is_symlink()
        if not is_ours or not ((self.partial / _MARK).is_file() or all(map(_is_of_opening, self.partial.iterdir()))):
            raise DataError(
                f"{self.partial}: exists, and is not of a merge that was stopped; OUT is made there, so move it, or choose "
                "another OUT"
            )

    def _taken(self, who: str) -> DataError:
        return DataError(
            f"{self.out}: another `aya merge` is making it ({who}); wait for it to end, or choose another OUT"
        )

    def _close(self) -> None:
        """Remove what we made, and nothing else."""
        self._remove(self.made)
        self._remove(self.partial / _SCRATCH)
        left = [path for path in self.partial.iterdir() if not _is_of_opening(path)]
        for path in self.partial.iterdir():
            if _is_of_opening(path):
                path.unlink(missing_ok=True)
        if left:
            say(f"{self.partial}: holds files that the merge did not make; they are left there", err=True)
        else:
            self.partial.rmdir()

    def _remove(self, folder: Path) -> None:
        if folder.is_symlink():
            raise DataError(f"{folder}: is a link, which no merge makes; move {self.partial}, or choose another OUT")
        shutil.rmtree(folder, ignore_errors=True)


def _is_free(path: Path) -> bool:
    with told(path):
        return not os.path.lexists(path) and bool(path.name)


def _is_of_opening(path: Path) -> bool:
    """Whether something is what `opened` leaves before its mark stands."""
    return path.name in (_MARK, _LOCK) or path.match(f".{_MARK}.*.partial")


@contextmanager
def told(out: Path) -> Iterator[None]:
    """Tell errors of files and disks in one sentence. out: where the work goes, for messages."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        what = os_sentence(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"{what}; then give the same command again, finished shards are kept") from error
        raise DataError(f"{what} (while merging into {out})") from error
