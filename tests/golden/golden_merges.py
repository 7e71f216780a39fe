"""Every merge on small tensors, the engine on tiny checkpoints, and what the optimizer of a search asks."""

from functools import partial

import torch
from golden import Maker, bundled
from safetensors.torch import load_file

from aya_core.api import MergeInput, MergeJob, MergeParameter
from aya_core.planning.registry import Registry
from aya_core.testing import merge_whole, tiny_causal_lm

SHAPE = (3, 8)
SETTINGS = {"mergekit": {"method": "nuslerp"}, "nearswap": {"t": 0.5}}
OF_ONE = ("nearswap", "passthrough")
"""Merges of one model, with the base or without."""
WEIGHTS = [0.7, 0.3, 0.5]
UNWEIGHTED = ("karcher", "model-stock", "sce", "slerp", *OF_ONE)
"""Merges that refuse unequal weights."""


def makers(registry: Registry) -> dict[str, Maker]:
    merges = {f"merge {name}": partial(_merged, registry, name) for name in bundled(registry, "merge")}
    return {
        **merges,
        "aya_merge_engine of aya-merges": partial(_merged_checkpoints, registry),
        "aya_optimizer of aya-merges": partial(_asked_points, registry),
    }


def _merged(registry, name, _):
    merge = registry.find("merge", name)(**SETTINGS.get(name, {})).build()
    count = 1 if name in OF_ONE else 2 if name in ("slerp", "mergekit") else 3
    weights = [1.0] * count if name in UNWEIGHTED else WEIGHTS[:count]
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        generator = torch.Generator().manual_seed(0)
        base, *tensors = (torch.randn(SHAPE, generator=generator).to(dtype).float() for _ in range(count + 1))
        merged = merge_whole(merge, tensors, weights, base if merge.needs_base else None)
        results[str(dtype).removeprefix("torch.")] = merged.to(dtype)
    return results


def _merged_checkpoints(registry, folder):
    base, *models = (tiny_causal_lm(folder / f"model-{seed}", seed=seed) for seed in range(3))
    out = folder / "merged"
    out.mkdir()
    inputs = tuple(MergeInput(model.name, model) for model in models)
    job = MergeJob(inputs, out, MergeParameter({"model-1": 0.7, "model-2": 0.3}), seed=1, base=MergeInput("base", base))
    engine = registry.manager.hook.aya_merge_engine()
    engine.merge([(registry.find("merge", "dare-ties")(density=0.5).build(), job)])
    (file,) = out.glob("*.safetensors")
    return {
        name: [str(values.dtype), list(values.shape), values.double().norm().item(), values.flatten()[:4]]
        for name, values in load_file(file).items()
    }


def _asked_points(registry, _):
    optimizer = registry.manager.hook.aya_optimizer()(2, 3, 1)
    generations = {}
    for number in range(3):
        generations[f"generation {number + 1}"] = points = optimizer.ask()
        optimizer.tell(points, [sum((value - 1) ** 2 for value in point) for point in points])
    return generations
