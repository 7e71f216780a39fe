"""`aya merge`: checkpoints of several others, without a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from aya_core.api import (
    DataError,
    MergeJob,
    RecipeError,
    Registry,
    Resources,
    SettingsError,
    Strategy,
    make_folder,
    say,
    write_file,
    yaml12,
)
from aya_recipe.merge import extracting, merging
from aya_recipe.merge.finding import find_folder, find_model
from aya_recipe.merge.mergekit_config import MergeConfig, read_merge_config
from aya_recipe.merge.place import OutputPlace, told


class FiniteRange(click.FloatRange):
    """A number within bounds, which NaN and infinity are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


CONFIG = "mergekit_config.yml"
"""The configuration beside the checkpoint that was made by it, by mergekit's name for it."""


@click.command(name="merge")
@click.argument("configs", type=click.Path(path_type=Path), metavar="CONFIG...", nargs=-1, required=True)
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--seed", default=0, show_default=True, help="Seed of merges that draw at random.")
@click.option(
    "--threads", type=click.IntRange(1), help="Tensors worked on at once, each in a process. [default: torch's threads]"
)
@click.option(
    "--memory",
    default=1024,
    show_default=True,
    type=click.IntRange(16),
    help="Most memory of what is worked on at once, MiB.",
)
@click.option("--device", default="cpu", show_default=True, help="Where the arithmetic is done: cpu, cuda, cuda:1.")
@click.option(
    "--max-shard-gb",
    default=4.0,
    show_default=True,
    type=FiniteRange(min=0, min_open=True),
    help="Largest file of weights, GB (10^9 bytes).",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="KEY",
    help="A setting of config.json in which models may differ, such as sliding_window; the merge has the base's, or the first "
    "model's. Repeatable.",
)
@click.option(
    "--check",
    "lines",
    type=click.Path(path_type=Path),
    help="JSONL or Parquet file with text and language: load the result, and score lines of it with all models.",
)
@click.option(
    "--check-lines", default=8, show_default=True, type=click.IntRange(1), help="Lines read of each language."
)
@click.option(
    "--extract-lora",
    is_flag=True,
    help="Instead of merging, make a LoRA adapter of the difference between two models: aya merge --extract-lora MODEL BASE OUT.",
)
@click.option(
    "--rank", default=16, show_default=True, type=click.IntRange(1), help="With --extract-lora: most rank of a tensor."
)
@click.option(
    "--threshold",
    default=0.0,
    show_default=True,
    type=FiniteRange(min=0, max=1, max_open=True),
    help="With --extract-lora: leave out singular values below this share of the largest of their tensor.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
def command(
    configs: Sequence[Path], out: Path, seed: int, threads: int | None, memory: int, device: str, max_shard_gb: float,
    allow: tuple[str, ...], lines: Path | None, check_lines: int, extract_lora: bool, rank: int, threshold: float, as_json: bool,
) -> None:  # fmt: skip
    """Merge checkpoints as the mergekit YAML file CONFIG says, into the new folder OUT.

    Several files make OUT/NAME of each NAME.yml, all from one read of the models. Paths in a file are relative to it. OUT
    appears only when it is whole; a merge that was stopped goes on when the same command is given again.
    """
    with told(out):
        if extract_lora:
            account = extracting.extract(configs, OutputPlace(out), rank, threshold, device)
            _show(account, out, as_json)
            return
        _run(
            configs,
            out,
            seed,
            Resources(threads=threads, memory=memory, device=device),
            max_shard_gb,
            allow,
            lines,
            check_lines,
            as_json,
        )


def _run(
    configs: Sequence[Path], out: Path, seed: int, resources: Resources, max_shard_gb: float,
    allow: tuple[str, ...], lines: Path | None, check_lines: int, as_json: bool,
) -> None:  # fmt: skip
    for config in configs:
        if not config.is_file():
            raise RecipeError(f"{config}: no such file; expected a merge configuration in YAML")
    if lines is not None and not lines.is_file():
        raise DataError(f"--check {lines}: no such file; expected lines of text, JSONL or Parquet")
    place = OutputPlace(out)
    names = [config.stem for config in configs]
    if len(set(names)) < len(names):
        raise RecipeError(
            f"two configurations are named {max(names, key=names.count)}; each makes a folder of its name"
        )
    registry = Registry()
    merges, notes = [], []
    for config, name in zip(configs, names, strict=True):
        read = read_merge_config(yaml12.read(config), str(config))
        made = place.made / name if len(configs) > 1 else place.made
        job = _job(read, config, made, place.scratch(name), seed, resources, int(max_shard_gb * 1e9), allow)
        merges.append((_strategy(registry, read, config), job))
        notes.append(read.notes)
    with place.opened():
        for _, job in merges:
            assert job.scratch is not None
            make_folder(job.out)
            make_folder(job.scratch)
        accounts = merging.run_all(registry, merges)
        for config, (_, job) in zip(configs, merges, strict=True):
            write_file(job.out / CONFIG, config.read_text(encoding="utf-8"))
        place.finish()
    for name, account, said, (_, job) in zip(names, accounts, notes, merges, strict=True):
        made = out / name if len(configs) > 1 else out
        told_of = {"notes": [*said, *account.get("notes", ())]}
        _show({**account, **told_of, **_checked(registry, job, made, lines, check_lines)}, made, as_json)


def _checked(registry: Registry, job: MergeJob, made: Path, lines: Path | None, per_language: int) -> Mapping[str, Any]:
    """Check what was made, and add the table to its model card. The checkpoint stays, whatever is found."""
    if lines is None:
        return {}
    report = merging.check(registry, made, (*job.models, job.base), lines, per_language, job.resources.device)
    card = made / "README.md"
    checked = f"\nChecked on up to {per_language} lines per language:\n\n```\n{report['table']}\n```\n"
    write_file(card, card.read_text(encoding="utf-8") + checked)
    return {"check": report}


def _strategy(registry: Registry, read: MergeConfig, config: Path) -> Strategy[Any]:
    try:
        return registry.validate("merge", {"use": read.use, **read.settings})
    except SettingsError as error:
        raise RecipeError(f"{config}: {error}") from None


def _job(
    read: MergeConfig, config: Path, out: Path, scratch: Path, seed: int, resources: Resources, shard_bytes: int,
    allow: tuple[str, ...],
) -> MergeJob:  # fmt: skip
    vocabulary = read.vocabulary
    names = {model.name for model in (*read.models, read.base) if model}
    if vocabulary.source not in ("same", "base", "union", *names):
        vocabulary = vocabulary.model_copy(update={"source": str(find_folder(vocabulary.source, config))})
    return MergeJob(
        models=tuple(find_model(model, config) for model in read.models),
        out=out,
        weights=read.weights,
        seed=seed,
        base=find_model(read.base, config) if read.base else None,
        dtype=read.dtype,
        shard_bytes=shard_bytes,
        scratch=scratch,
        slices=read.slices,
        vocabulary=vocabulary,
        chat_template=read.chat_template,
        allow=allow,
        resources=resources,
    )


def _show(account: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"out": str(out), **account}))
        return
    say(f"{out}: " + ", ".join(f"{k} {v}" for k, v in account.items() if isinstance(v, (int, float, str))))
    for note in account.get("notes", ()):
        say(note)
    if "check" in account:
        say(account["check"]["table"])
