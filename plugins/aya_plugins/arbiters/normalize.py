"""Scores on one scale, whatever the language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from aya_core.api import (
    Arbiter,
    CalibratedArbiter,
    Case,
    DataError,
    KeepingArbiter,
    PluginError,
    ReplyStore,
    Strategy,
    Verdict,
    checked_verdicts,
)

MIN_SCORES = 30
"""Fewer scores than this are no scale of their own: from 30, a standard deviation is known to about 13%."""

NO_SPREAD = 1e-6
"""A standard deviation below this share of the largest score is the rounding of a constant."""


class Scale(NamedTuple):
    """Where scores lie and how far they spread."""

    mean: float
    deviation: float


class ZNormalized:
    """Makes another arbiter's scores (score - mean) / standard deviation, by the language of the prompt.

    Reward models drift: the same gap between two answers is wide in one language and narrow in another. Here the margins
    of all languages, and of several arbiters, are in the same unit. The order within a prompt stays as it was. The
    score itself is kept as the detail `raw`.

    Mean and deviation are those of the sample that `calibrate` is given. A language with fewer than 30 scores there, or
    with equal ones only, takes those of all languages together.

    name: of the other arbiter, for messages.
    """

    def __init__(self, inner: Arbiter, name: str) -> None:
        self._inner = inner
        self._name = name
        self._scales: dict[str, Scale] = {}
        self._overall: Scale | None = None

    def keep_replies(self, stores: Callable[[Strategy[Any]], ReplyStore]) -> None:
        """Let the other arbiter keep its replies."""
        if isinstance(self._inner, KeepingArbiter):
            self._inner.keep_replies(stores)

    def calibrate(self, cases: Sequence[Case]) -> None:
        """Take the scales from these cases. Raises DataError where they give none: no scores, or all of them equal."""
        if not cases:
            return
        if isinstance(self._inner, CalibratedArbiter):
            self._inner.calibrate(cases)
        scores: dict[str, list[float]] = defaultdict(list)
        for case, verdicts in zip(cases, checked_verdicts(self._inner, cases, f"arbiter '{self._name}'"), strict=True):
            scores[case.prompt.language] += [verdict.score for verdict in verdicts if verdict.score is not None]
        everything = [score for found in scores.values() for score in found]
        self._overall = _scale(everything)
        if self._overall is None:
            what = f"scores all {len(everything)} of them {everything[0]:g}" if everything else "scores none of them"
            raise DataError(
                f"arbiter '{self._name}': `normalize: language` looked at {sum(len(case.candidates) for case in cases)} "
                f"candidates for a scale, and it {what}; set `normalize: none`, or judge answers that it tells apart"
            )
        enough = {language: _scale(found) for language, found in scores.items() if len(found) >= MIN_SCORES}
        self._scales = {language: scale for language, scale in enough.items() if scale is not None}

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Judge as the other arbiter does, on the scale of each case's language."""
        if not cases:
            return
        if self._overall is None:
            raise PluginError(
                f"arbiter '{self._name}' has no scale to judge on: calibrate() was not called, or no case was left to call "
                "it with; call it first with a sample of the cases, or set `normalize: none`"
            )
        for case, verdicts in zip(cases, checked_verdicts(self._inner, cases, f"arbiter '{self._name}'"), strict=True):
            scale = self._scales.get(case.prompt.language, self._overall)
            yield [_normalized(verdict, scale) for verdict in verdicts]


def _scale(scores: Sequence[float]) -> Scale | None:
    """The scale of some scores, or None where they have no spread."""
    if not scores:
        return None
    deviation = pstdev(scores)
    return Scale(fmean(scores), deviation) if deviation > NO_SPREAD * max(map(abs, scores)) else None


def _normalized(verdict: Verdict, scale: Scale) -> Verdict:
    if verdict.score is None:
        return verdict
    details = {**verdict.details, "raw": verdict.score}
    return Verdict((verdict.score - scale.mean) / scale.deviation, details=details)
