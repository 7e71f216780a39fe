"""The nine kinds of strategy: what each `build()` must return, and what else its class may say.

Each kind has a Protocol, which what is built satisfies, and a base, which its strategy classes derive from: `Arbiter` and
`ArbiterStrategy`. The base declares the words of the kind: class attributes by which a strategy says what the core cannot see
from its settings. A word has a type and a default; where settings decide, write it as a property. `words.py` refuses a class
that misspells one.

Every Protocol is small enough to be met by fifteen lines of a stranger's code, and `aya_core.testing` has a conformance check
for each. Rows are the records of `records.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pydantic import Field

from aya_core.contract.languages import counts_as
from aya_core.contract.merges import MergeStrategy
from aya_core.contract.metrics import Metric
from aya_core.contract.records import (
    Case,
    Completion,
    CorpusScore,
    ExampleRow,
    Prompt,
    RowScore,
    Unanswered,
    Verdict,
)
from aya_core.contract.requests import Continuation, LogLikelihood, Replies, Request, Sampling
from aya_core.contract.strategies import Settings, Strategy, base_of

if TYPE_CHECKING:
    from torch import Tensor


class Dataset(Protocol):
    """Yields prompts, demonstrations or preferences, streaming."""

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        """Yield the rows, the same ones in the same order for the same seed. Ids are unique, but for groups.

        Groups are demonstrations with a score, several answers to a prompt one after the other under the prompt's id.

        seed: for data sets that draw at random; files have no use for it. Raises DataError for a row that cannot be
        read, naming file and line.
        """


@runtime_checkable
class AccountingDataset(Dataset, Protocol):
    """A data set that says how it read its rows, which a run records and prints."""

    def account(self) -> Mapping[str, Any]:
        """Say what came of the last `rows()`: under `columns`, from which columns rows were read (`prompt from 'messages'`), with their
        number; under `without_pair`, how many rows gave none, by reason."""


@base_of(Dataset)
class DatasetStrategy(Strategy[Dataset]):
    """Settings of a data set."""


class Teacher(Protocol):
    """Answers prompts."""

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion | Unanswered]:
        """Yield `sampling.n` completions per prompt as they finish, in any order, each tagged with its prompt id and
        index.

        The teacher's name in the completion is filled in by the stage. The same call gives the same answers, and what is
        answered to a prompt does not depend on which others are asked beside it (as far as the engine's arithmetic
        allows): a run that was stopped asks only for what is missing. `seed` already holds `sampling.seed`, where that
        is set. The reference is for judges; an answer stands when it changes. A prompt may be left out, or some of
        its samples: yield an `Unanswered` that says why, which the account counts. An unknown prompt id is an error.
        """


@runtime_checkable
class LikelihoodTeacher(Teacher, Protocol):
    """A teacher that can also say how likely it finds a given answer."""

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        """Score each answer given its prompt, in the order asked; NaN for one that the model cannot read whole, or without a token."""


@runtime_checkable
class ContinuationTeacher(Teacher, Protocol):
    """A teacher that can also say how likely it finds the continuations of given contexts."""

    def continuations(self, asked: Sequence[Continuation]) -> Iterator[tuple[int, LogLikelihood]]:
        """Yield the place of each continuation with its log-likelihood, in any order, as they are found.

        The log-probability is that of the continuation's tokens alone, without an end of turn. Tokens: those of the context
        followed by the text, encoded as one, of which the first as many belong to the context as it has by itself. A context too
        long for the model loses its start, which `cut` counts. NaN for a text without any token, for one that does not fit in the
        model's window by itself, and where all that the context says is lost: they are not scored as asked, so they do not compete.
        """


class Price(Settings):
    """What a million tokens cost."""

    prompt: float = Field(ge=0, description="A million tokens of prompts.")
    answer: float = Field(ge=0, description="A million tokens of answers, reasoning included.")
    currency: str = Field("USD", min_length=1, max_length=20, description="The unit, as it is to be printed.")


@base_of(Teacher)
class TeacherStrategy(Strategy[Teacher]):
    """Settings of a teacher. One that runs a checkpoint has a field `model: ModelRef`.

    `languages`, `sampling` and `limit` are no names for its settings: a stage sets these beside every teacher.
    """

    execution_settings: ClassVar[frozenset[str]] = frozenset({"price"})

    price: Price | None = Field(
        None,
        description="What it costs, for the account; a changed price asks nothing anew. Without it, tokens alone are counted.",
    )


class Pool(tuple[str, ...]):
    """The names of a stage's teachers, in the recipe's order, and the languages that each is asked in."""

    languages: Mapping[str, frozenset[str] | None]

    def __new__(cls, languages: Mapping[str, Iterable[str] | None]) -> Pool:
        """Make the pool. languages: of each teacher by name; None means all."""
        pool = super().__new__(cls, languages)
        pool.languages = {name: None if codes is None else frozenset(codes) for name, codes in languages.items()}
        return pool

    def speaking(self, language: str) -> tuple[str, ...]:
        """The teachers that are asked in a language; one that is asked in zh is asked in zh-Hant, too."""
        return tuple(
            [name for name, codes in self.languages.items() if codes is None or counts_as(language, codes) is not None]
        )


class Router(Protocol):
    """Says which teachers answer which prompt."""

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        """Name the teachers of each prompt, in the order of `prompts`; an empty list leaves a prompt out.

        A teacher named for a prompt in a language that it is not asked in is left out by the stage; choose among
        `teachers.speaking(prompt.language)`. What is said of a prompt must not depend on which other prompts are asked
        about with it.
        """


@base_of(Router)
class RouterStrategy(Strategy[Router]):
    """Settings of a router."""


class Arbiter(Protocol):
    """Judges the candidates of one prompt together, so that pointwise, pairwise and listwise judges are one kind."""

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


class ReplyStore(Protocol):
    """Where an arbiter keeps replies from the moment they come. They survive a kill, and later steps and runs find them."""

    def find(self, key: str) -> Any | None:
        """What was kept under a key; None for nothing."""

    def add(self, key: str, value: Any) -> None:
        """Keep what JSON can hold under a key. It survives a kill when this returns."""


@runtime_checkable
class KeepingArbiter(Arbiter, Protocol):
    """An arbiter that asks somebody several questions about its cases, and keeps each reply when it comes.

    The core keeps whole verdicts by itself. This is for what would be lost with a verdict that is not whole, and for replies that stand
    when the case changes, such as a comparison of two answers when a third joins.
    """

    def keep_replies(self, stores: Callable[[Strategy[Any]], ReplyStore]) -> None:
        """Take the stores of those who are asked. Called before anything else; outside a run it may not be called.

        stores: gives the store of a strategy among the arbiter's settings, such as its teacher. Of that strategy, its settings, its
        code and the content of its models and files are in the name of the store; all else that decides a reply (what is asked,
        sampling, seed) belongs into the key. Keep no reply that is to be asked for again, such as one that cannot be read.
        """


@base_of(Arbiter)
class ArbiterStrategy(Strategy[Arbiter]):
    """Settings of an arbiter."""

    pointwise: ClassVar[bool] = False
    """Whether the verdict on a candidate depends on it and the prompt alone. The arbiter is then handed one candidate at a
    time, and its verdicts stand when another teacher joins."""

    orderless: ClassVar[bool] = False
    """Whether the order of the candidates decides nothing, for an arbiter that compares them. Others are asked in both orders
    when two are compared."""


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of a batch of preference pairs, nats, each of shape (batch,), float32.

    The reference's carry no gradient. Token counts (end of turn included) are for objectives that normalize by length.
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
class SingleLogps:
    """Summed log-probabilities of single answers that are good or bad, nats, each of shape (batch,), float32.

    is_good: bool, (batch,). The rest is as in `PairLogps`.
    """

    logps: Tensor
    reference: Tensor
    tokens: Tensor
    is_good: Tensor


@dataclass(frozen=True)
class SingleLoss:
    """What an objective says of single answers: losses and implicit rewards, shape (batch,). Rewards carry no gradient."""

    losses: Tensor
    rewards: Tensor


@runtime_checkable
class SingleObjective(Objective, Protocol):
    """An objective over pairs that can learn from single answers, too, of which is known whether they are good."""

    def singles(self, answers: SingleLogps) -> SingleLoss:
        """Return the loss and the implicit reward of each answer."""


@dataclass(frozen=True)
class GroupLogps:
    """Log-probabilities of scored samples, token by token, in nats; the samples of a prompt are a group.

    logps, sampled_logps, reference_logps: (samples, width) float32 under the policy, under the model that drew the samples
    and under the reference; 0 beyond the end of a sample. The last two carry no gradient.
    tokens: (samples,) how many of the width are real, end of turn included.
    scores: (samples,) float32, the arbiter's. groups: (samples,) int64, which prompt of the batch a sample answers; the
    samples of a prompt are all there, one after the other.
    """

    logps: Tensor
    sampled_logps: Tensor
    reference_logps: Tensor
    tokens: Tensor
    scores: Tensor
    groups: Tensor


@dataclass(frozen=True)
class GroupLoss:
    """What an objective says of a batch of groups, each of shape (samples,). The losses alone carry a gradient.

    losses: their mean over all samples of a step is the loss of the step. advantages: how much better than its group each
    sample counts. kl: estimated divergence from the reference, nats, summed over the tokens of each sample. clip_ratio:
    share of each sample's probability ratios that were clipped, and so give no gradient; None where nothing clips.
    """

    losses: Tensor
    advantages: Tensor
    kl: Tensor
    clip_ratio: Tensor | None = None


class GroupObjective(Protocol):
    """A pure function from log-probabilities of groups of scored samples to a loss. Its strategy says `over = "groups"`."""

    def __call__(self, groups: GroupLogps) -> GroupLoss:
        """Return the loss, the advantage and the divergence of each sample."""


AnyObjective: TypeAlias = Objective | GroupObjective
"""What `aya_objectives` offers: losses over pairs, or over groups."""


@base_of(Objective, GroupObjective)
class ObjectiveStrategy(Strategy[AnyObjective]):
    """Settings of an objective."""

    over: ClassVar[Literal["pairs", "groups"]] = "pairs"
    """What the loss is over: preference pairs (`Objective`), or groups of scored samples (`GroupObjective`)."""

    needs_reference: ClassVar[bool] = True
    """Whether the loss compares the policy with a reference. Where it is False, no reference is scored, and what stands in its
    place must not matter: over groups, the log-probabilities of the sampler."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run, as the stage hands it to a trainer.

    start: folder of the checkpoint to start from, or None for a trainer that needs none.
    rows: folder of the rows to train on; read them with `read_rows(job.rows, Demonstration)`.
    out: an empty folder; the trainer leaves an ordinary Hugging Face checkpoint there.
    work: a scratch folder that survives a kill, for the trainer's own checkpoints.
    objective, reference: set for trainers with `needs_objective`; the reference is a checkpoint folder.
    needs_reference: what the objective's strategy says. Where it is False, the reference is None and need not be scored.
    validation: folder of held-out rows of the kind that the trainer reads, to be measured on and never trained on.
    contents: content hashes of `start`, `reference` and `rows`, where they are known; equal content has equal hashes.
    store: a folder that all jobs of a run share and that outlives them. What is put there must be named by the content of
        all it was made of, and be written beside and renamed; other jobs may read and write it at the same time.
    alike: a folder in the store that is shared by the runs which differ from this one in `length_settings` alone, for a state from which
        a longer one goes on; None outside a run.
    stopping: ask it now and then whether the run was told to stop; save then, and raise StoppedError.
    report: call it with (done, total, measures) as often as you like; measures are written to the training log.
    """

    rows: Path
    out: Path
    work: Path
    seed: int
    start: Path | None = None
    objective: AnyObjective | None = None
    reference: Path | None = None
    needs_reference: bool = True
    validation: Path | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    store: Path | None = None
    alike: Path | None = None
    stopping: Callable[[], bool] = field(default=lambda: False)
    report: Callable[[int, int, Mapping[str, float]], None] = field(default=lambda done, total, measures: None)


class Trainer(Protocol):
    """Makes a checkpoint from a checkpoint and data."""

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train, write the checkpoint to `job.out`, and return the final measures."""


class TokenInfo(NamedTuple):
    """A token as a trainer sees it. is_learned: whether its log-probability counts in the loss. is_special: whether it is one
    that the tokenizer keeps apart from text, such as an end of turn."""

    id: int
    text: str
    is_learned: bool
    is_special: bool = False


@dataclass(frozen=True)
class TokenizedRow:
    """A row as tokens. column: which of a row's texts it is (`chosen`, `rejected`), or empty. note: what was done to it (cut,
    dropped), or empty."""

    prompt_id: str
    language: str
    column: str
    tokens: Sequence[TokenInfo]
    note: str = ""


@runtime_checkable
class InspectableTrainer(Trainer, Protocol):
    """A trainer that can show its rows as it encodes them, so that mistakes of a chat template are seen."""

    def show(self, job: TrainingJob) -> Iterator[TokenizedRow]:
        """Yield the rows of `job.rows` in their order, encoded as for training from `job.start`. Loads no weights."""


@base_of(Trainer)
class TrainerStrategy(Strategy[Trainer]):
    """Settings of a trainer."""

    reads: ClassVar[Literal["demonstrations", "preferences", "groups", "judged", "prompts", "any"]] = "demonstrations"
    """Which rows it trains on."""

    needs_objective: ClassVar[bool] = False
    """Whether the recipe must give it an objective, which comes in the job."""

    objective_over: ClassVar[Literal["pairs", "groups"]] = "pairs"
    """What that objective must be over."""

    length_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings by which a run is longer or shorter and nothing else: runs that differ in these share `TrainingJob.alike`."""

    @property
    def checkpoint_steps(self) -> Sequence[int]:
        """The steps after which it leaves a checkpoint beside the last one, in `checkpoint-STEP` of its output, ascending.

        Stages refer to these by the name of the training and `:step-STEP`.
        """
        return ()

    @property
    def launcher(self) -> tuple[str, ...] | None:
        """A command, word by word, that runs `-m module arguments` in several processes; None trains in one.

        `train` is called in each process with the same job; the first, by `RANK` in its environment, writes and reports.
        """
        return None


@dataclass(frozen=True)
class EvaluatedModel:
    """A model under evaluation, as the stage hands it to an evaluator.

    prompts, answers: the stage's prompts and this model's answers under its sampling; empty unless the evaluator's
    strategy says `needs_answers`.
    rival: the answers of the model that the evaluator's `against` names, under the same sampling.
    log_likelihoods: how likely this model finds given answers.
    replies: what this model said to the requests of the evaluator; empty for one without.
    arbiter: builds an arbiter that is a setting of the evaluator, whose verdicts are kept: each survives a kill, and later runs of the
        same evaluator and model take it over, unless it failed, as long as the prompt, the answers shown and the arbiter are the same.
    store: a folder that all evaluations of a run share, see `TrainingJob`; None outside a run.
    """

    name: str
    prompts: Sequence[Prompt]
    answers: Sequence[Completion]
    rival: Sequence[Completion]
    log_likelihoods: Callable[[Sequence[tuple[Prompt, str]]], Sequence[LogLikelihood]]
    replies: Replies = field(default_factory=Replies)
    arbiter: Callable[[ArbiterStrategy], Arbiter] = field(default=lambda strategy: strategy.build())
    store: Path | None = None


class Evaluator(Protocol):
    """Scores a model."""

    def evaluate(self, evaluated: EvaluatedModel) -> Iterable[RowScore | CorpusScore]:
        """Yield what each row contributes to each metric; the core makes means, errors and intervals of them. A metric that is no
        mean over rows comes as a `CorpusScore` of each language."""

    def signature(self) -> Mapping[str, str]:
        """Name everything that moves the numbers beside the model, the prompts and the sampling."""


class AskingEvaluator(Evaluator, Protocol):
    """An evaluator with rows of its own, such as a benchmark; its strategy says `asks = True`.

    What all of a stage's evaluators ask goes to a model in one pass. Its replies are kept: what was asked before is not asked
    again when an evaluator joins or changes how it scores.
    """

    def requests(self) -> Iterator[Request]:
        """Yield what the model is to be asked, in the same order each time. No model is loaded yet."""


@base_of(Evaluator)
class EvaluatorStrategy(Strategy[Evaluator]):
    """Settings of an evaluator. One that compares a model with a rival has a setting `against`."""

    needs_answers: ClassVar[bool] = False
    """Whether it scores the model's answers to the prompts of the stage; without it, the model is not asked."""

    asks: ClassVar[bool] = False
    """Whether it has rows of its own, for which its evaluator has a method `requests()`."""

    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Each metric that it yields, by name, with unit, range and which end is better; the first is the main one. A name that ends in
    `/*` stands for all that begin so. A metric that is not here is an error."""

    @property
    def rival(self) -> str | TeacherStrategy | None:
        """What its setting `against` holds: the name of a model of the same stage, or a teacher who answers as the rival. None
        where it has no such setting."""
        against: str | TeacherStrategy | None = dict(self).get("against")
        return against


@dataclass(frozen=True)
class TrackedRun:
    """A run, as a tracker is told of it. settings: the recipe as plain data, overrides included."""

    recipe: str
    folder: Path
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """Takes what a run measures to where you want to look at it.

    It is built and called by the runner, which waits for it: each call should return at once. What it raises never harms the
    run: that is reported once, and the tracker is told no more. Steps that stood before this run are not told.
    """

    def start(self, run: TrackedRun) -> None:
        """Begin. Called once, before the first step of the run starts."""

    def log(self, node: str, step: int, measures: Mapping[str, float]) -> None:
        """Take one line of a node's `log.jsonl`: every line, in order.

        node: its id, such as `tune@europe`. step: how much of its work was done then (optimizer steps, for training); it
        falls back where training that was killed goes on from its last save.
        """

    def finish(self, node: str, measures: Mapping[str, float]) -> None:
        """Take the final measures of a node whose artifact stands now: those of them that are numbers."""

    def close(self, is_whole: bool) -> None:
        """End. is_whole: whether all that the run was to make stands; False for one that failed or was stopped."""


@base_of(Tracker)
class TrackerStrategy(Strategy[Tracker]):
    """Settings of a tracker."""


BASES: Mapping[str, type] = {
    "dataset": DatasetStrategy,
    "teacher": TeacherStrategy,
    "router": RouterStrategy,
    "arbiter": ArbiterStrategy,
    "objective": ObjectiveStrategy,
    "trainer": TrainerStrategy,
    "merge": MergeStrategy,
    "evaluator": EvaluatorStrategy,
    "tracker": TrackerStrategy,
}
"""The base of each kind's strategy classes."""

KINDS: Mapping[str, str] = {kind: f"aya_{kind}s" for kind in BASES}
"""Every kind of strategy and the hook that offers it."""
