"""Which columns hold what, where a recipe says so."""

from __future__ import annotations

from aya_core.api import Field, Settings

IDS = ("id", "prompt_id", "question_id")
"""Where ids are looked for when no column is named."""


class Columns(Settings):
    """Which column holds what. One that is named must be in every row; others are used where found."""

    id: str | None = Field(
        None, description=f"Ids, unique. By default {', '.join(IDS)}, and rows without are numbered by file."
    )
    language: str | None = Field(
        None,
        description="Languages, as codes of ISO 639 (en, eng, zh-Hant, pt_BR) or English names. By default language.",
    )
    script: str | None = Field(
        None,
        description="Scripts (Latn, Hant) that go with the languages. By default script, where it holds such codes.",
    )
    prompt: str | None = Field(
        None,
        description="What is asked: a text, or a list of messages. By default prompt; else messages, conversations, instruction or inputs.",
    )
    completion: str | None = Field(
        None, description="The answer to imitate. By default completion; else what goes with the prompt's column."
    )
    chosen: str | None = Field(None, description="The better answer. By default chosen.")
    rejected: str | None = Field(None, description="The worse answer. By default rejected.")
    reference: str | None = Field(None, description="The known right answer. By default reference.")
    score: str | None = Field(
        None,
        description="Scores of completions, higher for better. Answers to one prompt, one after the other, then share its id.",
    )
    item: str | None = Field(
        None,
        description="By what a question is named in all languages: errors take its rows for one observation. By default item; or the id, "
        "where `id_template` tells languages apart.",
    )
    meta: tuple[str, ...] = Field(
        (), description="Columns to keep with each prompt, under their own names and as text; every row must have them."
    )
