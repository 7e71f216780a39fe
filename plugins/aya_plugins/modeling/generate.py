"""Answers of a model, in left-padded batches: token by token in place where the model can go on so, else by transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)

from aya_core.api import Sampling
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.decode import decode
from aya_plugins.modeling.draws import Draw, Keys
from aya_plugins.modeling.nucleus import NucleusWarper
from aya_plugins.modeling.rows import Encoded, Ints, left_padded


class Answer(NamedTuple):
    """One sampled answer. tokens: as generated, end of turn included. was_cut: stopped by max_tokens."""

    text: str
    tokens: int
    was_cut: bool


def generation_config(encoder: ChatEncoder, sampling: Sampling) -> GenerationConfig:
    """Say all of how to answer. Always greedy: among what `samplers` leave."""
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=sampling.max_tokens,
        eos_token_id=sorted(encoder.end_ids),
        pad_token_id=encoder.pad_id,
        bos_token_id=encoder.tokenizer.bos_token_id,
    )


def warpers(sampling: Sampling) -> list[LogitsProcessor]:
    """Shape the distribution in the order of transformers' own sampling. Nothing for greedy answers."""
    if sampling.temperature == 0:
        return []
    steps: list[LogitsProcessor] = [TemperatureLogitsWarper(sampling.temperature)]
    steps += [TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    steps += [NucleusWarper(sampling.top_p)] if sampling.top_p < 1 else []
    return steps


def samplers(sampling: Sampling, draw: Draw) -> LogitsProcessorList:
    """Shape the distribution, and draw from it, for `generate`, which is greedy among what that leaves."""
    return LogitsProcessorList([*warpers(sampling), draw] if sampling.temperature > 0 else [])


def forget_suggestions(model: Any) -> None:
    """Drop what the checkpoint's generation_config.json suggests: `generate` fills in from it whatever is not set."""
    model.generation_config = GenerationConfig()


def generate(
    model: Any, encoder: ChatEncoder, prompts: Encoded, rows: Ints, sampling: Sampling, keys: Keys, *, in_place: bool
) -> list[list[Answer]]:  # fmt: skip
    """Answer the named prompts in one batch: `sampling.n` answers for each, in order.

    keys: of each answer's random numbers, (rows, n). in_place: whether the model can (`can_decode`). Greedy answers are made once and
    repeated.
    """
    is_greedy = sampling.temperature == 0
    n = 1 if is_greedy else sampling.n
    run = _decoded if in_place else _generated
    with torch.inference_mode():
        made = run(model, encoder, prompts, rows, sampling, keys.reshape(-1), n)
    answers = read_answers(encoder, made.cpu().numpy(), sampling)
    if is_greedy:
        return [[answer] * sampling.n for answer in answers]
    return [answers[start : start + n] for start in range(0, len(answers), n)]


def _decoded(
    model: Any, encoder: ChatEncoder, prompts: Encoded, rows: Ints, sampling: Sampling, keys: Keys, copies: int
) -> Tensor:
    """Tokens of the answers, (rows x copies, time), by `decode`."""
    shape, draw = warpers(sampling), Draw(keys, 0, encoder.where)
    ends = torch.tensor(sorted(encoder.end_ids), device=model.device)
    stops = StopTexts(encoder.tokenizer, sampling.stop, 0) if sampling.stop else None

    def choose(scores: Tensor, here: Tensor, step: int) -> Tensor:
        for warper in shape:
            scores = warper(None, scores)
        return draw.tokens(scores, here.cpu().numpy(), step) if sampling.temperature > 0 else scores.argmax(-1)

    def has_ended(made: Tensor) -> Tensor:
        ended = torch.isin(made[:, -1], ends)
        return ended if stops is None else ended | stops(made, None)

    return decode(
        model, prompts, rows, copies=copies, steps=sampling.max_tokens, pad_id=encoder.pad_id, choose=choose, has_ended=has_ended
    )  # fmt: skip


def _generated(
    model: Any, encoder: ChatEncoder, prompts: Encoded, rows: Ints, sampling: Sampling, keys: Keys, copies: int
) -> Tensor:
    """The same by transformers."""
    ids, mask = left_padded(prompts, rows.repeat(copies), encoder.pad_id)
    width = ids.shape[1]
    stops = [StopTexts(encoder.tokenizer, sampling.stop, width)] if sampling.stop else []
    output: Tensor = model.generate(
        input_ids=torch.from_numpy(ids).to(model.device),
        attention_mask=torch.from_numpy(mask).to(model.device),
        generation_config=generation_config(encoder, sampling),
        logits_processor=samplers(sampling, Draw(keys, width, encoder.where)),
        stopping_criteria=StoppingCriteriaList(stops),
    )
    return output[:, width:]


class StopTexts(StoppingCriteria):  # type: ignore[misc]
    """Ends a row once one of some texts stands in it.

    transformers' own criterion fails on word-level vocabularies. A stop text of n characters has at most 4 n bytes, hence
    tokens, so only the last tokens need a look.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], prompt_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.stops = stops
        self.prompt_tokens = prompt_tokens
        self.window = 4 * max(len(stop) for stop in stops) + 4

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Say which rows end here: bool, (rows,)."""
        recent = input_ids[:, max(self.prompt_tokens, input_ids.shape[1] - self.window) :]
        texts = self.tokenizer.batch_decode(recent, skip_special_tokens=True)
        ended = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(ended, device=input_ids.device)


def read_answers(encoder: ChatEncoder, made: NDArray[numpy.int64], sampling: Sampling) -> list[Answer]:
    """Cut generated rows (rows, time) at their end of turn or stop text."""
    is_end = numpy.isin(made, list(encoder.end_ids))
    has_ended = numpy.asarray(is_end.any(1))
    ends = numpy.where(has_ended, is_end.argmax(1) + 1, made.shape[1])
    rows = [row[:end].tolist() for row, end in zip(made, ends, strict=True)]
    texts = encoder.decoder.texts(rows)
    answers = []
    for row, ended, text in zip(rows, has_ended, texts, strict=True):
        kept = before_stop(text, sampling.stop)
        was_stopped = kept != text
        if was_stopped and not ended:  # after it, a row that waits for the others is padded
            row = row[: len(row) - _padding(row, encoder.pad_id)]
        answers.append(Answer(kept, len(row), not ended and not was_stopped))
    return answers


def before_stop(text: str, stops: Sequence[str]) -> str:
    """Cut a text at the first of some texts that stands in it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def _padding(row: list[int], pad_id: int) -> int:
    count = 0
    while count < len(row) and row[-1 - count] == pad_id:
        count += 1
    return count
