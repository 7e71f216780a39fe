"""Asking a judge: all questions of many cases together, then once more those whose replies could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from aya_core.api import Case, PluginError, Prompt, Sampling, Teacher, Unanswered, Verdict, stable_hash
from aya_plugins.arbiters.judge_replies import UnreadableError

WINDOW_QUESTIONS = 8192
"""Questions held in memory at a time. Cases are asked about together until there are so many."""

RETRY_TEMPERATURE = 0.7
"""At which a greedy judge is asked again."""

LEFT_OUT = "the judge left the question out, as models do with what is longer than their context"

Read = TypeVar("Read")


@dataclass(frozen=True)
class Reply(Generic[Read]):
    """What became of a question: what was read, or why nothing was, how many replies could not be read, and the tokens of all."""

    read: Read | None = None
    problem: str = ""
    unparsable: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Way(Protocol[Read]):
    """One way to judge by asking questions."""

    def questions(self, case: Case) -> Iterator[Prompt]:
        """Yield what must be asked about a case. Equal ids are equal questions, asked once."""

    def read(self, reply: str) -> Read:
        """Read the verdict from a reply. Raises UnreadableError."""

    def verdicts(self, case: Case, replies: Mapping[str, Reply[Read]]) -> Sequence[Verdict]:
        """Turn the replies to a case's questions, by id, into verdicts on its candidates."""


@dataclass(frozen=True)
class Questioner:
    """Asks a teacher until every reply can be read or the retries are used up."""

    teacher: Teacher
    sampling: Sampling
    retries: int

    def ask(self, questions: Mapping[str, Prompt], read: Callable[[str], Read]) -> Mapping[str, Reply[Read]]:
        """Return what became of each question, by id; a question that the teacher leaves out is unparsable, too."""
        replies: dict[str, Reply[Read]] = {}
        for attempt in range(1 + self.retries):
            open = [question for id, question in questions.items() if id not in replies or replies[id].problem]
            if not open:
                break
            found = self._attempt(open, attempt, read)
            for question in open:
                before = replies.get(question.id, Reply[Read]())
                now = found.get(question.id, Reply(problem=LEFT_OUT, unparsable=1))
                replies[question.id] = Reply(
                    now.read, now.problem, before.unparsable + now.unparsable, before.prompt_tokens + now.prompt_tokens,
                    before.answer_tokens + now.answer_tokens,
                )  # fmt: skip
        return replies

    def _attempt(self, open: Sequence[Prompt], attempt: int, read: Callable[[str], Read]) -> Mapping[str, Reply[Read]]:
        sampling, seed = self.sampling, self.sampling.seed or 0
        if attempt:
            seed = int(stable_hash([seed, attempt])[:8], 16) >> 1
            warm = sampling.temperature or RETRY_TEMPERATURE
            sampling = sampling.model_copy(update={"temperature": warm, "seed": seed})
        asked = {question.id for question in open}
        found: dict[str, Reply[Read]] = {}
        for answer in self.teacher.answer(open, sampling, seed):
            if answer.prompt_id not in asked or answer.prompt_id in found:
                often = "twice" if answer.prompt_id in found else "unasked"
                raise PluginError(
                    f"the teacher of 'judge' answered '{answer.prompt_id}' {often}; expected one reply each"
                )
            if isinstance(answer, Unanswered):
                found[answer.prompt_id] = Reply(
                    problem=f"the judge left the question out: {answer.reason}", unparsable=1
                )
                continue
            tokens = answer.prompt_tokens, answer.completion_tokens
            try:
                if answer.finish_reason == "length":
                    raise UnreadableError(f"the judge's reply was cut at {sampling.max_tokens} tokens")
                found[answer.prompt_id] = Reply(read(answer.text), "", 0, *tokens)
            except UnreadableError as error:
                found[answer.prompt_id] = Reply(None, str(error), 1, *tokens)
        return found


@dataclass(frozen=True)
class AskingArbiter(Generic[Read]):
    """See `Judge`. Satisfies `Arbiter`."""

    way: Way[Read]
    questioner: Questioner

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Ask about as many cases together as the window holds, so that the teacher's batches are full."""
        window: list[Case] = []
        questions: dict[str, Prompt] = {}
        for case in cases:
            window.append(case)
            questions.update((question.id, question) for question in self.way.questions(case))
            if len(questions) >= WINDOW_QUESTIONS:
                yield from self._judge(window, questions)
                window, questions = [], {}
        yield from self._judge(window, questions)

    def _judge(self, cases: Sequence[Case], questions: Mapping[str, Prompt]) -> Iterator[Sequence[Verdict]]:
        replies = self.questioner.ask(questions, self.way.read)
        counted: set[str] = set()
        for case in cases:
            asked = {question.id for question in self.way.questions(case)} - counted
            counted |= asked
            yield with_tokens(self.way.verdicts(case, replies), [replies[id] for id in asked])


def with_tokens(verdicts: Sequence[Verdict], replies: Sequence[Reply[Read]]) -> Sequence[Verdict]:
    """Say with the first verdict on a case what its questions took, where that is known. A question that several ask counts once."""
    tokens = {
        "judge_prompt_tokens": float(sum(reply.prompt_tokens for reply in replies)),
        "judge_answer_tokens": float(sum(reply.answer_tokens for reply in replies)),
    }
    if not verdicts or not any(tokens.values()):
        return verdicts
    first, *others = verdicts
    return [replace(first, details={**first.details, **tokens}), *others]
