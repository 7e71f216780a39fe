"""What all teachers that answer by a model can be told about their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import field_validator

from aya_core.api import Completion, Field, Sampling, Settings
from aya_plugins.answers.reasoning import apart

DECIDED = frozenset(
    {"add_generation_prompt", "chat_template", "continue_final_message", "conversation", "messages", "tokenize"}
)
"""Arguments of a chat template that are not the user's to set."""


class ReasoningSettings(Settings):
    """Whether a teacher's reasoning is part of its answer."""

    later_settings: ClassVar[frozenset[str]] = frozenset({"reasoning"})

    reasoning: Literal["apart", "keep"] = Field(
        "apart",
        description="What to do with the reasoning that a model writes before its answer: `apart` takes it out and keeps it beside the "
        "answer, where it is neither judged nor taught; `keep` leaves the text as it is, marks and all.",
    )


class ChatSettings(ReasoningSettings):
    """How a model's chat template is rendered, too."""

    later_settings: ClassVar[frozenset[str]] = frozenset({"reasoning", "chat_template_kwargs"})

    chat_template_kwargs: Mapping[str, Any] = Field(
        {},
        description="Arguments of the model's chat template, such as enable_thinking: false; see its chat_template.jinja.",
    )

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_the_template_s(cls, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in arguments:
            if name in DECIDED:
                raise ValueError(
                    f"'{name}' is no argument of a template that can be set; expected one such as enable_thinking"
                )
        return arguments


def why_left_out(tokens: int, context: int, sampling: Sampling) -> str:
    """Why a prompt of so many tokens is left out: it has none, or leaves no room for its answer."""
    if not tokens:
        return "the model's tokenizer makes no token of it"
    return f"longer than the context of {context} tokens, of which max_tokens takes {sampling.max_tokens}"


class Said(NamedTuple):
    """What a model said, taken apart."""

    text: str
    reasoning: str
    finish_reason: str

    @property
    def is_empty(self) -> bool:
        """Whether there is no answer."""
        return self.completion("", 0).is_empty

    def completion(self, prompt_id: str, index: int, prompt_tokens: int = 0, tokens: int = 0) -> Completion:
        """The completion; the stage fills in the teacher's name."""
        return Completion(prompt_id, "", index, self.text, prompt_tokens, tokens, self.finish_reason, self.reasoning)


def said(text: str, reasoning: str, finish_reason: str, *, keep: bool, is_open: bool = False) -> Said:
    """Take apart what a model wrote. Reasoning that does not end is an answer that was cut.

    reasoning: what was given apart already. keep: leave the text as it is. is_open: the prompt ends in the mark that opens reasoning.
    """
    if keep:
        return Said(text, reasoning, finish_reason)
    parts = apart(text, is_open=is_open)
    whole = "\n\n".join(part for part in (reasoning, parts.reasoning) if part)
    return Said(parts.answer, whole, "length" if parts.is_cut else finish_reason)
