"""How trainers write conversations: by the start's own chat template, or by one that they are given."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.api import CUT, AyaError, Demonstration, Preference, TrainingJob
from aya_plugins.modeling.chat import Answer, ChatEncoder
from aya_plugins.modeling.chat_templates import fit_model
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.trainers.runtime.stored_rows import Seen


def encoder_of(start: Path, settings: Any, scratch: Path | None = None) -> ChatEncoder:
    """Read the tokenizer of a start, with the chat template that settings give it. scratch: see `ChatEncoder`."""
    return load_encoder(
        start,
        max_tokens=settings.max_tokens,
        must_chat=False,
        chat_template=settings.chat_template,
        training_template=settings.training_template,
        scratch=scratch,
    )


def begin_chat(model: Any, encoder: ChatEncoder, settings: Any) -> None:
    """Make a model fit a template that it was given. Raises AyaError where new tokens cannot be learned."""
    given = encoder.given
    if given is None:
        return
    if given.added and settings.lora is not None:
        raise AyaError(
            f"{given}: a LoRA leaves their embeddings frozen, so they are never learned; train without `lora` first, or give a template "
            "whose tokens the vocabulary has"
        )
    fit_model(model, encoder.tokenizer, given)


def check_reference(encoder: ChatEncoder, job: TrainingJob) -> None:
    """Refuse a template whose new tokens the start lacks, where the start is compared with. Raises AyaError."""
    given = encoder.given
    if given is not None and given.added and job.needs_reference:
        raise AyaError(
            f"{given}: the reference has no such tokens; give the template in supervised training first, and start from its checkpoint"
        )


def say_template(encoder: ChatEncoder) -> None:
    """Say what became of a template that was given."""
    if encoder.given is not None:
        warnings.warn(f"{encoder.where}: {encoder.given}", stacklevel=2)


TOKENS_ADDED = "chat_template_tokens_added"
"""Counts the tokens that a given chat template needed and the vocabulary lacked."""


def template_account(encoder: ChatEncoder) -> Mapping[str, float]:
    """Count the tokens that were added for a template that was given; nothing where none was."""
    return {} if encoder.given is None else {TOKENS_ADDED: len(encoder.given.added)}


def demonstrated(rows: Sequence[Demonstration]) -> Sequence[Answer]:
    """The answers of demonstrations or groups; those that were cut get no end."""
    return Seen(
        rows,
        lambda row: [Answer(row.prompt, row.completion, row.more, row.finish_reason in CUT, row.prompt_tokens or 0)],
    )


def compared(rows: Sequence[Preference]) -> Sequence[Answer]:
    """Both answers of each pair, one after the other; those that were cut get no end. A missing one is empty: the row is dropped."""
    return Seen(rows, _both, each=2)


def _both(row: Preference) -> Sequence[Answer]:
    return [
        Answer(row.prompt, text or "", more, ended in CUT, row.prompt_tokens or 0)
        for text, more, ended in (
            (row.chosen, row.chosen_more, row.chosen_finish_reason),
            (row.rejected, row.rejected_more, row.rejected_finish_reason),
        )
    ]
