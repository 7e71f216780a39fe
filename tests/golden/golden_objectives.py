"""Losses, rewards and gradients of every objective, on the batches that the conformance kit tries them on."""

from dataclasses import fields
from functools import partial

from golden import Maker, bundled

from aya_core.planning.registry import Registry
from aya_core.testing import sample_group_logps, sample_pairs

SETTINGS = {
    "grpo": [{}, {"beta": 0.1}],
    "rloo": [{}, {"beta": 0.1}],
}
"""Settings beside the defaults that change what is computed."""


def makers(registry: Registry) -> dict[str, Maker]:
    return {f"objective {name}": partial(_results, registry, name) for name in bundled(registry, "objective")}


def _results(registry, name, _):
    results = {}
    for settings in SETTINGS.get(name, [{}]):
        strategy = registry.find("objective", name)(**settings)
        batch = sample_pairs() if strategy.over == "pairs" else sample_group_logps()
        found = strategy.build()(batch)
        found.losses.sum().backward()
        case = " ".join(f"{key}={value}" for key, value in settings.items()) or "defaults"
        for field in fields(found):
            if (values := getattr(found, field.name)) is not None:
                results[f"{case}: {field.name}"] = values
        for learned in ("chosen", "rejected", "logps"):
            if (gradient := getattr(getattr(batch, learned, None), "grad", None)) is not None:
                results[f"{case}: gradient in {learned}"] = gradient
    return results
