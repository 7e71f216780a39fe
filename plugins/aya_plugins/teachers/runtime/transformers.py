"""What the transformers teacher runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property

import numpy

from aya_core.api import Completion, Continuation, LogLikelihood, Prompt, Sampling, Unanswered
from aya_plugins.answers.said import ChatSettings, said, why_left_out
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder, load_model
from aya_plugins.modeling.contexts import encode, parts
from aya_plugins.modeling.continuations import ContinuationScorer
from aya_plugins.modeling.decode import can_decode
from aya_plugins.modeling.draws import answer_keys
from aya_plugins.modeling.generate import Answer, forget_suggestions, generate
from aya_plugins.modeling.grouped_attention import use_grouped_attention
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.memory import give_back, halving
from aya_plugins.modeling.packed import packed_products
from aya_plugins.modeling.rows import Ints, length_sorted
from aya_plugins.modeling.scoring import answer_logps
from aya_plugins.modeling.settings import CheckpointSettings

log = logging.getLogger(__name__)

NO_LIMIT = 1 << 30


class TransformersTeacher:
    """See the strategy `transformers`. Satisfies `LikelihoodTeacher` and `ContinuationTeacher`."""

    def __init__(
        self, settings: CheckpointSettings, *, system: str | None = None, chat: ChatSettings | None = None
    ) -> None:
        self.settings = settings
        self.chat = chat or ChatSettings()
        self.encoder = load_encoder(
            settings.model, max_tokens=NO_LIMIT, system=system, must_chat=False,
            template_arguments=self.chat.chat_template_kwargs,
        )  # fmt: skip
        give_back()
        self.model = load_model(settings, load_causal_lm)
        forget_suggestions(self.model)
        use_grouped_attention(self.model)
        self.scorer = ContinuationScorer(self.model, batch_tokens=settings.batch_tokens)

    @cached_property
    def in_place(self) -> bool:
        """Whether the model answers token by token in place; others are left to `generate`, which is slower."""
        found = can_decode(self.model)
        if not found:
            log.info("%s answers by transformers' generate", type(self.model).__name__)
        return found

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion | Unanswered]:
        """Yield the answers batch by batch, longest prompts first.

        A prompt that leaves no room for `max_tokens` in the model's context is left out, and so is one without tokens. The random
        numbers of an answer follow from the seed, its prompt's id and its index alone.
        """
        encoded = self.encoder.prompts(prompts, as_text=sampling.prompting == "text")
        lengths = encoded.lengths
        keys = answer_keys(seed, [prompt.id for prompt in prompts], sampling.n)
        fits = (lengths > 0) & (lengths + sampling.max_tokens <= self.encoder.max_tokens)
        fitting = numpy.flatnonzero(fits)
        for row in numpy.flatnonzero(~fits):
            yield Unanswered(prompts[row].id, why_left_out(lengths[row], self.encoder.max_tokens, sampling))

        def run(rows: Ints) -> list[list[Answer]]:
            return generate(self.model, self.encoder, encoded, rows, sampling, keys[rows], in_place=self.in_place)

        samples = 1 if sampling.temperature == 0 else sampling.n
        with packed_products(self.model) if self.in_place and len(fitting) else nullcontext():
            for batch in length_sorted(samples * (lengths[fitting] + sampling.max_tokens), self.settings.batch_tokens):
                for rows, answers in halving(fitting[batch], run):
                    for row, samples_of_row in zip(rows, answers, strict=True):
                        begun = self.encoder.decoder.is_open(encoded.row(row))
                        for index, answer in enumerate(samples_of_row):
                            ended = "length" if answer.was_cut else "stop"
                            what = said(answer.text, "", ended, keep=self.chat.reasoning == "keep", is_open=begun)
                            yield what.completion(prompts[row].id, index, int(lengths[row]), answer.tokens)

    def continuations(self, asked: Sequence[Continuation]) -> Iterator[tuple[int, LogLikelihood]]:
        """Yield the log-likelihood of each continuation after its context; NaN where it cannot be scored as asked."""
        for part in parts(asked):
            places = part.tolist()
            longest = self.encoder.max_tokens + 1  # the last is not read
            found = encode(self.encoder, [asked[place] for place in places], longest=longest)
            tokens, cut = found.tokens.tolist(), found.cut.tolist()
            for row in numpy.flatnonzero(~found.can_score).tolist():
                yield places[row], LogLikelihood(math.nan, tokens[row])
            scored = numpy.flatnonzero(found.can_score)
            give_back()
            for number, nats in self.scorer.score(found.rows.take(scored)):
                row = int(scored[number])
                yield places[row], LogLikelihood(min(nats, 0.0), tokens[row], cut[row])

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        """Score each answer given its prompt, in the order asked. One too long for the context, or without tokens, scores NaN."""
        encoded = self.encoder.answers(pairs)
        sums = answer_logps(
            AnswerLogps(self.model), encoded, self.encoder.pad_id, batch_tokens=self.settings.batch_tokens
        )
        sums[encoded.truncated] = numpy.nan
        return [
            LogLikelihood(float(nats), int(tokens)) for nats, tokens in zip(sums, encoded.answer_tokens, strict=True)
        ]
