"""An arbiter that asks another one checks what it says, as a stage does."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aya_core.api import Arbiter, Case, PluginError, Verdict


def ask(arbiter: Arbiter, cases: Sequence[Case], name: str) -> list[list[Verdict]]:
    """Have an arbiter judge; a score that is no finite number becomes a failure. No case, no call.

    name: of the arbiter, for messages. Raises PluginError unless there is one verdict on each candidate.
    """
    judged = [list(verdicts) for verdicts in arbiter.judge(cases)] if cases else []
    if len(judged) != len(cases):
        raise PluginError(f"arbiter '{name}' judged {len(judged)} of {len(cases)} cases; expected each, in order")
    for case, verdicts in zip(cases, judged, strict=True):
        if len(verdicts) != len(case.candidates):
            raise PluginError(
                f"arbiter '{name}' gave {len(verdicts)} verdicts on the {len(case.candidates)} candidates of "
                f"'{case.prompt.id}'; expected one on each"
            )
    return [[_checked(verdict) for verdict in verdicts] for verdicts in judged]


def _checked(verdict: Verdict) -> Verdict:
    if verdict.status == "scored" and (verdict.score is None or not math.isfinite(verdict.score)):
        return Verdict.fail(f"the score is {verdict.score}", verdict.details)
    return verdict
