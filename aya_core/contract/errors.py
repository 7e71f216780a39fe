"""Errors by cause. Each is the user's to mend: what is wrong, where, what was expected, what to do.

Whatever derives from `AyaError` is printed as one message with exit code 2. Anything else is our bug and shows a
traceback.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path


class AyaError(Exception):
    """A mistake that the reader of the message can mend."""


class RecipeError(AyaError):
    """The recipe, or an override of it, says something that cannot be done."""


class PluginError(AyaError):
    """A plugin fails to load, offers a taken name, or returns something its kind does not allow."""


class DataError(AyaError):
    """Rows, files or checkpoints that are missing or not what they must be."""


class ArtifactError(AyaError):
    """A folder that should hold finished work does not, or has been changed since."""


class DamageError(AyaError):
    """A file that was written whole and is not what was written any more."""


class NodeFailedError(AyaError):
    """A step of the run ended for a reason of its own; what was finished before it is kept."""


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


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error is the machine's and not that of code: a disk that is full, a folder that is read-only, memory that is short."""
    if isinstance(error, MemoryError):
        return True
    found = isinstance(error, OSError) and error.errno in REMEDIES
    return found and not isinstance(error, FileNotFoundError | FileExistsError)


def is_file(path: Path) -> bool:
    """Whether a file stands at a path that somebody wrote; none does where no file can have such a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def death(code: int) -> str:
    """Say how a process ended. code: as `subprocess` gives it, less than 0 for a signal."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return (
            "was killed (SIGKILL), which is most often the system's answer to a lack of memory; if so, lower what it holds at a time, "
            "or have fewer steps at a time (machine.jobs)"
        )
    if name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"):
        return f"crashed ({name}) in compiled code of a library"
    return f"was ended by {name}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """End a message with the nearest known name, or with all of them when none is near."""
    names = sorted(set(known))
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is installed"
