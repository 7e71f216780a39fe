"""What an arbiter must do."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from aya_core.contract.kinds import Arbiter, ArbiterStrategy, CalibratedArbiter, KeepingArbiter
from aya_core.contract.records import Case, Verdict
from aya_core.testing.samples import sample_cases
from aya_core.testing.strategy import Rules, check_strategy

ROUNDING = 1e-3
"""How much a score may move with the batch it is computed in, relative."""

STATUSES = ("scored", "abstained", "failed")


def check_arbiter(strategy: ArbiterStrategy, *, cases: Sequence[Case] | None = None) -> None:
    """Check an arbiter on a few cases. Raises AssertionError that says which rule is broken.

    cases: what to judge; an arbiter for special prompts needs some of these.
    """
    check_strategy(strategy, "arbiter")
    expect = Rules(strategy)
    cases = sample_cases() if cases is None else cases
    arbiter = strategy.build()
    if isinstance(arbiter, CalibratedArbiter):
        arbiter.calibrate(cases)
    judged = [list(verdicts) for verdicts in arbiter.judge(cases)]
    expect(len(judged) == len(cases), f"judge() judged {len(judged)} of {len(cases)} cases")
    for case, verdicts in zip(cases, judged, strict=True):
        expect(
            len(verdicts) == len(case.candidates),
            f"judge() gave {len(verdicts)} verdicts on the {len(case.candidates)} candidates of '{case.prompt.id}'",
        )
        for verdict in verdicts:
            _check_verdict(expect, verdict)
    expect(not list(arbiter.judge([])), "judge() judged although there was no case")
    if isinstance(arbiter, KeepingArbiter):
        _check_keeping(expect, strategy, cases, judged)
    if strategy.pointwise:
        _check_alone(expect, arbiter, cases, judged)
    backwards = [list(verdicts) for verdicts in arbiter.judge(cases[::-1])][::-1]
    alone = [list(next(iter(arbiter.judge([case])))) for case in cases]
    for other in (backwards, alone):
        for case, one, two in zip(cases, judged, other, strict=True):
            expect(
                all(map(_same, one, two)),
                f"the verdicts on '{case.prompt.id}' must not depend on other cases; judged otherwise they were others",
            )


def _check_keeping(
    expect: Rules, strategy: ArbiterStrategy, cases: Sequence[Case], judged: Sequence[Sequence[Verdict]]
) -> None:
    """Judge twice with the same stores: the replies that are kept must give the verdicts that they gave when they came."""
    stores: dict[int, _Store] = {}
    for _ in range(2):
        arbiter = strategy.build()
        if isinstance(arbiter, KeepingArbiter):
            arbiter.keep_replies(lambda asked: stores.setdefault(id(asked), _Store()))
        if isinstance(arbiter, CalibratedArbiter):
            arbiter.calibrate(cases)
        for case, one, two in zip(cases, judged, arbiter.judge(cases), strict=True):
            expect(
                all(map(_same, one, two)),
                f"the verdicts on '{case.prompt.id}' are others where replies are kept; does the key hold all that decides a reply?",
            )


class _Store:
    """Replies in memory, as JSON holds them."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def find(self, key: str) -> Any | None:
        text = self._texts.get(key)
        return None if text is None else json.loads(text)

    def add(self, key: str, value: Any) -> None:
        self._texts[key] = json.dumps(value)


def _check_alone(expect: Rules, arbiter: Arbiter, cases: Sequence[Case], judged: Sequence[Sequence[Verdict]]) -> None:
    for case, together in zip(cases, judged, strict=True):
        singles = [Case(case.prompt, (candidate,)) for candidate in case.candidates]
        expect(
            all(_same(one, next(iter(two))) for one, two in zip(together, arbiter.judge(singles), strict=True)),
            f"it says `pointwise`, but verdicts on '{case.prompt.id}' depend on the other candidates",
        )


def _check_verdict(expect: Rules, verdict: Verdict) -> None:
    expect(isinstance(verdict, Verdict), f"judge() gave {type(verdict).__name__}; expected Verdict")
    expect(verdict.status in STATUSES, f"a verdict is {verdict.status!r}; expected {', '.join(STATUSES)}")
    if verdict.status == "scored":
        expect(
            isinstance(verdict.score, (int, float)) and math.isfinite(verdict.score),
            f"a score of {verdict.score}; expected a finite number (Verdict.fail for anything else)",
        )
    else:
        expect(verdict.score is None, f"a verdict that {verdict.status} has no score, not {verdict.score}")
        expect(bool(verdict.reason), f"a verdict that {verdict.status} must give its reason")


def _same(one: Verdict, two: Verdict) -> bool:
    if one.score is None or two.score is None:
        return one.status == two.status
    return math.isclose(one.score, two.score, rel_tol=ROUNDING, abs_tol=ROUNDING)
