"""A part of the prompts, for a quick look: so many of each language, drawn by a hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aya_core.api import Action, Builder, Prompt, Work, read_rows, write_rows
from aya_recipe.arbitrage.drawing import drawn_by_language

LIMIT = "limit-prompts"
"""The action of the step."""


def add(build: Builder, id: str, prompts: str, limit: int | None) -> str:
    """Add the step that draws prompts, and return its id; without a limit, that of the prompts."""
    if limit is None:
        return prompts
    return build.add(id, LIMIT, "prompts", {"limit": limit}, {"prompts": prompts})


def limit_prompts(work: Work) -> Mapping[str, Any]:
    """Draw so many prompts of each language, by their ids: those that differ in the language at the start of their ids alone are drawn
    together."""
    limit, total = work.setting("limit"), 0

    def counted() -> Iterator[Prompt]:
        nonlocal total
        for prompt in read_rows(work.inputs["prompts"], Prompt):
            total += 1
            yield prompt

    kept = drawn_by_language(counted(), _nameless, limit, 0)
    count = write_rows(work.out, Prompt, (prompt for prompts in kept.values() for prompt in prompts))
    return {"rows": count, "of": total}


def _nameless(prompt: Prompt) -> Prompt:
    """A prompt whose id does not begin with its language."""
    return Prompt(prompt.id.removeprefix(f"{prompt.language}/"), prompt.language, prompt.messages)


def sentence(limit: int) -> str:
    """Say what a limit does, for signatures and reports."""
    return f"{limit} prompts of each language, drawn by hash"


ACTION = Action(
    limit_prompts,
    phrases=lambda measures: [f"{measures['rows']:,} of {measures['of']:,} prompts"] if "of" in measures else [],
)
