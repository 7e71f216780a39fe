"""Asking a judge: all questions of many cases together, then once more those whose replies could not be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from aya_core.api import (
    Case,
    PluginError,
    Prompt,
    ReplyStore,
    Sampling,
    Strategy,
    Teacher,
    TeacherStrategy,
    Unanswered,
    Verdict,
    prompt_key,
    stable_hash,
)
from aya_plugins.arbiters.reply_forms import UnreadableError

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

    def after(self, other: Reply[Read]) -> Reply[Read]:
        """This reply, with what an earlier one to the same question took."""
        return replace(
            self, unparsable=self.unparsable + other.unparsable, prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            answer_tokens=self.answer_tokens + other.answer_tokens,
        )  # fmt: skip


class Way(Protocol[Read]):
    """One way to judge by asking questions."""

    def questions(self, case: Case) -> Iterator[Prompt]:
        """Yield what must be asked about a case. Equal ids are equal questions, asked once."""

    def read(self, reply: str) -> Read:
        """Read the verdict from a reply. Raises UnreadableError."""

    def verdicts(self, case: Case, replies: Mapping[str, Reply[Read]]) -> Sequence[Verdict]:
        """Turn the replies to a case's questions, by id, into verdicts on its candidates."""


@dataclass
class Questioner:
    """Asks a teacher until every reply can be read or the retries are used up. store: keeps the replies that could be read."""

    teacher: Teacher
    sampling: Sampling
    retries: int
    store: ReplyStore | None = None

    def ask(self, questions: Mapping[str, Prompt], read: Callable[[str], Read]) -> Iterator[tuple[str, Reply[Read]]]:
        """Yield what became of each question by its id, once that is settled; one that the teacher leaves out is unparsable, too."""
        open: dict[str, Prompt] = {}
        for id, question in questions.items():
            known = self._known(question, read)
            if known is None:
                open[id] = question
            else:
                yield id, known
        before: dict[str, Reply[Read]] = {}
        for attempt in range(1 + self.retries):
            asked, open = open, {}
            for question, text, reply in self._attempt(asked, attempt, read) if asked else ():
                total = before[question.id] = reply.after(before.get(question.id, Reply[Read]()))
                if not total.problem:
                    self._keep(question, text, total)
                elif attempt < self.retries:
                    open[question.id] = question
                    continue
                yield question.id, total

    def _attempt(
        self, asked: Mapping[str, Prompt], attempt: int, read: Callable[[str], Read]
    ) -> Iterator[tuple[Prompt, str, Reply[Read]]]:
        sampling, seed = self.sampling, self.sampling.seed or 0
        if attempt:
            seed = int(stable_hash([seed, attempt])[:8], 16) >> 1
            warm = sampling.temperature or RETRY_TEMPERATURE
            sampling = sampling.model_copy(update={"temperature": warm, "seed": seed})
        left = dict(asked)
        for answer in self.teacher.answer(list(asked.values()), sampling, seed):
            question = left.pop(answer.prompt_id, None)
            if question is None:
                often = "twice" if answer.prompt_id in asked else "unasked"
                raise PluginError(
                    f"the teacher of 'judge' answered '{answer.prompt_id}' {often}; expected one reply each"
                )
            if isinstance(answer, Unanswered):
                yield question, "", Reply(problem=f"the judge left the question out: {answer.reason}", unparsable=1)
                continue
            tokens = (answer.prompt_tokens, answer.completion_tokens)
            try:
                if answer.finish_reason == "length":
                    raise UnreadableError(f"the judge's reply was cut at {sampling.max_tokens} tokens")
                found = Reply(read(answer.text), "", 0, *tokens)
            except UnreadableError as error:
                found = Reply(None, str(error), 1, *tokens)
            yield question, answer.text, found
        for question in left.values():
            yield question, "", Reply(problem=LEFT_OUT, unparsable=1)

    def _known(self, question: Prompt, read: Callable[[str], Read]) -> Reply[Read] | None:
        """What was said of a question before, if it can be read; what it took counts as it did then."""
        kept = None if self.store is None else self.store.find(self._key(question))
        match kept:
            case [str(text), int(unparsable), int(prompt_tokens), int(answer_tokens)]:
                pass
            case _:  # nothing, or what this code never kept
                return None
        try:
            return Reply(read(text), "", unparsable, prompt_tokens, answer_tokens)
        except UnreadableError:  # of code that read more
            return None

    def _keep(self, question: Prompt, text: str, reply: Reply[Read]) -> None:
        if self.store is not None:
            self.store.add(self._key(question), [text, reply.unparsable, reply.prompt_tokens, reply.answer_tokens])

    def _key(self, question: Prompt) -> str:
        """Name all that decides a reply beside the teacher."""
        return f"{prompt_key(question)}/{stable_hash(self.sampling.model_dump(mode='json'))[:16]}"


@dataclass(frozen=True)
class AskingArbiter(Generic[Read]):
    """See `Judge`. Satisfies `KeepingArbiter`. asked: the settings of the teacher."""

    way: Way[Read]
    questioner: Questioner
    asked: TeacherStrategy

    def keep_replies(self, stores: Callable[[Strategy[Any]], ReplyStore]) -> None:
        """Keep each reply that can be read when it comes, and ask no question whose reply is there."""
        self.questioner.store = stores(self.asked)

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Ask about as many cases together as the window holds, so that the teacher's batches are full."""
        window: deque[tuple[Case, list[str]]] = deque()
        questions: dict[str, Prompt] = {}
        for case in cases:
            asked = {question.id: question for question in self.way.questions(case)}
            window.append((case, list(asked)))
            questions.update(asked)
            if len(questions) >= WINDOW_QUESTIONS:
                yield from self._judge(window, questions)
                window, questions = deque(), {}
        yield from self._judge(window, questions)

    def _judge(
        self, window: deque[tuple[Case, list[str]]], questions: Mapping[str, Prompt]
    ) -> Iterator[Sequence[Verdict]]:
        """Yield the verdicts on each case as soon as its questions, and those of the cases before it, are settled."""
        settled: dict[str, Reply[Read]] = {}
        counted: set[str] = set()

        def verdicts(case: Case, asked: Sequence[str]) -> Sequence[Verdict]:
            new = [id for id in asked if id not in counted]
            counted.update(new)
            return with_tokens(self.way.verdicts(case, settled), [settled[id] for id in new])

        for id, reply in self.questioner.ask(questions, self.way.read):
            settled[id] = reply
            while window and all(one in settled for one in window[0][1]):
                yield verdicts(*window.popleft())
        for case, asked in window:
            yield verdicts(case, asked)


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
