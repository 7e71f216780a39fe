"""Merge checkpoints with the bundled engine, and load what comes out."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from aya_core.api import MergeInput, MergeJob, MergeParameter
from aya_plugins.merges.runtime.streaming import StreamingMerge


def names_of(models):
    """Name models by their folders; one that is merged with itself gets a number."""
    names = [Path(model).name for model in models]
    return [name if name not in names[:index] else f"{name}#{index}" for index, name in enumerate(names)]


def job(models, out, *, base=None, weights=None, **more) -> MergeJob:
    names = names_of(models)
    by_model = MergeParameter(dict(zip(names, weights, strict=True))) if weights else MergeParameter(1.0)
    base = MergeInput(Path(base).name, Path(base)) if base else None
    out.mkdir(exist_ok=True)
    given = tuple(MergeInput(name, Path(model)) for name, model in zip(names, models, strict=True))
    return MergeJob(given, out, by_model, base=base, **more)


def merge(settings, models, out, *, base=None, **more):
    """Merge with a strategy; the base is left out where it needs none."""
    built = settings.build()
    base = base if built.needs_base else None
    described = {"use": type(settings).__name__, **settings.model_dump(mode="json")}
    (account,) = StreamingMerge().merge([(built, job(models, out, base=base, description=described, **more))])
    return account


def load(folder):
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
