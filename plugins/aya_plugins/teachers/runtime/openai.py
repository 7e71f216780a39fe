"""What the openai teacher runs: prompts to requests, choices to completions, and which prompts are left out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from aya_core.api import Completion, Message, Prompt, Sampling, Unanswered, stable_hash, user_prompt
from aya_plugins.answers.said import Said, said
from aya_plugins.teachers.runtime.background import Give, in_background
from aya_plugins.teachers.runtime.openai_reply import Reply
from aya_plugins.teachers.runtime.openai_servers import Limits, Servers
from aya_plugins.teachers.runtime.openai_trouble import GaveUpError, RefusedError
from aya_plugins.teachers.runtime.settings import ServerSettings

FIRST = 8
"""After so many prompts without one answer, a plain question finds out whether the prompts are at fault."""

PLAIN = user_prompt("a plain question", "en", "Hello!")

EMPTY = "an empty answer"

log = logging.getLogger(__name__)


class OpenAITeacher:
    """See the strategy `openai`. Satisfies `Teacher`."""

    def __init__(self, settings: ServerSettings, key: str | None) -> None:
        self._settings = settings
        self._key = key
        self._limits = Limits(settings)

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion | Unanswered]:
        """Yield the answers as they come, all samples of a prompt together.

        A prompt that the server refuses (too long, filtered) is left out, and so is one without an answer after all
        retries; the log says why of each. Raises AyaError for what concerns every prompt, and for more failures than allowed.
        """

        async def ask(give: Give[Sequence[Completion | Unanswered]]) -> None:
            as_text = sampling.prompting == "text"
            async with Servers(self._settings, self._key, self._limits, as_text=as_text) as servers:
                await _Call(self._settings, servers, prompts, sampling, seed, give).run()

        if prompts:
            for answers in in_background(ask, room=self._settings.concurrency):
                yield from answers


class _Sample(NamedTuple):
    """One answer that came. tokens: of it, and of its prompt."""

    said: Said
    tokens: int
    prompt_tokens: int


class _Call:
    """One call of `answer`: as many tasks as may be in flight share the prompts that are left."""

    def __init__(
        self, settings: ServerSettings, servers: Servers, prompts: Sequence[Prompt], sampling: Sampling, seed: int,
        give: Give[Sequence[Completion | Unanswered]],
    ) -> None:  # fmt: skip
        self.settings = settings
        self.servers = servers
        self.prompts = prompts
        self.sampling = sampling
        self.seed = seed
        self.give = give
        self.is_greedy = sampling.temperature == 0
        self.is_text = sampling.prompting == "text"
        self.most_choices = sampling.n  # that the server gives in one reply
        self.counts = Counter[str]()
        self.fields = self._fields()

    async def run(self) -> None:
        """Ask all prompts."""
        pending = iter(self.prompts)
        tasks = [
            asyncio.create_task(self._work(pending)) for _ in range(min(self.settings.concurrency, len(self.prompts)))
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tell()

    async def _work(self, pending: Iterator[Prompt]) -> None:
        for prompt in pending:
            found: list[_Sample] = []
            try:
                await self._answer(prompt, found)
            except (RefusedError, GaveUpError) as error:
                await self.give([*self._completions(prompt, found), Unanswered(prompt.id, str(error))])
                await self._left_out(prompt, error)
            else:
                self.counts["answered"] += 1
                await self.give(self._completions(prompt, found))

    async def _answer(self, prompt: Prompt, found: list[_Sample]) -> None:
        """Find all samples of a prompt. A server that gives fewer choices than asked for is asked again for the rest. So are empty
        answers, until the retries are used up: then they stand, and are counted as what they are."""
        wanted = 1 if self.is_greedy else self.sampling.n
        empty = 0
        while len(found) < wanted:
            reply = await self._ask(prompt, wanted - len(found), len(found), empty)
            samples = [
                _Sample(
                    self._said(choice.text, choice.reasoning, choice.finish_reason), choice.tokens, reply.prompt_tokens
                )
                for choice in reply.choices[: wanted - len(found)]
            ]
            spoken = [sample for sample in samples if not self._is_broken(sample)]
            if not spoken and empty < self.settings.retries:
                self.servers.troubles[EMPTY] += 1
                empty += 1  # and asked at once: a server that says nothing is not busy
                continue
            found += spoken or samples

    def _said(self, text: str, reasoning: str, finish_reason: str) -> Said:
        return said(text, reasoning, finish_reason, keep=self.settings.reasoning == "keep")

    def _is_broken(self, sample: _Sample) -> bool:
        """Whether an answer is empty for no reason that anybody gives."""
        return sample.said.is_empty and sample.said.finish_reason in ("stop", "unknown") and not self.sampling.stop

    def _completions(self, prompt: Prompt, found: Sequence[_Sample]) -> list[Completion]:
        samples = [*found] * self.sampling.n if self.is_greedy else found
        return [
            one.said.completion(prompt.id, index, one.prompt_tokens, one.tokens) for index, one in enumerate(samples)
        ]

    async def _ask(self, prompt: Prompt, choices: int, sample: int, again: int) -> Reply:
        """Ask for some choices of a prompt, or for one where the server refuses to give several at a time."""
        try:
            reply = await self._complete(prompt, min(choices, self.most_choices), sample, again)
        except RefusedError:
            if min(choices, self.most_choices) == 1:
                raise
            reply = await self._complete(prompt, 1, sample, again)
            if self.most_choices > 1:
                log.warning("%s: gives one choice a request; asking for each sample", self.servers.name)
                self.most_choices = 1
        if not reply.choices:
            raise RefusedError("the server's content filter kept the answer back")
        return reply

    async def _complete(self, prompt: Prompt, choices: int, sample: int, again: int) -> Reply:
        system: list[Message] = []
        if self.settings.system is not None:
            system = [{"role": "system", "content": self.settings.system}]
        turns = [*system, *prompt.messages]
        asked = {"prompt": "".join(turn["content"] for turn in turns)} if self.is_text else {"messages": turns}
        draw = [self.seed, prompt.id, sample, *([again] if again else [])]
        body = {
            "model": self.settings.model,
            **asked,
            # of this prompt and sample alone, so that no answer depends on what else is asked
            "seed": int(stable_hash(draw)[:8], 16) >> 1,
            **({"n": choices} if choices > 1 else {}),
            **self.fields,
        }
        if "seed" in self.settings.extra_body:
            del body["seed"]
        return await self.servers.complete(body, choices * self.sampling.max_tokens)

    def _fields(self) -> dict[str, Any]:
        """What all requests have in common."""
        sampling = self.sampling
        fields = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens" if self.is_text else self.settings.max_tokens_field: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "top_k": sampling.top_k or None,  # an extension, which OpenAI's own server refuses
            "chat_template_kwargs": None
            if self.is_text
            else dict(self.settings.chat_template_kwargs) or None,  # and this
            **self.settings.extra_body,
        }
        return {name: value for name, value in fields.items() if value is not None}

    async def _left_out(self, prompt: Prompt, error: RefusedError | GaveUpError) -> None:
        kind = "refused" if isinstance(error, RefusedError) else "failed"
        self.counts[kind] += 1
        log.warning("%s: prompt '%s' %s: %s", self.servers.name, prompt.id, kind, error)
        if self.counts["failed"] > self.settings.max_failures * len(self.prompts):
            raise self.servers.diagnosis.stop(
                f"gave no answer to {self.counts['failed']} of {len(self.prompts)} prompts "
                f"(max_failures is {self.settings.max_failures:g}), the last time: {error}",
                "see what ails the server, and run again",
            )
        left_out = self.counts["refused"] + self.counts["failed"]
        if not self.counts["answered"] and left_out == min(FIRST, len(self.prompts)):
            await self._ask_plainly(error)

    async def _ask_plainly(self, reason: RefusedError | GaveUpError) -> None:
        """Stop unless the server answers a plain question. (After a stop, the prompts that are left may well be those
        that it refused before; that alone is no reason to stop again.)"""
        try:
            await self._ask(PLAIN, 1, 0, 0)
        except (RefusedError, GaveUpError):
            raise self.servers.diagnosis.stop(
                f"answered none of the first {min(FIRST, len(self.prompts))} prompts, nor a plain 'Hello!' ({reason})",
                "change what it complains of: the model's name, sampling, extra_body or the server",
            ) from None

    def _tell(self) -> None:
        left_out = self.counts["refused"] + self.counts["failed"]
        if left_out or self.servers.troubles:
            again = ", ".join(f"{many} x {kind}" for kind, many in self.servers.troubles.most_common())
            log.warning(
                "%s: %d of %d prompts answered, %d refused, %d without an answer; attempts that came to nothing: %s",
                self.servers.name, self.counts["answered"], len(self.prompts), self.counts["refused"],
                self.counts["failed"], again or "none",
            )  # fmt: skip
