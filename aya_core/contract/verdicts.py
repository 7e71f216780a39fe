"""Verdicts of any arbiter, checked as they come: by the stage that judges, and by whatever asks an arbiter itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aya_core.contract.errors import PluginError
from aya_core.contract.kinds import Arbiter
from aya_core.contract.records import Case, Verdict


def checked_verdicts(arbiter: Arbiter, cases: Sequence[Case], who: str = "the arbiter") -> Iterator[list[Verdict]]:
    """Have an arbiter judge, and yield the verdicts on each case, in order. Without a case it is not asked.

    A score that is no finite number becomes a failure. who: it is, for messages. Raises PluginError unless there is one
    verdict on each candidate.
    """
    given = iter(arbiter.judge(cases) if cases else ())
    for number, case in enumerate(cases):
        verdicts = next(given, None)
        if verdicts is None:
            raise PluginError(f"{who} judged {number} of {len(cases)} cases; expected verdicts for each, in order")
        if len(verdicts) != len(case.candidates):
            raise PluginError(
                f"{who} gave {len(verdicts)} verdicts on the {len(case.candidates)} candidates of '{case.prompt.id}'"
            )
        yield [_checked(verdict, case, who) for verdict in verdicts]
    if next(given, None) is not None:
        raise PluginError(f"{who} judged more than {len(cases)} cases; expected verdicts for each, in order")


def _checked(verdict: Verdict, case: Case, who: str) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise PluginError(f"{who} gave {verdict!r} on '{case.prompt.id}'; expected a Verdict")
    if (
        type(verdict.score) is float
        and verdict.status == "scored"
        and not verdict.details
        and math.isfinite(verdict.score)
    ):
        return verdict  # most are like this, and they are many
    try:
        details = {name: float(value) for name, value in verdict.details.items()} if verdict.details else {}
        score = None if verdict.score is None else float(verdict.score)
    except (TypeError, ValueError):
        raise PluginError(
            f"{who} gave {verdict!r} on '{case.prompt.id}'; expected numbers as score and details"
        ) from None
    if not all(map(math.isfinite, details.values())):
        raise PluginError(f"{who} gave the details {details} on '{case.prompt.id}'; expected finite numbers")
    if verdict.status != "scored":
        return Verdict(None, verdict.status, str(verdict.reason), details)
    if score is None or not math.isfinite(score):
        return Verdict.fail(f"the score is {verdict.score}", details)
    return Verdict(score, "scored", str(verdict.reason), details)
