"""The rows that travel between stages, and the columns they have on disk.

Prompts, demonstrations and preferences use the columns that `datasets` and TRL users know: `prompt`, `completion`,
`chosen` and `rejected` are lists of messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, Literal, NotRequired, Self, TypeAlias, TypedDict

from aya_core.contract.texts import BLANKS

LANGUAGES = (
    "ar", "cs", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it",
    "ja", "ko", "nl", "pl", "pt", "ro", "ru", "tr", "uk", "vi", "zh",
)  # fmt: skip
"""The 23 languages of Aya Expanse, by their codes in m-ArenaHard. Source: arXiv 2412.04261, section 3."""

UNKNOWN_LANGUAGE = "und"
"""ISO 639-2 for "undetermined": the language of a row whose source does not say."""


class Message(TypedDict):
    """One turn of a conversation.

    more: what it holds beside its text, by the names that chat templates know: tool_calls, reasoning_content, ... Most turns have none.
    """

    role: str
    content: str
    more: NotRequired[Mapping[str, Any]]


NO_MORE: Mapping[str, Any] = {}
"""What a turn of text alone holds beside it."""

CUT = frozenset({"length", "filtered"})
"""How answers end that do not end by themselves: see `finish_reason` of `Completion`."""


@cache
def _taking(names: tuple[str, ...]) -> Callable[[Columns], tuple[Any, ...]]:
    """How to take the values of a record's fields: one call takes all, which is three times faster than one for each."""
    if len(names) == 1:
        return lambda row: (getattr(row, names[0]),)
    return attrgetter(*names)


class Columns:
    """Makes rows of a dataclass, and reads them back. Without methods of its own, it has a column for each field, in their order."""

    __slots__ = ()

    columns: ClassVar[Mapping[str, str]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Columns that rows written before may lack, with what stands for them."""
    rare: ClassVar[frozenset[str]] = frozenset()
    """Columns that files have only where a row needs them (`is_rare`); they are among `defaults`."""
    __match_args__: ClassVar[tuple[str, ...]]

    @property
    def is_rare(self) -> bool:
        """Whether this row has a value in a rare column, or messages of more than text."""
        return False

    def to_values(self) -> Sequence[Any]:
        """The values of this record's row, in the order of its columns."""
        return _taking(self.__match_args__)(self)

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        """Read back what `to_values` gave."""
        return cls(*values)

    def to_row(self) -> dict[str, Any]:
        """The row of this record on disk."""
        return dict(zip(self.columns, self.to_values(), strict=True))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read back what `to_row` wrote; more columns do no harm."""
        row = {**cls.defaults, **row}
        return cls.from_values(*(row[name] for name in cls.columns))


@dataclass(frozen=True, slots=True)
class Prompt(Columns):
    """A question to be answered in one language.

    id: unique within its data set; ties answers, verdicts and scores together.
    messages: the turns so far; the last is the user's, or a tool's. None at all for a text that is learned as it is.
    reference: the known right answer, or None.
    meta: whatever else the source knows (task, category, ...), as text.
    item: what the same question is called in every language that it is asked in, so that errors take it for one; None where that
    is not known. It is no part of what is asked, and prompts that differ in it alone are equal.
    tools: JSON of the tools that may be called, a list of descriptions as chat templates take it; None where there are none.
    """

    id: str
    language: str
    messages: tuple[Message, ...]
    reference: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    item: str | None = field(default=None, compare=False)
    tools: str | None = None

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "language": "string", "prompt": "messages", "reference": "string", "meta": "string",
        "item": "string", "tools": "string",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {"item": None, "tools": None}
    rare: ClassVar[frozenset[str]] = frozenset({"tools"})

    @property
    def is_rare(self) -> bool:
        """Whether it has tools, or a turn of more than text."""
        return self.tools is not None or _has_more(self.messages)

    @property
    def more(self) -> str:
        """What it holds beside text, by name and for messages; empty where that is nothing."""
        if self.tools is None and not _has_more(self.messages) and "tool" not in map(_role, self.messages):
            return ""  # as nearly always
        names = dict.fromkeys(name for turn in self.messages for name in turn.get("more", NO_MORE))
        names |= {f"turns of the role {turn['role']}": None for turn in self.messages if turn["role"] == "tool"}
        return ", ".join([*names, *(["tools"] if self.tools is not None else [])])

    @property
    def text(self) -> str:
        """The last turn, which is what is asked."""
        return self.messages[-1]["content"] if self.messages else ""

    def to_values(self) -> Sequence[Any]:
        """The values of this prompt's row."""
        meta = json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True) if self.meta else None
        return self.id, self.language, _written(self.messages), self.reference, meta, self.item, self.tools

    @classmethod
    def from_values(cls, *values: Any) -> Prompt:
        """Read back what `to_values` gave."""
        id, language, messages, reference, meta, item, tools = values
        return cls(id, language, _read(messages), reference, json.loads(meta) if meta else {}, item, tools)


def user_prompt(
    id: str,
    language: str,
    text: str,
    reference: str | None = None,
    meta: Mapping[str, str] | None = None,
    item: str | None = None,
) -> Prompt:
    """Make a prompt of one user turn."""
    return Prompt(id, language, ({"role": "user", "content": text},), reference, meta or {}, item)


@dataclass(frozen=True, slots=True)
class Demonstration(Columns):
    """A prompt with the answer to imitate.

    source: who wrote the answer; finish_reason: how it ended, as in `Completion`; each where that is known.
    more: what the answer holds beside its text, as in `Message`.
    prompt_tokens: of the prompt as the model read it that is trained on its own answer; None where it is another's, or not known.
    """

    prompt: Prompt
    completion: str
    source: str | None = None
    score: float | None = None
    finish_reason: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int | None = None

    columns: ClassVar[Mapping[str, str]] = {
        **Prompt.columns, "completion": "messages", "source": "string", "score": "float", "finish_reason": "string",
        "prompt_tokens": "int",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {**Prompt.defaults, "finish_reason": None, "prompt_tokens": None}
    rare: ClassVar[frozenset[str]] = Prompt.rare | {"prompt_tokens"}

    @property
    def is_rare(self) -> bool:
        """Whether it has tools, a turn of more than text, or a number of prompt tokens."""
        return bool(self.more) or self.prompt_tokens is not None or self.prompt.is_rare

    def to_values(self) -> Sequence[Any]:
        """The values of this demonstration's row."""
        answer = _assistant(self.completion, self.more)
        return *self.prompt.to_values(), answer, self.source, self.score, self.finish_reason, self.prompt_tokens

    @classmethod
    def from_values(cls, *values: Any) -> Demonstration:
        """Read back what `to_values` gave."""
        *prompt, completion, source, score, finish_reason, prompt_tokens = values
        (answer,) = _read(completion)
        return cls(
            Prompt.from_values(*prompt), answer["content"], source, score, finish_reason, answer.get("more", NO_MORE),
            prompt_tokens,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preference(Columns):
    """Two answers to one prompt, the first preferred; or one answer that is said to be good (`chosen`) or bad (`rejected`).

    chosen, rejected: the texts. None where a single answer is known, an unpaired row, which few objectives can learn from.
    margin: chosen_score - rejected_score, in units of the arbiter; None where no scores are known.
    round: 0 for offline pairs, 1, 2, ... for the rounds of online training.
    chosen_finish_reason, rejected_finish_reason: how each answer ended, as in `Completion`; None where that is not known.
    chosen_more, rejected_more: what each answer holds beside its text, as in `Message`.
    prompt_tokens: as in `Demonstration`.
    """

    prompt: Prompt
    chosen: str | None
    rejected: str | None
    chosen_model: str | None = None
    rejected_model: str | None = None
    chosen_score: float | None = None
    rejected_score: float | None = None
    round: int = 0
    chosen_finish_reason: str | None = None
    rejected_finish_reason: str | None = None
    chosen_more: Mapping[str, Any] = field(default_factory=dict)
    rejected_more: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int | None = None

    columns: ClassVar[Mapping[str, str]] = {
        **Prompt.columns, "chosen": "messages", "rejected": "messages", "chosen_model": "string",
        "rejected_model": "string", "chosen_score": "float", "rejected_score": "float", "margin": "float", "round": "int",
        "chosen_finish_reason": "string", "rejected_finish_reason": "string", "prompt_tokens": "int",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {
        **Prompt.defaults, "chosen_finish_reason": None, "rejected_finish_reason": None, "prompt_tokens": None,
    }  # fmt: skip
    rare: ClassVar[frozenset[str]] = Prompt.rare | {"prompt_tokens"}

    @property
    def is_rare(self) -> bool:
        """Whether it has tools, a turn of more than text, or a number of prompt tokens."""
        return bool(self.chosen_more or self.rejected_more) or self.prompt_tokens is not None or self.prompt.is_rare

    @property
    def is_pair(self) -> bool:
        """Whether both answers are known."""
        return self.chosen is not None and self.rejected is not None

    @property
    def margin(self) -> float | None:
        """How much better the arbiter found the chosen answer."""
        if self.chosen_score is None or self.rejected_score is None:
            return None
        return self.chosen_score - self.rejected_score

    def to_values(self) -> Sequence[Any]:
        """The values of this pair's row."""
        return (
            *self.prompt.to_values(), _assistant(self.chosen, self.chosen_more),
            _assistant(self.rejected, self.rejected_more), self.chosen_model, self.rejected_model, self.chosen_score,
            self.rejected_score, self.margin, self.round,
            self.chosen_finish_reason, self.rejected_finish_reason, self.prompt_tokens,
        )  # fmt: skip

    @classmethod
    def from_values(cls, *values: Any) -> Preference:
        """Read back what `to_values` gave."""
        (
            *prompt,
            chosen,
            rejected,
            chosen_model,
            rejected_model,
            chosen_score,
            rejected_score,
            _,
            round,
            ended,
            other_ended,
            prompt_tokens,
        ) = values
        better, worse = (None if turns is None else _read(turns)[-1] for turns in (chosen, rejected))
        return cls(
            Prompt.from_values(*prompt), better and better["content"], worse and worse["content"], chosen_model,
            rejected_model, chosen_score, rejected_score, round, ended, other_ended,
            better.get("more", NO_MORE) if better else {}, worse.get("more", NO_MORE) if worse else {}, prompt_tokens,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Completion(Columns):
    """One answer of one teacher.

    index: 0, 1, ... for the samples of one prompt by one teacher.
    prompt_tokens: of the prompt. completion_tokens: how many were generated, end-of-turn and reasoning included; 0 where unknown.
    finish_reason: "stop" when the model ended its turn, "length" when it was cut, "filtered" when a content filter kept some or all of
        it back, "refused" when the model declined by the server's own word, "recorded" when it came from a file that does not say.
        Other words of a server are kept as they are.
    reasoning: what the model thought before it answered. It is no part of the answer: neither judged nor taught.
    """

    prompt_id: str
    teacher: str
    index: int
    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
    reasoning: str = ""

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "teacher": "string", "index": "int", "text": "string",
        "prompt_tokens": "int", "completion_tokens": "int", "finish_reason": "string", "reasoning": "string",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {"reasoning": ""}

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: white space and what nobody sees do not count."""
        return not self.text.strip(BLANKS)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Says that a teacher leaves a prompt out, or some samples of it, and why.

    reason: a few words that fit many prompts. Reasons are counted, and numbers in which they differ are taken out.
    """

    prompt_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an arbiter says of one candidate: a score, or an abstention, or a failure. 0.0 is a score; NaN is a
    failure.

    details: numbers behind the verdict, by name (how often two orders disagreed, whether the language was wrong); the
    account gives their means by language and teacher.
    """

    score: float | None
    status: Literal["scored", "abstained", "failed"] = "scored"
    reason: str = ""
    details: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def abstain(cls, reason: str, details: Mapping[str, float] | None = None) -> Verdict:
        """Decline to judge; the candidate is not eligible, and that is no fault."""
        return cls(None, "abstained", reason, details or {})

    @classmethod
    def fail(cls, reason: str, details: Mapping[str, float] | None = None) -> Verdict:
        """Report that judging was tried and did not work."""
        return cls(None, "failed", reason, details or {})


@dataclass(frozen=True, slots=True)
class Case:
    """All the candidates for one prompt, to be judged together."""

    prompt: Prompt
    candidates: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Judged(Columns):
    """A candidate with its verdict, as it stands on disk."""

    completion: Completion
    verdict: Verdict

    columns: ClassVar[Mapping[str, str]] = {
        **Completion.columns, "score": "float", "status": "string", "reason": "string", "details": "string",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = Completion.defaults

    def to_values(self) -> Sequence[Any]:
        """The values of this verdict's row."""
        verdict = self.verdict
        details = json.dumps(dict(verdict.details)) if verdict.details else None
        return *self.completion.to_values(), verdict.score, verdict.status, verdict.reason, details

    @classmethod
    def from_values(cls, *values: Any) -> Judged:
        """Read back what `to_values` gave."""
        score, status, reason, details = values[-4:]
        return cls(Completion(*values[:-4]), Verdict(score, status, reason, json.loads(details) if details else {}))


@dataclass(frozen=True, slots=True)
class RowScore(Columns):
    """What one row contributes to a metric: the metric is the weighted mean of values, by language, then over
    languages.

    weight: 1 for a mean over rows; for a ratio of sums (bits per byte) the row's share of the denominator.
    item: what the same question is called in all languages, see `Prompt`. Rows of one item are no independent observations.
    """

    prompt_id: str
    language: str
    metric: str
    value: float
    weight: float = 1.0
    item: str | None = None

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "language": "string", "metric": "string", "value": "float", "weight": "float", "item": "string",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {"item": None}


@dataclass(frozen=True, slots=True)
class CorpusScore(Columns):
    """A metric of all rows of a language together that is no mean over them, such as chrF++ of a corpus.

    standard_error: as the evaluator estimates it, say by bootstrap. n: rows.
    influences: by how much each item moves the value, as the jackknife estimates it: (n - 1) / n times what the mean of the values
    without one item exceeds that without this one by. Where they are given, means over languages and differences of models take an
    item for one observation; without, numbers are taken for independent.
    """

    language: str
    metric: str
    value: float
    standard_error: float
    n: int
    influences: Mapping[str, float] = field(default_factory=dict)

    columns: ClassVar[Mapping[str, str]] = {
        "language": "string", "metric": "string", "value": "float", "standard_error": "float", "n": "int",
        "influences": "string",
    }  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = {"influences": None}

    def to_values(self) -> Sequence[Any]:
        """The values of this score's row."""
        influences = json.dumps(dict(self.influences), ensure_ascii=False) if self.influences else None
        return self.language, self.metric, self.value, self.standard_error, self.n, influences

    @classmethod
    def from_values(cls, *values: Any) -> CorpusScore:
        """Read back what `to_values` gave."""
        language, metric, value, standard_error, n, influences = values
        return cls(language, metric, value, standard_error, n, json.loads(influences) if influences else {})


ExampleRow: TypeAlias = Prompt | Demonstration | Preference
"""What a data set may yield."""


def _assistant(text: str | None, more: Mapping[str, Any] = NO_MORE) -> Sequence[Message] | None:
    return None if text is None else _written([assistant_turn(text, more)])


def assistant_turn(text: str, more: Mapping[str, Any] = NO_MORE) -> Message:
    """Make a turn of the assistant. more: what it holds beside its text."""
    turn: Message = {"role": "assistant", "content": text}
    if more:
        turn["more"] = more
    return turn


_role = itemgetter("role")


def _has_more(turns: Sequence[Any]) -> bool:
    for turn in turns:  # noqa: SIM110 (asked of every row several times, and `any` takes four times as long)
        if "more" in turn:
            return True
    return False


def _written(turns: Sequence[Message]) -> Sequence[Any]:
    """Turns as files have them: what they hold beside their text is JSON, as each may hold something else."""
    if not _has_more(turns):
        return turns
    return [
        {**turn, "more": json.dumps(turn["more"], ensure_ascii=False, sort_keys=True)} if "more" in turn else turn
        for turn in turns
    ]


def _read(turns: Sequence[Any]) -> tuple[Message, ...]:
    """Read back what `_written` gave."""
    if not _has_more(turns):
        return tuple(turns)
    found = []
    for turn in turns:
        message: Message = {"role": turn["role"], "content": turn["content"]}
        if turn.get("more"):
            message["more"] = json.loads(turn["more"])
        found.append(message)
    return tuple(found)
