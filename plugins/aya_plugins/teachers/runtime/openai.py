"""What the openai teacher runs: prompts to requests, choices to completions, and which prompts are left out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from aya_core.api import Completion, Message, Prompt, Sampling, stable_hash, user_prompt
from aya_plugins.teachers.runtime.background import Give, in_background
from aya_plugins.teachers.runtime.openai_reply import Choice, Reply
from aya_plugins.teachers.runtime.openai_server import Limits, Server
from aya_plugins.teachers.runtime.openai_trouble import GaveUpError, RefusedError
from aya_plugins.teachers.runtime.settings import ServerSettings

FIRST = 8
"""After so many prompts without one answer, a plain question finds out whether the prompts are at fault."""

PLAIN = user_prompt("a plain question", "en", "Hello!")

log = logging.getLogger(__name__)


class OpenAITeacher:
    """See the strategy `openai`. Satisfies `Teacher`."""

    def __init__(self, settings: ServerSettings, key: str | None) -> None:
        self._settings = settings
        self._key = key
        self._limits = Limits(settings)

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        """Yield the answers as they come, all samples of a prompt together.

        A prompt that the server refuses (too long, filtered) is left out, and so is one without an answer after all
        retries; the log says why. Raises AyaError for what concerns every prompt, and for more failures than allowed.
        """

        async def ask(give: Give[Sequence[Completion]]) -> None:
            async with Server(self._settings, self._key, self._limits, as_text=sampling.prompting == "text") as server:
                await _Call(self._settings, server, prompts, sampling, seed, give).run()

        if prompts:
            for answers in in_background(ask, room=self._settings.concurrency):
                yield from answers


class _Call:
    """One call of `answer`: as many tasks as may be in flight share the prompts that are left."""

    def __init__(
        self, settings: ServerSettings, server: Server, prompts: Sequence[Prompt], sampling: Sampling, seed: int,
        give: Give[Sequence[Completion]],
    ) -> None:  # fmt: skip
        self.settings = settings
        self.server = server
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
            try:
                answers = await self._answers(prompt)
            except (RefusedError, GaveUpError) as error:
                await self._left_out(prompt, error)
            else:
                self.counts["answered"] += 1
                await self.give(answers)

    async def _answers(self, prompt: Prompt) -> Sequence[Completion]:
        """All samples of a prompt. A server that gives fewer choices than asked for is asked again for the rest: each
        reply brings one at least."""
        wanted = 1 if self.is_greedy else self.sampling.n
        found: list[tuple[Choice, int]] = []
        while len(found) < wanted:
            reply = await self._ask(prompt, wanted - len(found), sample=len(found))
            found += [(choice, reply.prompt_tokens) for choice in reply.choices[: wanted - len(found)]]
        if self.is_greedy:
            found *= self.sampling.n
        return [
            Completion(prompt.id, "openai", index, choice.text, prompt_tokens, choice.tokens, choice.finish_reason)
            for index, (choice, prompt_tokens) in enumerate(found)
        ]

    async def _ask(self, prompt: Prompt, choices: int, *, sample: int) -> Reply:
        """Ask for some choices of a prompt, or for one where the server refuses to give several at a time."""
        try:
            reply = await self._complete(prompt, min(choices, self.most_choices), sample)
        except RefusedError:
            if min(choices, self.most_choices) == 1:
                raise
            reply = await self._complete(prompt, 1, sample)
            if self.most_choices > 1:
                log.warning("%s: gives one choice a request; asking for each sample", self.settings.base_url)
                self.most_choices = 1
        if not reply.choices:
            raise RefusedError("the server's content filter kept the answer back")
        return reply

    async def _complete(self, prompt: Prompt, choices: int, sample: int) -> Reply:
        system: list[Message] = []
        if self.settings.system is not None:
            system = [{"role": "system", "content": self.settings.system}]
        turns = [*system, *prompt.messages]
        asked = {"prompt": "".join(turn["content"] for turn in turns)} if self.is_text else {"messages": turns}
        body = {
            "model": self.settings.model,
            **asked,
            # of this prompt and sample alone, so that no answer depends on what else is asked
            "seed": int(stable_hash([self.seed, prompt.id, sample])[:8], 16) >> 1,
            **({"n": choices} if choices > 1 else {}),
            **self.fields,
        }
        if "seed" in self.settings.extra_body:
            del body["seed"]
        return await self.server.complete(body, choices * self.sampling.max_tokens)

    def _fields(self) -> dict[str, Any]:
        """What all requests have in common."""
        sampling = self.sampling
        fields = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens" if self.is_text else self.settings.max_tokens_field: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "top_k": sampling.top_k or None,  # an extension, which OpenAI's own server refuses
            **self.settings.extra_body,
        }
        return {name: value for name, value in fields.items() if value is not None}

    async def _left_out(self, prompt: Prompt, error: RefusedError | GaveUpError) -> None:
        kind = "refused" if isinstance(error, RefusedError) else "failed"
        self.counts[kind] += 1
        log.warning("%s: prompt '%s' %s: %s", self.settings.base_url, prompt.id, kind, error)
        if self.counts["failed"] > self.settings.max_failures * len(self.prompts):
            raise self.server.diagnosis.stop(
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
            await self._ask(PLAIN, 1, sample=0)
        except (RefusedError, GaveUpError):
            raise self.server.diagnosis.stop(
                f"answered none of the first {min(FIRST, len(self.prompts))} prompts, nor a plain 'Hello!' ({reason})",
                "change what it complains of: the model's name, sampling, extra_body or the server",
            ) from None

    def _tell(self) -> None:
        left_out = self.counts["refused"] + self.counts["failed"]
        if left_out or self.server.troubles:
            again = ", ".join(f"{many} x {kind}" for kind, many in self.server.troubles.most_common())
            log.warning(
                "%s: %d of %d prompts answered, %d refused, %d without an answer; attempts that came to nothing: %s",
                self.settings.base_url, self.counts["answered"], len(self.prompts), self.counts["refused"],
                self.counts["failed"], again or "none",
            )  # fmt: skip
