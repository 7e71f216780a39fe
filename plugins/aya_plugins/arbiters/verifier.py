"""Judge answers by a check against what is known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from aya_core.api import Arbiter, Case, Field, Strategy, Verdict
from aya_plugins.checks import CHECK_DESCRIPTION, Check, check_name, load_check, verdict


class Verifier(Strategy[Arbiter]):
    """Score each answer by a check against its prompt's reference.

    Abstains where the prompt has no reference. A check that raises, or gives NaN, fails that answer alone.
    """

    pointwise: ClassVar[bool] = True

    check: Annotated[str, AfterValidator(check_name)] = Field("exact", description=CHECK_DESCRIPTION)

    def build(self) -> Arbiter:
        """Load the check. Raises PluginError when a function of the recipe's cannot be imported."""
        return _Verifier(load_check(self.check))


class _Verifier:
    def __init__(self, check: Check) -> None:
        self._check = check

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            yield [verdict(self._check, candidate.text, case.prompt) for candidate in case.candidates]
