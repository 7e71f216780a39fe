"""`aya train`: training alone, of a stage of a recipe or from options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from aya_core.api import (
    Artifact,
    ArtifactError,
    Runner,
    TextConsole,
    make_plan,
    read_trackers,
    run_plan,
    say,
    track_option,
)
from aya_recipe.options.alone import limit_option, limited, load_given, recipe_or_options, run_folder, run_options
from aya_recipe.options.words import choose_stage
from aya_recipe.report import terminal
from aya_recipe.train.options import NAME, stage_from_options, stage_options
from aya_recipe.train.stage import TrainStage


@click.command(name="train")
@recipe_or_options("Which train stage of RECIPE, where it has several.")
@stage_options
@click.option("--objective", metavar="SPEC", help="Loss, for trainers that want one: dpo,beta=0.1.")
@click.option("--reference", metavar="MODEL", help="Reference model of the objective; the start by default.")
@click.option("--validation", metavar="FILE|SPEC", help="Held-out rows to measure on.")
@limit_option("N rows, drawn by a hash of their ids")
@track_option
@run_options(NAME, as_json="the account", shown="what was gained is")
def command(
    recipe: str | None, stage: str | None, start: str | None, data: str | None, trainer: str | None, objective: str | None,
    reference: str | None, validation: str | None, limit: int | None, overrides: tuple[str, ...],
    changed_code: Literal["keep", "redo"] | None, track: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a model: one stage, and what it needs.

    The stage is one of RECIPE, or made of --start, --data and --trainer. A SPEC is a strategy with its settings:
    sft,epochs=2,learning_rate=2e-5 or '{use: dpo, beta: 0.1}'. OUT/checkpoint is then an ordinary Hugging Face checkpoint; where a
    stage trains one model per cluster, OUT/checkpoint@CLUSTER. It is a link into the run: copy it before you change files. A run
    that was stopped goes on where it was.
    """
    options = {"--start": start, "--data": data, "--trainer": trainer, "--objective": objective}
    options |= {"--reference": reference, "--validation": validation}
    loaded = load_given(recipe, options, overrides) or stage_from_options(
        start, data, trainer, overrides, command="train", objective=objective, reference=reference, validation=validation
    )  # fmt: skip
    stage = choose_stage(loaded, stage, TrainStage)
    loaded = limited(loaded, [stage], limit)
    plan = make_plan(loaded).only(stage)
    folder = run_folder(loaded, out)
    tracks = read_trackers(track, loaded.registry)
    runner = Runner(loaded, plan, folder, changed_code=changed_code, track=tracks)
    made, report = run_plan(runner, quiet=quiet)
    accounts = report.sections[stage].data
    links = {node: _link(made[node], folder / f"checkpoint{node.removeprefix(stage)}") for node in accounts}
    if as_json:
        results = {node: {"checkpoint": str(links[node]), **account} for node, account in accounts.items()}
        say(json.dumps(results, ensure_ascii=False))
        return
    console = TextConsole(stderr=True)
    terminal.show(stage, report.sections[stage], TextConsole(), "report")
    _say_where(links, folder, console)


def _link(artifact: Artifact, link: Path) -> Path:
    """Let a link in the run folder lead to a checkpoint."""
    if link.exists() and not link.is_symlink():
        raise ArtifactError(f"{link}: is in the way; expected a link to the checkpoint there. It is {artifact.payload}")
    link.unlink(missing_ok=True)
    link.symlink_to(artifact.payload.relative_to(link.parent), target_is_directory=True)
    return link


def _say_where(links: Mapping[str, Path], folder: Path, console: Console) -> None:
    for link in links.values():
        console.print(f"checkpoint: {link} (AutoModelForCausalLM.from_pretrained and others load it)", soft_wrap=True)
    console.print(f"log of every measure: {folder}/artifacts/STEP/*/log.jsonl", soft_wrap=True)
