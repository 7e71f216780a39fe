"""Errors by cause. Each is the user's to mend: what is wrong, where, what was expected, what to do.

Whatever derives from `AyaError` is printed as one message with exit code 2. Anything else is our bug and shows a
traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


STOPPED = 75
"""Exit code of a command that was told to stop (SIGTERM) and goes on where it was when it is given again; EX_TEMPFAIL of sysexits."""


class StoppedError(AyaError):
    """The run was told to stop. What was done is kept, and the same command goes on from there."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """End a message with the nearest known name, or with all of them when none is near."""
    names = sorted({str(name) for name in known})
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is installed"
