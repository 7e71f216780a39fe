"""The eight kinds of strategy: what each `build()` must return.

Every Protocol here is small enough to be met by fifteen lines of a stranger's code, and `aya_core.testing` has a
conformance check for each. Rows are the records of `records.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from pydantic import Field

from aya_core.records import Case, Completion, ExampleRow, Prompt, RowScore, Verdict
from aya_core.strategies import Settings

if TYPE_CHECKING:
    from torch import Tensor


class Sampling(Settings):
    """How a model is asked to answer. Temperature 0 is greedy."""

    temperature: float = Field(0.7, ge=0, description="Softmax temperature; 0 takes the likeliest token each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Keep the likeliest tokens that together have this probability.")
    top_k: int = Field(0, ge=0, description="Keep this many likeliest tokens; 0 keeps all.")
    max_tokens: int = Field(256, ge=1, description="Longest answer, in tokens.")
    stop: tuple[str, ...] = Field((), description="Texts that end an answer; they are cut off.")
    n: int = Field(1, ge=1, description="Answers per prompt, asked for in one request.")
    seed: int | None = Field(None, ge=0, lt=2**31, description="Seed of the answers; None draws it from the recipe's.")


class LogLikelihood(NamedTuple):
    """Log-probability of an answer given its prompt. nats: summed over the tokens; tokens: how many, end of turn
    included."""

    nats: float
    tokens: int


class Dataset(Protocol):
    """Yields prompts, demonstrations or preferences, streaming."""

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        """Yield the rows, the same ones in the same order for the same seed. Ids are unique.

        seed: for data sets that draw at random; files have no use for it. Raises DataError for a row that cannot be
        read, naming file and line.
        """


class Teacher(Protocol):
    """Answers prompts."""

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        """Yield `sampling.n` completions per prompt as they finish, in any order, each tagged with its prompt id and
        index.

        The teacher's name in the completion is filled in by the stage. The same call gives the same answers, and what is
        answered to a prompt does not depend on which others are asked beside it (as far as the engine's arithmetic
        allows): a run that was stopped asks only for what is missing. `seed` already holds `sampling.seed`, where that
        is set. The reference is for judges; an answer stands when it changes. A prompt may be left out (the account
        counts it as unanswered); an unknown prompt id is an error.
        """


@runtime_checkable
class LikelihoodTeacher(Teacher, Protocol):
    """A teacher that can also say how likely it finds a given answer."""

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        """Score each answer given its prompt, in the order asked; NaN for one that the model cannot read whole."""


class Pool(tuple[str, ...]):
    """The names of a stage's teachers, in the recipe's order, and the languages that each is asked in."""

    languages: Mapping[str, frozenset[str] | None]

    def __new__(cls, languages: Mapping[str, Iterable[str] | None]) -> Pool:
        """Make the pool. languages: of each teacher by name; None means all."""
        pool = super().__new__(cls, languages)
        pool.languages = {name: None if codes is None else frozenset(codes) for name, codes in languages.items()}
        return pool

    def speaking(self, language: str) -> tuple[str, ...]:
        """The teachers that are asked in a language."""
        return tuple([name for name, codes in self.languages.items() if codes is None or language in codes])


class Router(Protocol):
    """Says which teachers answer which prompt."""

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        """Name the teachers of each prompt, in the order of `prompts`; an empty list leaves a prompt out.

        A teacher named for a prompt in a language that it is not asked in is left out by the stage; choose among
        `teachers.speaking(prompt.language)`. What is said of a prompt must not depend on which other prompts are asked
        about with it.
        """


class Arbiter(Protocol):
    """Judges the candidates of one prompt together, so that pointwise, pairwise and listwise judges are one kind.

    Its strategy class may set `pointwise`, where the verdict on a candidate depends on it and the prompt alone. It is then
    handed one candidate at a time, and verdicts stand when another teacher joins.
    """

    def judge(self, cases: Sequence[Case]) -> Iterable[Sequence[Verdict]]:
        """Yield, for each case in order, one verdict per candidate in order. Higher scores are better.

        A score is compared within its prompt only. It must be finite. An arbiter may abstain or fail on a candidate.
        """


@runtime_checkable
class CalibratedArbiter(Arbiter, Protocol):
    """An arbiter that looks at some cases before it judges, to put its scores on a scale."""

    def calibrate(self, cases: Sequence[Case]) -> None:
        """Take the scale from these cases. Called once before the first `judge`.

        cases: up to a few hundred of each language, drawn by hash from all that will be judged.
        """


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of a batch of preference pairs, nats, each of shape (batch,), float32.

    The reference's carry no gradient. Token counts (end of turn included) are for objectives that normalise by length.
    """

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


@dataclass(frozen=True)
class PairLoss:
    """What an objective says of a batch of pairs: losses and implicit rewards, shape (batch,). Rewards carry no
    gradient."""

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


class Objective(Protocol):
    """A pure function from log-probabilities of pairs to a loss; paper and equation belong in its docstring."""

    def __call__(self, pairs: PairLogps) -> PairLoss:
        """Return the loss and the implicit rewards of each pair."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run, as the stage hands it to a trainer.

    start: folder of the checkpoint to start from, or None for a trainer that needs none.
    rows: folder of the rows to train on; read them with `read_rows(job.rows, Demonstration)`.
    out: an empty folder; the trainer leaves an ordinary Hugging Face checkpoint there.
    work: a scratch folder that survives a kill, for the trainer's own checkpoints.
    objective, reference: set for trainers with `needs_objective`; the reference is a checkpoint folder.
    report: call it with (done, total, measures) as often as you like; measures are written to the training log.
    """

    rows: Path
    out: Path
    work: Path
    seed: int
    start: Path | None = None
    objective: Objective | None = None
    reference: Path | None = None
    report: Callable[[int, int, Mapping[str, float]], None] = field(default=lambda done, total, measures: None)


READS_DEFAULT = "demonstrations"
"""What a trainer reads that does not say."""


class Trainer(Protocol):
    """Makes a checkpoint from a checkpoint and data.

    Its strategy class may set `reads` ("demonstrations", the default, "preferences", "judged" or "any") and
    `needs_objective`.
    """

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train, write the checkpoint to `job.out`, and return the final measures."""


@dataclass(frozen=True)
class Subject:
    """A model under evaluation, as the stage hands it to an evaluator.

    prompts, answers: the stage's prompts and this model's answers under its sampling; empty unless the evaluator's
    strategy class says `needs_answers`.
    rival: the answers of the model that the evaluator's `against` names, under the same sampling.
    log_likelihoods: how likely this model finds given answers.
    """

    name: str
    prompts: Sequence[Prompt]
    answers: Sequence[Completion]
    rival: Sequence[Completion]
    log_likelihoods: Callable[[Sequence[tuple[Prompt, str]]], Sequence[LogLikelihood]]


class Evaluator(Protocol):
    """Scores a model.

    Its strategy class may set `needs_answers`, and have a field `against` that names a rival model of the same stage. One
    that yields several metrics sets `headline`, the name of the main one. `goal`, "max" or "min", says which end of that one is
    better, for searches.
    """

    def evaluate(self, subject: Subject) -> Iterable[RowScore]:
        """Yield what each row contributes to each metric. The core makes means, errors and intervals of them."""

    def signature(self) -> Mapping[str, str]:
        """Name everything that moves the numbers beside the model, the prompts and the sampling."""


KINDS: Mapping[str, str] = {
    "dataset": "aya_datasets",
    "teacher": "aya_teachers",
    "router": "aya_routers",
    "arbiter": "aya_arbiters",
    "objective": "aya_objectives",
    "trainer": "aya_trainers",
    "merge": "aya_merges",
    "evaluator": "aya_evaluators",
}
"""Every kind of strategy and the hook that offers it."""
