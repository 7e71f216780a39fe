"""When to send the next request: rate limits, growing waits after failures, and what a server asks for."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

SECONDS_SINCE_1970, MILLISECONDS = 1e9, 1e11
"""Numbers above are a time and no duration; in milliseconds."""

LONGEST_HEADER = 100
"""Characters of a header that is a number, a duration or a date."""

LONGEST_BACKOFF = 60.0
"""Seconds at which waits stop doubling."""


class Bucket:
    """A token bucket: lets so many units through a minute, in the order in which they are asked for.

    It holds one second's worth, at least one unit: servers count by the second, too, and so no minute sees more than a
    sixtieth above the limit. clock: seconds, never going back.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._size = max(1.0, self._per_second)
        self._level = self._size
        self._clock = clock
        self._seen = clock()

    def reserve(self, units: float) -> float:
        """Take units, which may leave the bucket in debt, and return the seconds to wait until they are there."""
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._seen) * self._per_second) - units
        self._seen = now
        return max(0.0, -self._level / self._per_second)

    def give_back(self, units: float) -> None:
        """Return what was reserved and not used; negative units are taken on top."""
        self._level += units


def backoff(
    attempt: int, base: float, asked: float | None, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after a failed attempt: what the server asked for, and a draw below base * 2**attempt ("full
    jitter"), so that many clients do not come back at once.

    attempt: 0 for the first. asked: seconds, or None. The draw needs no seed, for no answer depends on it.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return (asked or 0.0) + draw(0.0, min(LONGEST_BACKOFF, base * 2.0 ** min(attempt, 30)))


def asked_to_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a reply asks to wait, or None: retry-after-ms, Retry-After as seconds or date, x-ratelimit-reset-* or ratelimit-reset.

    headers: looked up whatever their case. now: seconds since 1970, which a date is compared with.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    after = headers.get("retry-after")
    if after is not None:
        wait = _number(after)
        return _until(after[:LONGEST_HEADER], now) if wait is None else wait
    waits = [
        _reset(headers.get(f"{start}ratelimit-reset{what}", ""), now)
        for start in ("x-", "")
        for what in ("-requests", "-tokens", "")
        if headers.get(f"{start}ratelimit-remaining{what}", "" if what else "0") == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _number(text: str | None) -> float | None:
    if text is None or len(text) > LONGEST_HEADER or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    return float(text)


def _until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _reset(text: str, now: float) -> float | None:
    """Read when a limit is lifted: a duration, seconds, or seconds or milliseconds since 1970."""
    number = _number(text)
    if number is None:
        return _duration(text[:LONGEST_HEADER])
    since_1970 = number / 1000 if number > MILLISECONDS else number
    return max(0.0, since_1970 - now) if since_1970 > SECONDS_SINCE_1970 else number


def _duration(text: str) -> float | None:
    """Read 6m0s, 1.5s or 20ms as seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    scale = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * scale[unit] for number, unit in parts) if parts else None
