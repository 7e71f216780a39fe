"""Settings of how trainers write conversations: by the start's own chat template, or by one that they are given."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, WithJsonSchema

from aya_core.api import Field, LocalFile, ModelRef, Settings

NAMES = ("chatml", "llama3", "gemma", "cohere", "plain")
"""Of the bundled chat templates."""

ENDINGS = (".jinja", ".jinja2", ".j2", ".txt")
"""Of files that hold a chat template."""


def _source(value: str | None) -> str | None:
    """Say what a chat template is given by: a bundled name, a file, or else a model."""
    if value is None or value in NAMES:
        return value
    if value.endswith(ENDINGS):
        return LocalFile(value)
    if "{" in value or "\n" in value:
        raise ValueError("is the text of a template; write it to a file that ends in .jinja, and name that")
    return ModelRef(value)


ChatTemplate = Annotated[str | None, AfterValidator(_source), WithJsonSchema({"type": ["string", "null"]})]


class ChatSettings(Settings):
    """By which template a trainer writes conversations."""

    later_settings: ClassVar[frozenset[str]] = frozenset({"chat_template", "training_template"})

    chat_template: ChatTemplate = Field(
        None,
        description=f"Chat template of the trained model, for a start that has none or another: {', '.join(NAMES)}, a file ({ENDINGS[0]}), "
        "or a model whose tokenizer has one. Tokens that it needs are reused or added, and it is stored in the checkpoint.",
    )
    training_template: LocalFile | None = Field(
        None,
        description="A file with the template by which rows are written in training alone, for models whose own template drops reasoning "
        "or rewrites earlier turns, as DeepSeek-R1's. The checkpoint keeps its own.",
    )
