"""What a merge must do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.artifacts import describe_files
from aya_core.kinds import CheckpointMerge, MergeJob, TensorMerge
from aya_core.strategies import Strategy
from aya_core.testing.rules import expect
from aya_core.testing.strategy import check_strategy
from aya_core.testing.tiny import tiny_causal_lm

if TYPE_CHECKING:
    from torch import Tensor

MODELS = 2


def check_merge(
    strategy: Strategy[TensorMerge | CheckpointMerge],
    folder: Path | None = None,
    *,
    engine: Callable[[TensorMerge], CheckpointMerge] | None = None,
) -> None:
    """Check a merge of two models. Raises AssertionError that says which rule is broken. Needs torch.

    A merge of tensors is checked on tensors; with a folder to work in, a merge of checkpoints is checked on tiny ones,
    and so is a merge of tensors that an engine lifts.
    """
    check_strategy(strategy)
    merge = strategy.build()
    if not isinstance(merge, CheckpointMerge):
        _check_tensors(strategy, merge)
        if engine is None:
            return
        merge = engine(merge)
    expect(folder is not None, strategy, "a merge of checkpoints is checked in a folder; pass one (tmp_path)")
    if folder is not None:
        _check_checkpoints(strategy, merge, folder)


def _check_tensors(strategy: Strategy[Any], merge: TensorMerge) -> None:
    import torch

    needs_base = getattr(merge, "needs_base", None)
    expect(isinstance(needs_base, bool), strategy, "a merge of tensors must say `needs_base`, True or False")
    for shape in ((6, 10), (64,), (1,), (3, 4, 5)):
        generator = torch.Generator().manual_seed(0)
        tensors = [torch.randn(shape, generator=generator) for _ in range(MODELS)]
        base = torch.randn(shape, generator=generator) if needs_base else None
        before = [tensor.clone() for tensor in (*tensors, *([] if base is None else [base]))]

        def merged(seed: int, tensors: list[Tensor] = tensors, base: Tensor | None = base) -> Tensor:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return merge(tensors, (0.5, 0.5), base, 42)

        found = merged(0)
        expect(
            tuple(found.shape) == shape and found.is_floating_point(),
            strategy,
            f"merged tensors of shape {shape} to {found.dtype} of shape {tuple(found.shape)}; expected the same shape",
        )
        expect(bool(torch.isfinite(found).all()), strategy, "merged finite tensors to values that are not finite")
        after = [*tensors, *([] if base is None else [base])]
        expect(all(map(torch.equal, before, after)), strategy, "must not modify the tensors it merges")
        expect(
            torch.equal(found, merged(1)),
            strategy,
            "the same tensors and key must give the same result; draw random numbers from a generator seeded by key",
        )


def _check_checkpoints(strategy: Strategy[Any], merge: CheckpointMerge, folder: Path) -> None:
    import torch

    base, *models = (tiny_causal_lm(folder / f"input-{seed}", seed=seed) for seed in range(MODELS + 1))
    before = [describe_files(path) for path in (base, *models)]
    outputs = []
    threads = torch.get_num_threads()
    try:
        for run in (1, 2):
            out = folder / f"output-{run}"
            out.mkdir()
            torch.set_num_threads(run)
            account = merge.merge(MergeJob(tuple(models), (0.5, 0.5), out, seed=0, base=base))
            outputs.append(_tensors(out))
    finally:
        torch.set_num_threads(threads)
    json.dumps(dict(account))
    expect(
        before == [describe_files(path) for path in (base, *models)], strategy, "must not change the models it merges"
    )
    given, made = _tensors(models[0]), outputs[0]
    for name, values in given.items():
        expect(name in made, strategy, f"tensor '{name}' of the models is missing from the merged checkpoint")
        expect(
            made[name].shape == values.shape and bool(torch.isfinite(made[name]).all()),
            strategy,
            f"tensor '{name}' was merged to shape {tuple(made[name].shape)}, or to values that are not finite",
        )
    expect(
        all(torch.equal(outputs[1][name], values) for name, values in made.items()),
        strategy,
        "the same models and seed must give the same checkpoint, with one thread or two",
    )
    for name in ("config.json", "tokenizer.json"):
        expect((folder / "output-1" / name).is_file(), strategy, f"the merged checkpoint has no {name}")


def _tensors(folder: Path) -> Mapping[str, Tensor]:
    from safetensors.torch import load_file

    return {name: values for path in sorted(folder.glob("*.safetensors")) for name, values in load_file(path).items()}
