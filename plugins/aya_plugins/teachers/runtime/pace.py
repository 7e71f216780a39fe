"""How fast one server may be asked: a pause for all when it says that it is busy, then as fast as it has been answering."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

RAMP_REQUESTS = 4
"""Requests that are sent at once to a server that has never been asked."""

RAMP_SECONDS = 0.05
"""In which that number doubles, as long as the server takes all: a limit shows before hundreds of requests have run into it."""

FIRST_PAUSE = 1.0
"""Seconds of the pause after a server that does not say when to come back; it doubles while nothing is answered."""

LONGEST_PAUSE = 60.0

BELOW = 0.95
"""Of the pace at which a server was seen to answer, where the next try begins."""

STEEPNESS = 0.4
"""How much above `BELOW` the pace is when as many requests were answered as the guess stands on; it grows with their cube."""

FEWEST = 4.0
"""Answers that a guess counts for at the least, so that one busy reply at the beginning, before there was any answer, is soon forgotten."""

LESS = 0.7
"""Of a pace that was too fast, below which the next guess does not fall."""

SUREST = 128
"""Answers on which a guess at a server's pace stands at the most: older ones tell little of how busy it is now."""


class Pace:
    """Says when the next request may go to a server, and learns from what comes back.

    It begins with few requests at a time and soon has `most` in flight. When the server says that it is busy, all wait. Then half as
    many may be in flight, one more after each answer, and they follow one another at about the pace at which answers came before. That
    pace is held for a while and then grows faster and faster until the server is busy again: its limit may have risen.

    most: requests in flight. clock: seconds, never going back.

    Source: the growth is that of CUBIC, Ha et al. 2008, after which TCP looks for the bandwidth of a line (RFC 9438).
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.in_flight = 0
        self._most = most
        self._window = float(most)
        self._clock = clock
        self._begun: float | None = None
        self._paused_until = self._paused_at = -math.inf
        self._pauses = 0  # one after the other, without an answer between
        self._pace: float | None = None  # answers a second, as seen when the server was last busy
        self._next = -math.inf
        self._answered = 0
        self._since = 0.0
        self._known = (0.0, 0.0)  # answers and seconds before that, of which older ones count less

    def wait(self) -> float:
        """Seconds until the next request may go; infinite while nothing but an answer makes room for it."""
        now = self._clock()
        if self.in_flight >= int(self._window):
            return math.inf
        pause = max(0.0, max(self._paused_until, self._next) - now)
        return max(pause, self._ramp(now))

    def sent(self) -> float:
        """Count a request that goes now, and return the time, for `busy`."""
        now = self._clock()
        if self._begun is None:
            self._begun = self._since = now
        self.in_flight += 1
        if self._pace is not None:
            self._next = max(now, self._next) + 1 / self._now_at(self._pace)
        return now

    def answered(self) -> None:
        """Count an answer."""
        self.in_flight -= 1
        self._answered += 1
        self._pauses = 0
        self._window = min(float(self._most), self._window + 1)

    def failed(self) -> None:
        """Count a request that came to nothing, for which the pace is not to blame."""
        self.in_flight -= 1

    def busy(self, sent: float, asked: float | None) -> None:
        """Take it that the server is busy. sent: when the request went. asked: seconds, where the server names them."""
        self.in_flight -= 1
        now = self._clock()
        if sent <= self._paused_at:  # it went before the others were told to wait: no more news than that
            self._paused_until = max(self._paused_until, now + (asked or 0.0))
            return
        doubled = FIRST_PAUSE * 2.0 ** min(self._pauses, 64)  # far above the longest; a float holds 1,023 doublings
        pause = min(LONGEST_PAUSE, doubled) if asked is None else max(asked, 0.01)
        self._pauses += 1
        self._learn(now + pause)
        self._paused_at, self._paused_until, self._next = now, now + pause, -math.inf
        self._window = max(1.0, self._window / 2)

    def rest(self, seconds: float) -> None:
        """Send nothing for a while."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _learn(self, until: float) -> None:
        """Guess the server's pace from the answers since it was last busy and, fading, from those before. until: the pause ends."""
        tried = 0.0 if self._pace is None else self._now_at(self._pace)
        answers, seconds = self._known
        self._known = (answers / 2 + self._answered, seconds / 2 + until - self._since)
        answers, seconds = self._known
        if self._answered:
            self._pace = max(answers / seconds, LESS * tried)
        else:
            self._pace = LESS * tried or 1 / seconds
        self._answered, self._since = 0, until

    def _now_at(self, pace: float) -> float:
        """Requests a second, by how many were answered since the server was last busy."""
        grown = self._answered / max(FEWEST, self._known[0])
        return pace * (BELOW + STEEPNESS * min(grown, 100.0) ** 3)

    def _ramp(self, now: float) -> float:
        """Seconds until so many may be in flight at the beginning; 0 once a server has been busy, which says more."""
        if self._begun is None or self._pace is not None:
            return 0.0
        doublings = math.log2(max(1.0, (self.in_flight + 1) / RAMP_REQUESTS))
        return max(0.0, self._begun + doublings * RAMP_SECONDS - now)
