"""A gate: has the answer a sensible length, an end, and no loops?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Literal

from pydantic import model_validator

from aya_core.api import Arbiter, ArbiterStrategy, Case, Completion, Field, Verdict

WINDOW = 20
"""Characters of a repeated stretch: longer than a common phrase of most languages, shorter than the period of most loops."""


class Length(ArbiterStrategy):
    """Let answers pass that have a sensible length, were not cut off and do not go round in circles; their score is 1.

    Others get an abstention with the reason. Characters are Unicode code points without the white space around the answer,
    so that one rule holds for scripts without spaces: a Chinese character, a Hindi vowel sign and a letter are one each.
    Details: `characters`, and `too_short`, `too_long`, `cut` and `repetitive`, each 0 or 1.
    """

    min_characters: int = Field(1, ge=0, description="Shorter answers do not pass; 1 refuses empty ones.")
    max_characters: int | None = Field(None, ge=1, description="Longer answers do not pass.")
    max_ratio: float | None = Field(
        None, gt=1, description="Longest answer that passes, as a multiple of the median length of the prompt's others."
    )
    cut: Literal["abstain", "allow"] = Field(
        "abstain",
        description="What to do with answers that were cut off at the longest length (`finish_reason: length`).",
    )
    max_repetition: float | None = Field(
        0.7,
        ge=0,
        le=1,
        description=f"Largest part of an answer's stretches of {WINDOW} characters that have occurred in it before.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Length:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters ({self.max_characters}) is below min_characters ({self.min_characters}): nothing passes"
            )
        return self

    @property
    def pointwise(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether other answers do not matter."""
        return self.max_ratio is None

    def build(self) -> Arbiter:
        """Make the gate."""
        return _Length(self)


class _Length:
    def __init__(self, settings: Length) -> None:
        self.settings = settings

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            lengths = [len(candidate.text.strip()) for candidate in case.candidates]
            yield [
                self._verdict(candidate, lengths[place], lengths[:place] + lengths[place + 1 :])
                for place, candidate in enumerate(case.candidates)
            ]

    def _verdict(self, candidate: Completion, length: int, others: Sequence[int]) -> Verdict:
        faults = self._faults(candidate, length, others)
        names = ("too_short", "too_long", "cut", "repetitive")
        details = {"characters": float(length)} | {name: float(name in faults) for name in names}
        if faults:
            return Verdict.abstain("; ".join(faults.values()), details)
        return Verdict(1.0, details=details)

    def _faults(self, candidate: Completion, length: int, others: Sequence[int]) -> Mapping[str, str]:
        """What is wrong with an answer, by name, in words. others: lengths of the prompt's other answers."""
        rules, faults = self.settings, {}
        if length < rules.min_characters:
            faults["too_short"] = f"{length} characters, fewer than {rules.min_characters}"
        usual = median(others) if others else 0
        if rules.max_characters is not None and length > rules.max_characters:
            faults["too_long"] = f"{length} characters, more than {rules.max_characters}"
        elif rules.max_ratio is not None and usual and length > rules.max_ratio * usual:
            faults["too_long"] = f"{length} characters, more than {rules.max_ratio:g} times the others' {usual:g}"
        if rules.cut == "abstain" and candidate.finish_reason == "length":
            faults["cut"] = "cut off at the longest length"
        if rules.max_repetition is not None and (repeated := repetition(candidate.text)) > rules.max_repetition:
            faults["repetitive"] = f"{repeated:.0%} of it is repetition"
        return faults


def repetition(text: str) -> float:
    """Measure which part of a text's stretches of 20 characters occurred in it before, from 0 to 1.

    Characters rather than words, so that it means the same in scripts without spaces. Of 1,920 real answers of three
    models 14 are above 0.7, loops all of them, and the next one, a list in a fixed mould, is at 0.67.
    """
    stretches = len(text) - WINDOW + 1
    if stretches < 1:
        return 0.0
    return 1 - len({text[start : start + WINDOW] for start in range(stretches)}) / stretches
