"""Regular expressions that come with rows and adapters: some take longer than the world will last, on a short text."""

from __future__ import annotations

import re

from aya_plugins.time_limit import SlowError, within

SECONDS = 2.0
"""How long one expression may take on one text."""

_slow: set[str] = set()
"""Expressions that took longer, which are not tried again."""


def matches(pattern: str, text: str, seconds: float = SECONDS) -> bool:
    """Whether an expression matches anywhere in a text. Raises TimeoutError for one that takes too long, and for it from then on."""
    too_long = f"the regular expression {pattern!r:.80} takes longer than {seconds:g} s; write it so that no two repetitions meet"
    if pattern in _slow:
        raise TimeoutError(too_long)
    try:
        with within(seconds):
            return re.search(pattern, text) is not None
    except SlowError:
        _slow.add(pattern)
        raise TimeoutError(too_long) from None
