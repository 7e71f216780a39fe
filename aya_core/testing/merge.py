"""What a merge must do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aya_core.contract.artifacts import describe_files
from aya_core.contract.merge_parameters import MergeParameter
from aya_core.contract.merges import (
    AnyMerge,
    CheckpointMerge,
    MergeEngine,
    MergeInput,
    MergeJob,
    MergeStrategy,
    Piece,
    PieceMerge,
    Place,
    TensorMerge,
    WholeModelMerge,
)
from aya_core.testing.strategy import Rules, check_strategy
from aya_core.testing.tiny import tiny_causal_lm

if TYPE_CHECKING:
    from torch import Tensor

Found = TypeVar("Found")


def check_merge(
    strategy: MergeStrategy,
    folder: Path | None = None,
    *,
    engine: MergeEngine | None = None,
    models: int = 2,
) -> None:
    """Check a merge of so many models. Raises AssertionError that says which rule is broken. Needs torch.

    A merge of tensors is checked on tensors; with a folder to work in, a merge of checkpoints is checked on tiny ones,
    and so is a merge of tensors that an engine lifts.
    """
    check_strategy(strategy, "merge")
    expect = Rules(strategy)
    merge = strategy.build()
    if not isinstance(merge, CheckpointMerge):
        _check_tensors(expect, merge, models)
        said, done = strategy.needs_base, merge.needs_base
        expect(said is done, f"says `needs_base` {said}, and what it builds says {done}; say it on the strategy, too")
        if engine is None:
            return
    expect(folder is not None, "a merge of checkpoints is checked in a folder; pass one (tmp_path)")
    if folder is not None:
        _check_checkpoints(expect, merge, folder, engine, models)


def merge_whole(
    merge: TensorMerge | PieceMerge | WholeModelMerge,
    tensors: Sequence[Tensor],
    weights: Sequence[float],
    base: Tensor | None = None,
    place: Place | None = None,
    *,
    rows: int | None = None,
) -> Tensor:
    """Apply a merge of tensors to whole tensors in memory, float32.

    place: a made-up one if None. rows: how many rows a piece has, for merges in pieces; None means all.
    """
    import torch

    place = place or Place("model.weight", tuple(f"model-{index}" for index in range(len(tensors))), key=42)
    pieces = InMemory(tuple(tensors), base, rows)
    if isinstance(merge, WholeModelMerge):
        merge = merge.survey_all([(place, pieces)])
    if not isinstance(merge, PieceMerge):
        return merge(tensors, weights, base, place)
    merged = torch.cat(pieces.map(merge.survey(pieces, weights, place)))
    return merged.reshape(tensors[0].shape)


@dataclass(frozen=True)
class InMemory:
    """Whole tensors of several models as pieces. rows: of a piece; None means all."""

    tensors: tuple[Tensor, ...]
    base: Tensor | None
    rows: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole tensor."""
        return tuple(self.tensors[0].shape)

    def map(self, function: Callable[[Piece], Found]) -> list[Found]:
        """Apply a function to every piece."""
        return [function(self._piece(row)) for row in self._first_rows]

    def map_some(self, function: Callable[[Piece], Found]) -> list[Found]:
        """Apply a function to some pieces."""
        rows = self._first_rows
        return [function(self._piece(row)) for row in rows[:: max(1, len(rows) // 16)]]

    @property
    def _columns(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def _first_rows(self) -> range:
        length = self.tensors[0].numel() // self._columns
        return range(0, length, self.rows or max(length, 1))

    def _piece(self, row: int) -> Piece:
        def cut(tensor: Tensor) -> Tensor:
            matrix = tensor.reshape(-1, self._columns)
            return matrix[row : row + (self.rows or len(matrix))]

        return Piece(
            tuple(cut(tensor) for tensor in self.tensors),
            None if self.base is None else cut(self.base),
            row * self._columns,
        )


def _check_tensors(expect: Rules, merge: TensorMerge | PieceMerge | WholeModelMerge, models: int) -> None:
    import torch

    needs_base = getattr(merge, "needs_base", None)
    expect(isinstance(needs_base, bool), "a merge of tensors must say `needs_base`, True or False")
    for shape in ((6, 10), (64,), (1,), (3, 4, 5)):
        generator = torch.Generator().manual_seed(0)
        tensors = [torch.randn(shape, generator=generator) for _ in range(models)]
        base = torch.randn(shape, generator=generator) if needs_base else None
        before = [tensor.clone() for tensor in (*tensors, *([] if base is None else [base]))]

        def merged(seed: int, rows: int | None, tensors: list[Tensor] = tensors, base: Tensor | None = base) -> Tensor:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return merge_whole(merge, tensors, [1 / models] * models, base, rows=rows)

        found = merged(0, None)
        expect(
            tuple(found.shape) == shape and found.is_floating_point(),
            f"merged tensors of shape {shape} to {found.dtype} of shape {tuple(found.shape)}; expected the same shape",
        )
        expect(bool(torch.isfinite(found).all()), "merged finite tensors to values that are not finite")
        after = [*tensors, *([] if base is None else [base])]
        expect(all(map(torch.equal, before, after)), "must not modify the tensors it merges")
        expect(
            torch.equal(found, merged(1, None)),
            "the same tensors and key must give the same result; draw random numbers from a generator seeded by place.key",
        )
        expect(
            torch.allclose(found, merged(0, 2), rtol=1e-5, atol=1e-6),
            "must not depend on how a tensor is cut into pieces; look at it whole in `survey`, and draw by `piece.start`",
        )


def _check_checkpoints(expect: Rules, merge: AnyMerge, folder: Path, engine: MergeEngine | None, count: int) -> None:
    import torch

    base, *models = (tiny_causal_lm(folder / f"input-{seed}", seed=seed) for seed in range(count + 1))
    before = [describe_files(path) for path in (base, *models)]
    outputs = []
    threads = torch.get_num_threads()
    try:
        for run in (1, 2):
            out = folder / f"output-{run}"
            out.mkdir()
            torch.set_num_threads(run)
            job = MergeJob(
                tuple(MergeInput(model.name, model) for model in models),
                out,
                MergeParameter(1 / count),
                base=MergeInput(base.name, base),
            )
            if isinstance(merge, CheckpointMerge):
                account = merge.merge(job)
            else:
                assert engine is not None
                (account,) = engine.merge([(merge, job)])
            outputs.append(_tensors(out))
    finally:
        torch.set_num_threads(threads)
    json.dumps(dict(account))
    expect(before == [describe_files(path) for path in (base, *models)], "must not change the models it merges")
    given, made = _tensors(models[0]), outputs[0]
    for name, values in given.items():
        expect(name in made, f"tensor '{name}' of the models is missing from the merged checkpoint")
        expect(
            made[name].shape == values.shape and bool(torch.isfinite(made[name]).all()),
            f"tensor '{name}' was merged to shape {tuple(made[name].shape)}, or to values that are not finite",
        )
    expect(
        all(torch.equal(outputs[1][name], values) for name, values in made.items()),
        "the same models and seed must give the same checkpoint, with one thread or two",
    )
    for name in ("config.json", "tokenizer.json"):
        expect((folder / "output-1" / name).is_file(), f"the merged checkpoint has no {name}")


def _tensors(folder: Path) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    return {name: values for path in sorted(folder.glob("*.safetensors")) for name, values in load_file(path).items()}
