"""What the machine refuses, in a sentence: a full or read-only disk, a name that is too long, too little memory."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free some space there, or choose another folder",
    errno.EDQUOT: "free some space there, or ask for more",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file stands where a folder is expected; move it, or choose another folder",
    errno.EISDIR: "a folder stands where a file is expected; move it, or choose another file",
    errno.EEXIST: "something stands there already; move it, or choose another name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the limit on open files of the system",
    errno.ENOMEM: "free some memory",
    errno.EIO: "the disk may be failing; look at the log of the system",
    errno.ESTALE: "the network folder was mounted anew; begin again",
    errno.ELOOP: "links there lead to one another; mend them",
    errno.ENOENT: "expected a file or folder there",
}
"""What to do about errors of the system."""


def os_sentence(error: OSError) -> str:
    """Say what the system refused, on which file, and what to do."""
    if error.strerror is None:
        return f"{type(error).__name__}: {error}"
    files = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    what = error.strerror[:1].lower() + error.strerror[1:]
    remedy = REMEDIES.get(error.errno or 0)
    return "; ".join(filter(None, (f"{files}: {what}" if files else what, remedy)))


NO_SPACE = ("No space left on device", "disk is full", "StorageFull", "Disk quota exceeded")
"""How libraries say that a disk is full, where they raise no OSError: safetensors, SQLite, torch."""


def machine_trouble(error: BaseException) -> str | None:
    """Say what the machine lacks, where that is why code failed: a full or read-only disk, too little memory. None for other errors.

    An error is also the machine's where it was raised while one of the machine's was handled.
    """
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        if isinstance(found, MemoryError):
            return f"memory ran out{f' ({found})' if str(found) else ''}; free some, or have it hold less at a time"
        is_plain = isinstance(found, FileNotFoundError | FileExistsError)
        if isinstance(found, OSError) and found.errno in REMEDIES and not is_plain:
            return os_sentence(found)
        if isinstance(found, UnicodeEncodeError) and found.reason == "surrogates not allowed":
            before, after = found.object[: found.start].rsplit('"', 1)[-1], found.object[found.start :].split('"', 1)[0]
            return f"{before[-40:] + after[:40]!r}: a name here is not UTF-8, so it cannot be recorded; rename the file or folder"
        if any(words in str(found) for words in NO_SPACE):
            return f"{type(found).__name__}: {found}; {REMEDIES[errno.ENOSPC]}"
        seen.append(found)
        found = found.__cause__ or found.__context__
    return None


def is_file(path: Path) -> bool:
    """Whether a file stands at a path that somebody wrote; none does where no file can have such a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
