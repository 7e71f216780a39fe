"""Guards of online training, as settings: what is measured after each round, and what ends the rounds."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from aya_core.api import Builder, Settings, nested, nested_for_each_model
from aya_recipe.options.defaults import LANGUAGE


class Limits(Settings):
    """Bounds on what the guards measure. Where none is set, nothing ends the rounds."""

    kl: float | None = Field(None, gt=0, description="Most nats per token between the model and the stage's start.")
    length: tuple[float, float] | None = Field(
        None,
        description="Least and most mean length in characters, as multiples of that before the first round: [0.7, 1.4].",
    )
    mismatch: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Most that the share of answers in another language may rise above that before the first round.",
    )
    distinct: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Least distinct-1, -2, -3 and -4, each as a multiple of its value before the first round.",
    )
    each_language: bool = Field(
        False, description="Hold every language to the limits, not only the mean over languages; n is small there."
    )

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Limits:
        if self.length is not None and not 0 <= self.length[0] < self.length[1]:
            raise ValueError(f"length is {list(self.length)}; expected [low, high] with 0 <= low < high")
        return self

    @property
    def are_set(self) -> bool:
        """Whether anything can end the rounds."""
        return any(getattr(self, name) is not None for name in ("kl", "length", "mismatch", "distinct"))


class Guards(Settings):
    """What is measured on samples of the model after each round, and of the start, always to the same prompts."""

    per_language: int = Field(16, ge=1, description="Prompts in each language, drawn by hash from those of the stage.")
    n: int = Field(2, ge=1, description="Samples per prompt; otherwise sampled as in the rounds.")
    language: nested("arbiter") | None = Field(  # type: ignore[valid-type]
        None,
        description="Who says whether an answer is in the prompt's language: `language` where that is installed, unless another one is "
        "named; null leaves that out.",
    )
    teacher: nested_for_each_model() | None = Field(  # type: ignore[valid-type]
        None, description="How log-likelihoods are taken, for the KL; None takes the stage's teacher."
    )
    stop: Limits = Field(Limits(), description="When the rounds end before their number.")

    @model_validator(mode="after")
    def _measures_what_it_limits(self) -> Guards:
        if self.stop.mismatch is not None and self.language is None and "language" in self.model_fields_set:
            raise ValueError("stop.mismatch needs `language`: the arbiter who says what language an answer is in")
        return self

    def arbiter(self, build: Builder) -> Any:
        """Who says in which language answers are; None where nobody does."""
        if "language" in self.model_fields_set:
            return self.language
        if LANGUAGE in build.registry.strategies["arbiter"]:
            return build.registry.validate("arbiter", {"use": LANGUAGE})
        if self.stop.mismatch is not None:
            raise build.error(
                "guards.language",
                f"missing; stop.mismatch needs an arbiter, and the default, '{LANGUAGE}', is not installed",
            )
        return None

    def scorer(self, teacher: Any) -> Any:
        """The teacher that gives log-likelihoods. teacher: the stage's."""
        return self.teacher or teacher
