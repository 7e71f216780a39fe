"""The micro-world as a data set, and its score as a check for the verifier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import field_validator

from aya_core.api import (
    LANGUAGES,
    Dataset,
    DatasetStrategy,
    Demonstration,
    ExampleRow,
    Field,
    Language,
    Prompt,
    did_you_mean,
    user_prompt,
)

if TYPE_CHECKING:
    from aya_plugins.datasets.micro_world import Example

Split = Literal["teach", "reward", "arbitrage", "online", "dev", "heldout"]


class MicroWorld(DatasetStrategy):
    """Make small word problems in 23 languages, each with its right answer as reference.

    No problem of `heldout` or `dev` occurs in another split, in any language.
    """

    imports = ("numpy",)
    extra = "train"

    split: Split = Field(description="Which problems to draw: four splits to train on, one to tune on, one held out.")
    per_language: int = Field(1000, ge=1, le=20_000, description="Problems in each language.")
    languages: tuple[Language, ...] = Field(LANGUAGES, min_length=1, description="Languages to ask in, by code.")
    seed: int | None = Field(None, ge=0, description="Seed of the problems drawn; the run's own by default.")
    corrupt: float = Field(
        0.0, ge=0, le=1, description="Share of answers that are given in another language than asked."
    )
    as_prompts: bool = Field(False, description="Yield prompts without the answers to imitate.")

    @field_validator("languages")
    @classmethod
    def _known(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for language in languages:
            if language not in LANGUAGES:
                raise ValueError(f"the micro-world has no language '{language}'; {did_you_mean(language, LANGUAGES)}")
        if len(set(languages)) < len(languages):
            raise ValueError("a language is named twice; name each once")
        return languages

    def build(self) -> Dataset:
        """Make the data set; problems are drawn when rows are asked for."""
        return _Rows(self)


class _Rows:
    def __init__(self, settings: MicroWorld) -> None:
        self._settings = settings

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        from aya_plugins.datasets.micro_world import examples

        settings = self._settings
        # The second, clean stream: the reference is right even where the demonstration is corrupt.
        drawn, clean = (
            examples(
                settings.split,
                per_language=settings.per_language,
                languages=settings.languages,
                seed=seed if settings.seed is None else settings.seed,
                corrupt=corrupt,
            )
            for corrupt in (settings.corrupt, 0.0)
        )
        for example, right in zip(drawn, clean, strict=True):
            prompt = _prompt(right)
            yield prompt if settings.as_prompts else Demonstration(prompt, example.answer, "micro-world")


def _prompt(example: Example) -> Prompt:
    return user_prompt(example.id, example.language, example.prompt, example.answer, {"task": example.task})


def micro_world_score(answer: str, prompt: Prompt) -> float:
    """Score an answer in [0, 1]: the share of words in place, times the share in the right language."""
    from aya_plugins.datasets.micro_world import score

    if prompt.reference is None:
        raise ValueError(f"prompt '{prompt.id}' has no reference")
    return score(answer, prompt.reference, prompt.language)


def micro_world_language(answer: str, prompt: Prompt) -> float:
    """Say which share of an answer's words is in the prompt's language, in [0, 1]."""
    from aya_plugins.datasets.micro_world import share_in

    return share_in(prompt.language, answer)
