"""What this machine has, and whether the strategies of a plan can work on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from aya_core.contract.errors import AyaError
from aya_core.contract.strategies import ModelRef, Strategy, find, strategies_with_paths
from aya_core.contract.surroundings import Surroundings
from aya_core.planning.hub import cached_commit, hub_model
from aya_core.planning.plan import Node, Plan
from aya_core.planning.recipe import LoadedRecipe

SECONDS = 10.0
"""How long the driver may take to list the GPUs."""


def check_machine(
    plan: Plan, loaded: LoadedRecipe, nodes: Collection[str] | None = None, *, elsewhere: bool = False
) -> None:
    """Refuse a plan with a strategy or a stage that says it cannot work here. Imports nothing heavy.

    nodes: the steps that are to be done; None means all. elsewhere: it will run on another machine, so what this one has is no
    obstacle. Raises AyaError that lists every obstacle.
    """
    gpus = None if elsewhere else visible_gpus()
    wanted = plan.nodes if nodes is None else nodes
    found = list(dict.fromkeys(_obstacles(plan, loaded, wanted, gpus)))
    if found:
        lines = [f"{loaded.source}: {where}: {what}" for where, what in found]
        if gpus is not None and len(set(_obstacles(plan, loaded, wanted, None))) < len(found):
            lines.append(
                "For another machine, `aya check --elsewhere` checks it without looking at the GPUs of this one."
            )
        raise AyaError("\n".join(lines))


def visible_gpus() -> tuple[int, ...] | None:
    """Give the memory in bytes of each visible GPU, 0 where it is not known; None where nobody can tell how many there are."""
    every = _gpus()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or every is None:
        return every if chosen is None or chosen.strip() not in ("", "-1") else ()
    wanted = [word for word in chosen.split(",") if word.strip() not in ("", "-1")]
    return every[: len(wanted)]


@cache
def _gpus() -> tuple[int, ...] | None:
    """Ask the driver of NVIDIA's GPUs; where it has no program, look for devices."""
    if shutil.which("nvidia-smi"):
        words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True)
            return tuple(
                int(line) * 2**20 if line.strip().isdigit() else 0 for line in done.stdout.split("\n") if line.strip()
            )
        except (OSError, subprocess.SubprocessError):
            return None
    if not sys.platform.startswith("linux") or any(
        Path(path).exists() for path in ("/dev/kfd", "/dev/dxg", "/dev/dri")
    ):
        return None
    return tuple(0 for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit())


def _obstacles(
    plan: Plan, loaded: LoadedRecipe, nodes: Collection[str], gpus: tuple[int, ...] | None
) -> Iterator[tuple[str, str]]:
    jobs = loaded.recipe.machine.jobs
    working = {plan.nodes[id].stage for id in nodes if id in plan.nodes}
    for stage in loaded.recipe.stages:
        if stage.name in working:
            yield from ((f"stages.{stage.name}", what) for what in stage.obstacles(Surroundings(gpus, jobs)))
    for node, where, role, strategy in plan.uses:
        if node in nodes and node in plan.nodes:
            for path, inner in strategies_with_paths(strategy):
                here = Surroundings(gpus, jobs, _models(plan.nodes[node], (role, *map(str, path)), inner))
                for what in inner.obstacles(here):
                    yield ".".join((where, *map(str, path))), what


def _models(node: Node, at: tuple[str, ...], strategy: Strategy[object]) -> dict[str, Path]:
    """Find the folders of the models that a strategy names, by what it says; the inputs of its node have them by their place."""
    found = {}
    for path, reference in find(strategy, ModelRef):
        place = node.external.get(".".join((*at, *map(str, path))))
        if place is not None and (folder := _folder(place)) is not None:
            found[str(reference)] = folder
    return found


def _folder(place: str) -> Path | None:
    folder = Path(place)
    if folder.is_dir():
        return folder
    model = hub_model(place)
    commit = cached_commit(model) if model is not None else None
    return model.snapshot(commit) if model is not None and commit is not None else None
