"""What a merge must do, and what it is handed.

A merge of tensors is a function of one tensor, or of one tensor in two steps: `survey` looks at it whole, a piece at a
time, and returns a function of its pieces. The merge engine lifts either to whole checkpoints. A search asks an optimizer
which settings of a merge to try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import Field, model_validator

from aya_core.contract.merge_parameters import MergeParameter
from aya_core.contract.strategies import Settings, Strategy, base_of

if TYPE_CHECKING:
    from torch import Tensor

Found = TypeVar("Found")


@dataclass(frozen=True)
class Place:
    """Which tensor is being merged.

    name: of the tensor in the merged checkpoint. models: their names. key: a 64-bit seed of this tensor alone, the same
    on any machine, thread count, device or shard layout; draw random numbers from it. depth: of its layer, 0 for the first
    and 1 for the last; 0 outside the layers. slice_index: which of the job's slices it belongs to.
    """

    name: str
    models: tuple[str, ...]
    key: int
    depth: float = 0.0
    slice_index: int = 0

    def value(self, setting: MergeParameter | float) -> float:
        """Give a setting's value for this tensor."""
        return (
            setting.at(self.name, depth=self.depth, slice_index=self.slice_index)
            if isinstance(setting, MergeParameter)
            else setting
        )

    def values(self, setting: MergeParameter | float) -> tuple[float, ...]:
        """Give a setting's values for this tensor, one per model."""
        if not isinstance(setting, MergeParameter):
            return (setting,) * len(self.models)
        return tuple(
            setting.at(self.name, depth=self.depth, slice_index=self.slice_index, model=name) for name in self.models
        )


class Piece(NamedTuple):
    """A part of one tensor in every model, float32, as a matrix whose rows are rows of the tensor's last dimension.

    models: one per model, of one shape; base: the base model's, or None where the merge needs no base. None may be
    modified. start: how many values of the tensor lie before it.
    """

    models: tuple[Tensor, ...]
    base: Tensor | None
    start: int


class Pieces(Protocol):
    """One tensor of several models, a piece at a time. How it is cut depends on its shape alone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole tensor."""

    def map(self, function: Callable[[Piece], Found]) -> list[Found]:
        """Apply a function to every piece, several at a time, and return what it gave, in the order of the pieces."""

    def map_some(self, function: Callable[[Piece], Found]) -> list[Found]:
        """Apply it to some of the pieces only: sixteen or more, evenly spread, or all of fewer. For a first guess."""


class TensorMerge(Protocol):
    """Merges one tensor. The merge engine lifts it to whole checkpoints; it holds the tensor of every model in memory."""

    @property
    def needs_base(self) -> bool:
        """Whether it works on differences from a base model."""

    def __call__(
        self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, place: Place
    ) -> Tensor:
        """Merge the same tensor of several models.

        tensors: float32, one per model, equal shapes; must not be modified. weights: one per model, as the recipe gives
        them for this tensor (1.0 each when it does not). base: the base model's tensor, or None where the merge needs
        none.
        """


@runtime_checkable
class PieceMerge(Protocol):
    """Merges one tensor a piece at a time, so that memory does not grow with the tensor.

    It may set `whole_rows = True`: then no row of a tensor is ever cut, however long.
    """

    @property
    def needs_base(self) -> bool:
        """Whether it works on differences from a base model."""

    def survey(self, pieces: Pieces, weights: Sequence[float], place: Place) -> Callable[[Piece], Tensor]:
        """Look at a tensor as often as needed (`pieces.map`), and return the function that merges a piece of it.

        That function returns a new float32 tensor of the piece's shape. Both functions run in several threads at once,
        and see the pieces of one tensor in any order.
        """


@runtime_checkable
class WholeModelMerge(Protocol):
    """Becomes a merge in pieces once it has looked at all tensors, for methods that set one threshold for a whole model."""

    @property
    def needs_base(self) -> bool:
        """Whether it works on differences from a base model."""

    def survey_all(self, tensors: Sequence[tuple[Place, Pieces]]) -> PieceMerge:
        """Look at all tensors as often as needed, and return the merge that makes each of them.

        tensors: those that will be merged, in the order of the merged checkpoint, whatever is done already. Called once,
        before the first tensor is merged.
        """


class MergeInput(NamedTuple):
    """A model that goes into a merge. folder: of a checkpoint, or of the model that `adapter`, a LoRA's folder, is for."""

    name: str
    folder: Path
    adapter: Path | None = None


class LayerSlice(NamedTuple):
    """Some layers of a merged model. layers: for each model of the job, the first layer that is taken from it, or None where
    this slice does not take from it; the base's is last, where there is one. length: how many layers."""

    layers: tuple[int | None, ...]
    length: int


class TokenRow(Settings):
    """A row of a vocabulary table that a token gets: zeros, or the row of some token of a model."""

    kind: Literal["zero", "model_token"] = Field(description="`zero`, or `model_token`: that of a token of a model.")
    model: str | None = Field(None, description="For model_token: the model, by its name.")
    token: str | None = Field(None, description="For model_token: the token whose row it is. This or token_id.")
    token_id: int | None = Field(None, ge=0, description="For model_token: the number of the row.")

    @model_validator(mode="after")
    def _check(self) -> TokenRow:
        given = [name for name in ("model", "token", "token_id") if getattr(self, name) is not None]
        if self.kind == "zero" and given:
            raise ValueError(f"kind zero takes no {given[0]}; expected {{kind: zero}}")
        if self.kind == "model_token" and given not in (["model", "token"], ["model", "token_id"]):
            raise ValueError(f"kind model_token takes a model and one of token and token_id; got {given}")
        return self


class TokenSettings(Settings):
    """Where the rows of one token come from."""

    source: str | TokenRow = Field(
        description="A model, by its name, or {kind: zero}, or {kind: model_token, model: ..., token: ...}."
    )
    force: bool = Field(False, description="Whether models that have the token get this row, too.")


class Vocabulary(Settings):
    """What the merged model's tokens are, where the models' differ."""

    source: str = Field(
        "same",
        min_length=1,
        description="`same` (all models must agree), `base` (those of the base, or of the first model), `union`, the name "
        "of a model, or the folder of a tokenizer.",
    )
    missing: Literal["average", "base"] = Field(
        "average",
        description="Rows of a token that a model lacks: mean over the models that have it, or the row of the "
        "base (of the first model, where there is no base) where that has one.",
    )
    tokens: dict[str, TokenSettings] = Field(
        {}, description="Rows of single tokens, by token, as in mergekit; a token that is not there yet is added."
    )
    pad_to_multiple_of: int | None = Field(None, ge=1, description="Round the number of rows up to a multiple of this.")


class Resources(Settings):
    """With what a merge is done. Nothing here changes its values, but for rounding on another device."""

    threads: int | None = Field(
        None, ge=1, description="Tensors worked on at once, each in a process; None takes as many as torch has threads."
    )
    memory: int = Field(
        1024,
        ge=16,
        description="Most memory of what is worked on at once, MiB; a merge that takes tensors whole may need more.",
    )
    device: str = Field("cpu", description="Where the arithmetic is done: cpu, cuda, cuda:1.")


@dataclass(frozen=True)
class MergeJob:
    """One merge, as the stage hands it over.

    models: the inputs; names differ. weights: by model, where they differ. out: an empty folder. scratch: a folder beside it that
    survives a kill, for what is done already; None means start anew. base: for merges that need one, and for files that go
    along. dtype: stored as; None keeps the input's. slices: which layers are taken from where; None takes all of all.
    chat_template: one to store instead of the base's. allow: settings of config.json in which models may differ though they say what
    weights mean, `sliding_window` or `text_config.sliding_window`; the merge has the base's, or the first model's. description:
    method and settings, for the model card. report: call it with (done, total) bytes.
    """

    models: tuple[MergeInput, ...]
    out: Path
    weights: MergeParameter = MergeParameter(1.0)  # noqa: RUF009 (immutable)
    seed: int = 0
    base: MergeInput | None = None
    dtype: str | None = None
    shard_bytes: int = 4 * 10**9
    scratch: Path | None = None
    slices: tuple[LayerSlice, ...] | None = None
    vocabulary: Vocabulary = Vocabulary()  # noqa: RUF009 (immutable)
    chat_template: str | None = None
    allow: tuple[str, ...] = ()
    resources: Resources = Resources()  # noqa: RUF009 (immutable)
    description: Mapping[str, Any] = field(default_factory=dict)
    report: Callable[[int, int], None] = field(default=lambda done, total: None)

    def described(self, description: Mapping[str, Any]) -> MergeJob:
        """The same job with its method and settings told."""
        return replace(self, description=description)


@runtime_checkable
class CheckpointMerge(Protocol):
    """Merges whole checkpoints."""

    def merge(self, job: MergeJob) -> Mapping[str, Any]:
        """Write the merged checkpoint to `job.out` and return the account: tensors, bytes, and what was copied."""


AnyMerge = TensorMerge | PieceMerge | WholeModelMerge | CheckpointMerge
"""What a merge strategy builds."""


@base_of(TensorMerge, PieceMerge, WholeModelMerge, CheckpointMerge)
class MergeStrategy(Strategy[AnyMerge]):
    """Settings of a merge."""

    needs_base: ClassVar[bool] = False
    """Whether it works on differences from a base model, as what it builds says, too. A recipe must then name one, which is
    said before anything runs; in rounds of online training, the model that the round started from stands in."""

    least_models: ClassVar[int] = 1
    """How many models it takes at least, beside the base."""

    most_models: ClassVar[int | None] = None
    """How many models it takes at most, beside the base; None for any number."""

    def check_weights(self, weights: Sequence[float]) -> None:
        """Raise AyaError for weights, one for each model, that it cannot take. Called when a recipe is planned, and without a type of
        its own: weights that vary over the layers are not shown to it."""


class MergeEngine(Protocol):
    """Lifts merges of one tensor to merges of checkpoints."""

    def merge(
        self, jobs: Sequence[tuple[TensorMerge | PieceMerge | WholeModelMerge, MergeJob]]
    ) -> Sequence[Mapping[str, Any]]:
        """Write one merged checkpoint per job, and return the accounts. Jobs over the same models read them once."""


@runtime_checkable
class CheckingEngine(MergeEngine, Protocol):
    """A merge engine that can also load what it made."""

    def check(self, models: Sequence[MergeInput], lines: Path, per_language: int, device: str) -> Mapping[str, Any]:
        """Load models, the merged one first, and score the same lines with each.

        Returns what JSON can hold, with `table`, text to be shown. Raises DataError where the merged model does not load
        whole, or gives no finite score, though what it was merged from does.
        """


@dataclass(frozen=True)
class LoraJob:
    """One adapter to be made of the difference between a model and its base.

    base_name: what peft is to load as the base: a hub id, or a whole path. out: an empty folder. rank: the most that a tensor's
    difference gets. threshold: singular values below this share of the largest of their tensor are left out; 0 keeps all that
    the rank allows. device: where the arithmetic is done. report: call it with (done, total) tensors.
    """

    model: MergeInput
    base: MergeInput
    base_name: str
    out: Path
    rank: int = 16
    threshold: float = 0.0
    device: str = "cpu"
    report: Callable[[int, int], None] = field(default=lambda done, total: None)


@runtime_checkable
class ExtractingEngine(MergeEngine, Protocol):
    """A merge engine that can also take a difference apart again."""

    def extract(self, job: LoraJob) -> Mapping[str, Any]:
        """Write the LoRA adapter to `job.out` and return the account: what JSON can hold. Raises DataError where there can be none."""


@runtime_checkable
class ForeseeingEngine(MergeEngine, Protocol):
    """A merge engine that can tell from configurations alone that models will not merge."""

    def foresee(
        self, models: Sequence[MergeInput], vocabulary: Vocabulary, allow: Sequence[str], chat_template: str | None
    ) -> None:
        """Raise AyaError where the configurations of models cannot be merged, or the chat template cannot be stored. Called when a
        recipe is planned: no weights are read.

        models: those whose configuration is known by then, the one whose files the merge gets first. allow, chat_template: see
        `MergeJob`.
        """


class Optimizer(Protocol):
    """Looks for the point of smallest loss, a generation at a time, knowing nothing of what is optimized.

    It begins around the origin, with a spread of about 1 in each direction: who uses it scales. What it asks depends on its
    seed and on what it was told, and on nothing else, so that a run that was killed can be played again.
    """

    def ask(self) -> Sequence[Sequence[float]]:
        """Give the points of the next generation, at least one."""

    def tell(self, points: Sequence[Sequence[float]], losses: Sequence[float]) -> None:
        """Take the losses of the points that were asked, all finite; smaller is better."""

    def signature(self) -> str:
        """Name the method and its version."""


MakeOptimizer = Callable[[int, int | None, int], Optimizer]
"""Makes an optimizer of (dimensions, population, seed). population: points in a generation, None for the method's own."""
