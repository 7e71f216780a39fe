"""What the vLLM teacher runs.

Prompts go in as token ids, encoded by the same encoder that training and the transformers teacher use, so the chat
template is applied once. Engine and workers are processes of their own, vLLM's default, started afresh: a fork of a
process that has torch imported could hang.

Log-likelihoods are vLLM's `prompt_logprobs`, which leave the prefix cache aside and are those of the model itself,
before any sampling setting.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import count
from typing import Any

import numpy

from aya_core.api import AyaError, Completion, LogLikelihood, Prompt, Sampling, did_you_mean
from aya_plugins.modelling.checkpoint import load_encoder
from aya_plugins.modelling.draws import answer_keys
from aya_plugins.modelling.generate import before_stop
from aya_plugins.teachers.vllm import Vllm

os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # read when vLLM is imported

import vllm
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

SEEDS = 2**62
"""vLLM adds the index of a sample to the seed of its request, and takes up to 2^63."""


def engine_arguments(settings: Vllm) -> dict[str, Any]:
    """Turn settings into vLLM's arguments, by their names there.

    Raises AyaError for more of them than vLLM has, and for what a setting of its own says.
    """
    known = {field.name for field in fields(vllm.EngineArgs)}
    named = {name for name in type(settings).model_fields if name in known}
    for name in settings.engine:
        if name in named:
            raise AyaError(f"teacher 'vllm': engine: '{name}' is a setting of the teacher itself; set it there")
        if name not in known:
            raise AyaError(f"teacher 'vllm': engine: vLLM has no engine argument '{name}'; {did_you_mean(name, known)}")
    given = {name: value for name in named if (value := getattr(settings, name)) is not None}
    # The sampling is all said here: what the checkpoint's generation_config.json suggests is left aside.
    given |= {"generation_config": "vllm", "model": str(settings.model)}
    if current_platform.is_cpu():
        # vLLM 0.32 dies on a CPU of a request with a seed whose prompt is read in pieces ("CPU Generator does not use
        # offset"). TODO: take this out once a release reads such prompts.
        given["enable_chunked_prefill"] = False
    return {**given, **settings.engine}


class VllmTeacher:
    """See `Vllm`. Satisfies `LikelihoodTeacher`."""

    def __init__(self, settings: Vllm) -> None:
        arguments = engine_arguments(settings)
        load_encoder(settings.model, max_tokens=1)  # its errors say more than the engine's
        try:
            self.engine = vllm.LLM(**arguments)
        except (ValueError, TypeError) as error:
            raise AyaError(f"teacher 'vllm': {settings.model}: vLLM refuses these settings: {error}") from error
        self.names = count()
        longest = self.engine.model_config.max_model_len
        self.encoder = load_encoder(settings.model, max_tokens=longest, system=settings.system)

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        """Yield the answers of a prompt as soon as all of them are there.

        A prompt that leaves no room for `max_tokens` in the model's context is left out. Each request has a seed of its
        own, so an answer depends on those beside it by rounding alone.
        """
        encoded = self.encoder.prompts(prompts)
        lengths = encoded.lengths
        fitting = numpy.flatnonzero(lengths + sampling.max_tokens <= self.encoder.max_tokens).tolist()
        keys = answer_keys(seed, [prompt.id for prompt in prompts], 1)[:, 0].tolist()
        requests = [(encoded.row(row), self._sampling(sampling, keys[row] % SEEDS)) for row in fitting]
        for place, output in self._outputs(requests):
            row = fitting[place]
            made = [output.outputs[0]] * sampling.n if sampling.temperature == 0 else output.outputs
            texts = self.encoder.tokenizer.batch_decode([one.token_ids for one in made], skip_special_tokens=True)
            for index, (one, text) in enumerate(zip(made, texts, strict=True)):
                yield Completion(
                    prompts[row].id,
                    "vllm",
                    index,
                    before_stop(text, sampling.stop),
                    prompt_tokens=int(lengths[row]),
                    completion_tokens=len(one.token_ids),
                    finish_reason=str(one.finish_reason),
                )

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        """Score each answer given its prompt, in the order asked.

        One that leaves no room for another token in the context scores NaN: vLLM always makes one.
        """
        encoded = self.encoder.answers(pairs)
        rows = [encoded.row(index) for index in range(len(pairs))]
        sums = [math.nan] * len(pairs)
        fitting = [index for index, row in enumerate(rows) if len(row) < self.encoder.max_tokens]
        scored = vllm.SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        for place, output in self._outputs([(rows[index], scored) for index in fitting]):
            index = fitting[place]
            first = max(1, int(encoded.answers[index]))  # nothing stands before a row's first token
            steps = zip(rows[index][first:], output.prompt_logprobs[first:], strict=True)
            sums[index] = math.fsum(step[token].logprob for token, step in steps)
        return [
            LogLikelihood(nats, int(tokens)) for nats, tokens in zip(sums, encoded.answer_tokens.tolist(), strict=True)
        ]

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
