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
    for node in plan.nodes.values():
        if node.stage == stage and node.action == "train":
            _check_free(_place(node.id, stage, folder))
    tracks = read_trackers(track, loaded.registry)
    runner = Runner(loaded, plan, folder, changed_code=changed_code, track=tracks)
    made, report = run_plan(runner, quiet=quiet)
    accounts = report.sections[stage].data
    links = {node: _link(made[node], _place(node, stage, folder)) for node in accounts}
    if as_json:
        results = {node: {"checkpoint": str(links[node]), **account} for node, account in accounts.items()}
        say(json.dumps(results, ensure_ascii=False))
        return
    console = TextConsole(stderr=True)
    terminal.show(stage, report.sections[stage], TextConsole(), "report")
    _say_where(links, folder, console)


def _place(node: str, stage: str, folder: Path) -> Path:
    """Where the link to the checkpoint of a step lies."""
    return folder / f"checkpoint{node.removeprefix(stage)}"


def _check_free(link: Path) -> None:
    """Raise ArtifactError, before anything is trained, where something else lies in the place of a link."""
    if link.exists() and not link.is_symlink():
        raise ArtifactError(
            f"{link}: is in the way: a link to the checkpoint is to lie there; move it, or choose another --out"
        )


def _link(artifact: Artifact, link: Path) -> Path:
    """Let a link in the run folder lead to a checkpoint."""
    _check_free(link)
    link.unlink(missing_ok=True)
    link.symlink_to(artifact.payload.relative_to(link.parent), target_is_directory=True)
    return link


def _loaded_by(link: Path) -> str:
    """Say with which class transformers loads a checkpoint; nothing where it is no checkpoint of transformers' or peft's."""
    task = "CausalLM"
    if (link / "config.json").is_file():
        names = json.loads((link / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
        if not str(names[0]).endswith(("ForCausalLM", "LMHeadModel", "ForSequenceClassification")):
            return ""
        task = "SequenceClassification" if str(names[0]).endswith("ForSequenceClassification") else task
    elif (link / "adapter_config.json").is_file():
        kind = json.loads((link / "adapter_config.json").read_text(encoding="utf-8")).get("task_type")
        task = "SequenceClassification" if kind == "SEQ_CLS" else task
        labels = f", with num_labels={_labels(link)}" if kind == "SEQ_CLS" else ""
        return f" (an adapter: peft's AutoPeftModelFor{task}.from_pretrained loads it with its base{labels})"
    else:
        return ""
    return f" (AutoModelFor{task}.from_pretrained and others load it)"


def _labels(adapter: Path) -> int:
    """How many labels the head of an adapter has, as the header of its tensors says; peft's configuration does not."""
    with (adapter / "adapter_model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    heads = (entry["shape"] for name, entry in header.items() if "lora_" not in name and name != "__metadata__")
    return min((shape[0] for shape in heads if len(shape) == 2), default=1)


def _say_where(links: Mapping[str, Path], folder: Path, console: Console) -> None:
    for link in links.values():
        console.print(f"checkpoint: {link}{_loaded_by(link)}", soft_wrap=True)
    console.print(f"log of every measure: {folder}/artifacts/STEP/*/log.jsonl", soft_wrap=True)
