"""The rows that travel between stages, and the columns they have on disk.

Prompts, demonstrations and preferences use the columns that `datasets` and TRL users know: `prompt`, `completion`,
`chosen` and `rejected` are lists of messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypedDict

LANGUAGES = (
    "ar", "cs", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it",
    "ja", "ko", "nl", "pl", "pt", "ro", "ru", "tr", "uk", "vi", "zh",
)  # fmt: skip
"""The 23 languages of Aya Expanse, by their codes in m-ArenaHard. Source: arXiv 2412.04261, section 3."""

UNKNOWN_LANGUAGE = "und"
"""ISO 639-2 for "undetermined": the language of a row whose source does not say."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to be answered in one language.

    id: unique within its data set; ties answers, verdicts and scores together.
    messages: the turns so far; the last is the user's.
    reference: the known right answer, or None.
    meta: whatever else the source knows (task, category, ...), as text.
    """

    id: str
    language: str
    messages: tuple[Message, ...]
    reference: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "language": "string", "prompt": "messages", "reference": "string", "meta": "string",
    }  # fmt: skip

    @property
    def text(self) -> str:
        """The last turn, which is what is asked."""
        return self.messages[-1]["content"]

    def to_row(self) -> dict[str, Any]:
        """The row of this prompt on disk."""
        return {
            "prompt_id": self.id,
            "language": self.language,
            "prompt": list(self.messages),
            "reference": self.reference,
            "meta": json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True) if self.meta else None,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Prompt:
        """Read back what `to_row` wrote."""
        return cls(
            row["prompt_id"],
            row["language"],
            tuple(row["prompt"]),
            row["reference"],
            json.loads(row["meta"]) if row["meta"] else {},
        )


def user_prompt(
    id: str, language: str, text: str, reference: str | None = None, meta: Mapping[str, str] | None = None
) -> Prompt:
    """Make a prompt of one user turn."""
    return Prompt(id, language, ({"role": "user", "content": text},), reference, meta or {})


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with the answer to imitate. `source` names who wrote the answer, where that is known."""

    prompt: Prompt
    completion: str
    source: str | None = None
    score: float | None = None

    columns: ClassVar[Mapping[str, str]] = {
        **Prompt.columns, "completion": "messages", "source": "string", "score": "float",
    }  # fmt: skip

    def to_row(self) -> dict[str, Any]:
        """The row of this demonstration on disk."""
        return {
            **self.prompt.to_row(),
            "completion": _assistant(self.completion),
            "source": self.source,
            "score": self.score,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Demonstration:
        """Read back what `to_row` wrote."""
        return cls(Prompt.from_row(row), row["completion"][-1]["content"], row["source"], row["score"])


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, the first preferred.

    margin: chosen_score - rejected_score, in units of the arbiter; None where no scores are known.
    round: 0 for offline pairs, 1, 2, ... for the rounds of online training.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    chosen_model: str | None = None
    rejected_model: str | None = None
    chosen_score: float | None = None
    rejected_score: float | None = None
    round: int = 0

    columns: ClassVar[Mapping[str, str]] = {
        **Prompt.columns, "chosen": "messages", "rejected": "messages", "chosen_model": "string",
        "rejected_model": "string", "chosen_score": "float", "rejected_score": "float", "margin": "float", "round": "int",
    }  # fmt: skip

    @property
    def margin(self) -> float | None:
        """How much better the arbiter found the chosen answer."""
        if self.chosen_score is None or self.rejected_score is None:
            return None
        return self.chosen_score - self.rejected_score

    def to_row(self) -> dict[str, Any]:
        """The row of this pair on disk."""
        return {
            **self.prompt.to_row(),
            "chosen": _assistant(self.chosen),
            "rejected": _assistant(self.rejected),
            "chosen_model": self.chosen_model,
            "rejected_model": self.rejected_model,
            "chosen_score": self.chosen_score,
            "rejected_score": self.rejected_score,
            "margin": self.margin,
            "round": self.round,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Preference:
        """Read back what `to_row` wrote."""
        return cls(
            Prompt.from_row(row), row["chosen"][-1]["content"], row["rejected"][-1]["content"],
            row["chosen_model"], row["rejected_model"], row["chosen_score"], row["rejected_score"], row["round"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of one teacher.

    index: 0, 1, ... for the samples of one prompt by one teacher.
    completion_tokens: how many tokens were generated, end-of-turn included; 0 where unknown (recorded answers).
    finish_reason: "stop" when the model ended its turn, "length" when it was cut, "recorded" when it came from a file.
    """

    prompt_id: str
    teacher: str
    index: int
    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "teacher": "string", "index": "int", "text": "string",
        "prompt_tokens": "int", "completion_tokens": "int", "finish_reason": "string",
    }  # fmt: skip

    def to_row(self) -> dict[str, Any]:
        """The row of this answer on disk."""
        return {name: getattr(self, name) for name in self.columns}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Completion:
        """Read back what `to_row` wrote."""
        return cls(**{name: row[name] for name in cls.columns})


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
class Judged:
    """A candidate with its verdict, as it stands on disk."""

    completion: Completion
    verdict: Verdict

    columns: ClassVar[Mapping[str, str]] = {
        **Completion.columns, "score": "float", "status": "string", "reason": "string", "details": "string",
    }  # fmt: skip

    def to_row(self) -> dict[str, Any]:
        """The row of this verdict on disk."""
        verdict = self.verdict
        return {
            **self.completion.to_row(),
            "score": verdict.score,
            "status": verdict.status,
            "reason": verdict.reason,
            "details": json.dumps(dict(verdict.details)) if verdict.details else None,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Judged:
        """Read back what `to_row` wrote."""
        details = json.loads(row["details"]) if row["details"] else {}
        return cls(Completion.from_row(row), Verdict(row["score"], row["status"], row["reason"], details))


@dataclass(frozen=True, slots=True)
class RowScore:
    """What one row contributes to a metric: the metric is the weighted mean of values, by language, then over
    languages.

    weight: 1 for a mean over rows; for a ratio of sums (bits per byte) the row's share of the denominator.
    """

    prompt_id: str
    language: str
    metric: str
    value: float
    weight: float = 1.0

    columns: ClassVar[Mapping[str, str]] = {
        "prompt_id": "string", "language": "string", "metric": "string", "value": "float", "weight": "float",
    }  # fmt: skip

    def to_row(self) -> dict[str, Any]:
        """The row of this score on disk."""
        return {name: getattr(self, name) for name in self.columns}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RowScore:
        """Read back what `to_row` wrote."""
        return cls(**{name: row[name] for name in cls.columns})


class Record(Protocol):
    """What every kind of row can do."""

    columns: ClassVar[Mapping[str, str]]

    def to_row(self) -> dict[str, Any]:
        """The row on disk."""


ExampleRow: TypeAlias = Prompt | Demonstration | Preference
"""What a data set may yield."""


def _assistant(text: str) -> Sequence[Message]:
    return [{"role": "assistant", "content": text}]
