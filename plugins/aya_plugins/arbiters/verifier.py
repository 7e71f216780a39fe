"""Judge answers by a check against what is known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aya_core.api import Arbiter, ArbiterStrategy, Case, Verdict
from aya_plugins.checks import Checking, CheckOptions


class Verifier(CheckOptions, ArbiterStrategy):
    """Score each answer by a check against its prompt's reference.

    Abstains where the prompt has no reference. A check that raises, or gives NaN, fails that answer alone.
    """

    version = 2
    pointwise = True

    def build(self) -> Arbiter:
        """Load the check. Raises PluginError when a function of the recipe's cannot be imported."""
        return _Verifier(self.checking())


@dataclass(frozen=True)
class _Verifier:
    checking: Checking

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            yield [self.checking.verdict(candidate.text, case.prompt) for candidate in case.candidates]
