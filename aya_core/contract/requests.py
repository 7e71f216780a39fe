"""What a model is asked, and what it says: the requests of evaluators with rows of their own, and the replies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field

from aya_core.contract.records import Columns, Completion, Message, Prompt
from aya_core.contract.strategies import Settings


class Sampling(Settings):
    """How a model is asked to answer. Temperature 0 is greedy."""

    temperature: float = Field(0.7, ge=0, description="Softmax temperature; 0 takes the likeliest token each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Keep the likeliest tokens that together have this probability.")
    top_k: int = Field(0, ge=0, description="Keep this many likeliest tokens; 0 keeps all.")
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")
    stop: tuple[str, ...] = Field((), description="Texts that end an answer; they are cut off.")
    n: int = Field(1, ge=1, description="Answers per prompt, asked for in one request.")
    seed: int | None = Field(None, ge=0, lt=2**31, description="Seed of the answers; None draws it from the recipe's.")
    prompting: Literal["chat", "text"] = Field(
        "chat",
        description="`chat` asks through the model's chat template; `text` gives it the turns as they are, to be continued.",
    )


class LogLikelihood(NamedTuple):
    """Log-probability of a text given what comes before it. nats: summed over the tokens; tokens: how many, of an answer with
    its end of turn. cut: tokens that were left out at the start of its context, for the model reads no more. NaN nats: it could not
    be scored as asked."""

    nats: float
    tokens: int
    cut: int = 0


Context: TypeAlias = str | tuple[Message, ...]
"""What a model reads before a continuation: text as it is, or a conversation, rendered with the model's own chat template up to
where its answer begins."""


class Continuation(NamedTuple):
    """A text that may follow a context. It follows directly: the space between the two, where there is one, is in the text."""

    context: Context
    text: str


@dataclass(frozen=True, slots=True)
class ScoringRequest(Columns):
    """Continuations whose log-probability is asked, such as the options of a multiple-choice question.

    id: unique among the scoring requests of its evaluator. gold: the place of the right continuation, where there is one; it is kept
    beside the request, for samples, and no model sees it. Continuations of one request or of neighbors that begin alike cost what
    they have in common once.
    """

    id: str
    language: str
    continuations: tuple[Continuation, ...]
    gold: int | None = field(default=None, compare=False)

    columns: ClassVar[Mapping[str, str]] = {"request_id": "string", "language": "string", "continuations": "string"}

    def to_values(self) -> Sequence[Any]:
        """The values of this request's row; a context that several continuations share is written once."""
        contexts = list(dict.fromkeys(_context_text(one.context) for one in self.continuations))
        texts = [[contexts.index(_context_text(one.context)), one.text] for one in self.continuations]
        return self.id, self.language, json.dumps({"contexts": contexts, "texts": texts}, ensure_ascii=False)

    @classmethod
    def from_values(cls, *values: Any) -> ScoringRequest:
        """Read back what `to_values` gave."""
        id, language, written = values
        written = json.loads(written)
        contexts = [_context(text) for text in written["contexts"]]
        return cls(id, language, tuple(Continuation(contexts[place], text) for place, text in written["texts"]))


@dataclass(frozen=True, slots=True)
class GenerationRequest(Columns):
    """A prompt to be answered, and how. Prompt ids are unique among the generation requests of an evaluator."""

    prompt: Prompt
    sampling: Sampling

    columns: ClassVar[Mapping[str, str]] = {**Prompt.columns, "sampling": "string"}
    defaults: ClassVar[Mapping[str, Any]] = Prompt.defaults
    rare: ClassVar[frozenset[str]] = Prompt.rare

    @property
    def is_rare(self) -> bool:
        """Whether its prompt is."""
        return self.prompt.is_rare

    def to_values(self) -> Sequence[Any]:
        """The values of this request's row."""
        return *self.prompt.to_values(), self.sampling.model_dump_json()

    @classmethod
    def from_values(cls, *values: Any) -> GenerationRequest:
        """Read back what `to_values` gave."""
        *prompt, sampling = values
        return cls(Prompt.from_values(*prompt), Sampling.model_validate_json(sampling))


Request: TypeAlias = ScoringRequest | GenerationRequest
"""What an evaluator may ask of a model."""


@dataclass(frozen=True, slots=True)
class Scored(Columns):
    """The log-likelihoods of a request's continuations, in their order."""

    id: str
    log_likelihoods: tuple[LogLikelihood, ...]

    columns: ClassVar[Mapping[str, str]] = {"request_id": "string", "log_likelihoods": "string"}

    def to_values(self) -> Sequence[Any]:
        """The values of this row."""
        return self.id, json.dumps(self.log_likelihoods)

    @classmethod
    def from_values(cls, *values: Any) -> Scored:
        """Read back what `to_values` gave."""
        id, written = values
        return cls(id, tuple(LogLikelihood(*one) for one in json.loads(written)))


@dataclass(frozen=True)
class Replies:
    """What a model said to the requests of one evaluator.

    log_likelihoods: of each scoring request by its id, in the order of its continuations. completions: of each prompt by its id; a
    prompt that the model left without an answer, as one that is too long for it, has none.
    """

    log_likelihoods: Mapping[str, Sequence[LogLikelihood]] = field(default_factory=dict)
    completions: Mapping[str, Sequence[Completion]] = field(default_factory=dict)


def _context_text(context: Context) -> str:
    """A context as a string that no other context has."""
    return f"t{context}" if isinstance(context, str) else "c" + json.dumps(context, ensure_ascii=False)


def _context(text: str) -> Context:
    return text[1:] if text[0] == "t" else tuple(json.loads(text[1:]))
