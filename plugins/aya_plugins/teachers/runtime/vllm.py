"""What the vLLM teacher runs.

Prompts go in as token ids, encoded by the same encoder that training and the transformers teacher use, so the chat
template is applied once. Engine and workers are processes of their own, vLLM's default, started afresh: a fork of a
process that has torch imported could hang.

Log-likelihoods are vLLM's `prompt_logprobs`, which leave the prefix cache aside, or those of a first generated token; both are the
model's own, before any sampling setting.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import count
from typing import Any

import numpy

from aya_core.api import (
    AyaError,
    Completion,
    Continuation,
    LogLikelihood,
    Prompt,
    Sampling,
    Unanswered,
    did_you_mean,
)
from aya_plugins.answers.endings import ending
from aya_plugins.answers.said import ChatSettings, said, why_left_out
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.modeling.contexts import encode, parts
from aya_plugins.modeling.draws import answer_keys
from aya_plugins.modeling.generate import before_stop
from aya_plugins.modeling.rows import Encoded
from aya_plugins.modeling.weights import check_whole

os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # read when vLLM is imported

import vllm
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

SEEDS = 2**62
"""vLLM adds the index of a sample to the seed of its request, and takes up to 2^63."""

MOST_LETTERS = 128
"""Tokens whose log-probabilities vLLM gives in one request."""


def engine_arguments(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Turn settings of the teacher into vLLM's arguments: those that vLLM has by the same name. more: arguments as they are.

    Raises AyaError where `more` names none of vLLM's, or what a setting of the teacher's says.
    """
    known = {field.name for field in fields(vllm.EngineArgs)}
    named = settings.keys() & known
    for name in more:
        if name in named:
            raise AyaError(f"teacher 'vllm': engine: '{name}' is a setting of the teacher itself; set it there")
        if name not in known:
            raise AyaError(f"teacher 'vllm': engine: vLLM has no engine argument '{name}'; {did_you_mean(name, known)}")
    given = {name: value for name in named if (value := settings[name]) is not None}
    # The sampling is all said here: what the checkpoint's generation_config.json suggests is left aside.
    given |= {"generation_config": "vllm", "model": str(settings["model"])}
    if current_platform.is_cpu():
        # vLLM 0.32 dies on a CPU of a request with a seed whose prompt is read in pieces ("CPU Generator does not use
        # offset"). TODO: take this out once a release reads such prompts.
        given["enable_chunked_prefill"] = False
    return {**given, **more}


class VllmTeacher:
    """See the strategy `vllm`. Satisfies `LikelihoodTeacher` and `ContinuationTeacher`."""

    def __init__(self, model: str, *, system: str | None, arguments: Mapping[str, Any], chat: ChatSettings) -> None:
        self.chat = chat
        load_encoder(model, max_tokens=1, must_chat=False)  # its errors say more than the engine's
        check_whole(model)
        try:
            self.engine = vllm.LLM(**arguments)
        except (ValueError, TypeError) as error:
            raise AyaError(f"teacher 'vllm': {model}: vLLM refuses these settings: {error}") from error
        self.names = count()
        longest = self.engine.model_config.max_model_len
        self.encoder = load_encoder(
            model, max_tokens=longest, system=system, must_chat=False, template_arguments=chat.chat_template_kwargs
        )

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion | Unanswered]:
        """Yield the answers of a prompt as soon as all of them are there.

        A prompt that leaves no room for `max_tokens` in the model's context is left out, and so is one without tokens. Each request
        has a seed of its own, so an answer depends on those beside it by rounding alone.
        """
        encoded = self.encoder.prompts(prompts, as_text=sampling.prompting == "text")
        lengths = encoded.lengths
        fits = (lengths > 0) & (lengths + sampling.max_tokens <= self.encoder.max_tokens)
        fitting = numpy.flatnonzero(fits).tolist()
        for row in numpy.flatnonzero(~fits):
            yield Unanswered(prompts[row].id, why_left_out(lengths[row], self.encoder.max_tokens, sampling))
        keys = answer_keys(seed, [prompt.id for prompt in prompts], 1)[:, 0].tolist()
        requests = [(encoded.row(row), self._sampling(sampling, keys[row] % SEEDS)) for row in fitting]
        for place, output in self._outputs(requests):
            row = fitting[place]
            made = [output.outputs[0]] * sampling.n if sampling.temperature == 0 else output.outputs
            texts = self.encoder.decoder.texts([list(one.token_ids) for one in made])
            begun = self.encoder.decoder.is_open(encoded.row(row))
            for index, (one, text) in enumerate(zip(made, texts, strict=True)):
                ended, is_kept = ending(one.finish_reason, "unknown"), self.chat.reasoning == "keep"
                what = said(before_stop(text, sampling.stop), "", ended, keep=is_kept, is_open=begun)
                yield what.completion(prompts[row].id, index, int(lengths[row]), len(one.token_ids))

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        """Score each answer given its prompt, in the order asked.

        One that leaves no room for another token in the context scores NaN: vLLM always makes one. So does one without tokens.
        """
        encoded = self.encoder.answers(pairs)
        rows = [encoded.row(index) for index in range(len(pairs))]
        sums = [math.nan] * len(pairs)
        is_scored = (encoded.scored_tokens > 0) & (encoded.lengths < self.encoder.max_tokens)
        fitting = numpy.flatnonzero(is_scored).tolist()
        scored = _scoring(prompt_logprobs=0)
        for place, output in self._outputs([(rows[index], scored) for index in fitting]):
            index = fitting[place]
            sums[index] = _sum(rows[index], int(encoded.answers[index]), output)
        return [
            LogLikelihood(nats, int(tokens)) for nats, tokens in zip(sums, encoded.answer_tokens.tolist(), strict=True)
        ]

    def continuations(self, asked: Sequence[Continuation]) -> Iterator[tuple[int, LogLikelihood]]:
        """Yield the log-likelihood of each continuation after its context; NaN where it cannot be scored as asked.

        Single tokens that may follow the same ones, as the letters of options, are one request, which reads the prefix cache. A
        context loses two tokens more than with transformers where it is too long: vLLM always makes one, and reads the last.
        """
        for part in parts(asked):
            places = part.tolist()
            found = encode(self.encoder, [asked[place] for place in places], longest=self.encoder.max_tokens - 1)
            tokens, cut = found.tokens.tolist(), found.cut.tolist()
            for row in numpy.flatnonzero(~found.can_score).tolist():
                yield places[row], LogLikelihood(math.nan, tokens[row])
            scored = numpy.flatnonzero(found.can_score)
            for number, nats in self._scores(found.rows.take(scored), found.tokens[scored].tolist()):
                row = int(scored[number])
                yield places[row], LogLikelihood(min(nats, 0.0), tokens[row], cut[row])

    def _scores(self, encoded: Encoded, tokens: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Yield each row with the log-probability of its answer. tokens: of the answers, one at least."""
        letters: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        requests: list[tuple[list[int], Any]] = []
        answers: list[Callable[[Any], Iterator[tuple[int, float]]]] = []
        for row, many in enumerate(tokens):
            ids = encoded.row(row)
            if many == 1:
                letters.setdefault(tuple(ids[:-1]), []).append((row, ids[-1]))
            else:
                requests.append((ids, _scoring(prompt_logprobs=0)))
                answers.append(partial(_whole, row, ids, int(encoded.answers[row])))
        for before, options in letters.items():
            for start in range(0, len(options), MOST_LETTERS):
                some = options[start : start + MOST_LETTERS]
                requests.append((list(before), _scoring(logprob_token_ids=sorted({token for _, token in some}))))
                answers.append(partial(_each, some))
        for place, output in self._outputs(requests):
            yield from answers[place](output)

    def _sampling(self, sampling: Sampling, seed: int) -> Any:
        is_greedy = sampling.temperature == 0
        how: Mapping[str, Any] = {} if is_greedy else {"top_p": sampling.top_p, "top_k": sampling.top_k, "seed": seed}
        return vllm.SamplingParams(
            n=1 if is_greedy else sampling.n,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            stop_token_ids=sorted(self.encoder.end_ids),
            detokenize=bool(sampling.stop),  # texts are decoded whole, as everywhere else
            output_kind=RequestOutputKind.FINAL_ONLY,
            **how,
        )

    def _outputs(self, requests: Sequence[tuple[list[int], Any]]) -> Iterator[tuple[int, Any]]:
        """Yield the outputs of all requests as they finish, each with its place. What is not waited for is aborted."""
        if not requests:
            return
        core = self.engine.llm_engine
        inputs = core.renderer.render_cmpl([{"prompt_token_ids": tokens} for tokens, _ in requests])
        waiting: dict[str, int] = {}
        try:
            for place, (tokens, (_, how)) in enumerate(zip(inputs, requests, strict=True)):
                waiting[name := str(next(self.names))] = place
                core.add_request(name, tokens, how)
            while waiting:
                for output in core.step():
                    if output.finished:
                        yield waiting.pop(output.request_id), output
        finally:
            if waiting:
                core.abort_request(list(waiting))


def _scoring(**wanted: Any) -> Any:
    """Ask for log-probabilities. One token is made beside them: vLLM makes no fewer."""
    return vllm.SamplingParams(
        max_tokens=1, temperature=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY, **wanted
    )


def _sum(ids: Sequence[int], answer: int, output: Any) -> float:
    """The log-probability of a row from the token on with which its answer begins."""
    first = max(1, answer)  # nothing stands before a row's first token
    return math.fsum(
        step[token].logprob for token, step in zip(ids[first:], output.prompt_logprobs[first:], strict=True)
    )


def _whole(row: int, ids: Sequence[int], answer: int, output: Any) -> Iterator[tuple[int, float]]:
    yield row, _sum(ids, answer, output)


def _each(options: Sequence[tuple[int, int]], output: Any) -> Iterator[tuple[int, float]]:
    """The log-probabilities of single tokens. options: (row, token)."""
    (step,) = output.outputs[0].logprobs
    for row, token in options:
        yield row, step[token].logprob
