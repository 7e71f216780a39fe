"""`aya merge`: checkpoints of several others, without a recipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from aya_core.api import (
    DataError,
    MergeInput,
    MergeJob,
    RecipeError,
    Registry,
    Resources,
    SettingsError,
    Strategy,
    flush,
    hub_model,
    make_folder,
    make_output_folder,
    model_folder,
    rename,
    say,
    write_file,
    yaml12,
)
from aya_recipe.merge import merging
from aya_recipe.merge.mergekit_config import MergeConfig, ModelSpec, read_merge_config

MARK, MADE, SCRATCH = "aya-merge", "made", "work"
"""What stands in OUT.partial: the file by which we know that it is ours, the checkpoints, and finished shards."""


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
@click.option("--max-shard-gb", default=4.0, show_default=True, help="Largest file of weights, GB (10^9 bytes).")
@click.option(
    "--check",
    "lines",
    type=click.Path(path_type=Path),
    help="JSONL or Parquet file with text and language: load the result, and score lines of it with all models.",
)
@click.option(
    "--check-lines", default=8, show_default=True, type=click.IntRange(1), help="Lines read of each language."
)
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
def command(
    configs: Sequence[Path], out: Path, seed: int, threads: int | None, memory: int, device: str, max_shard_gb: float,
    lines: Path | None, check_lines: int, as_json: bool,
) -> None:  # fmt: skip
    """Merge checkpoints as the mergekit YAML file CONFIG says, into the new folder OUT.

    Several files make OUT/NAME of each NAME.yml, all from one read of the models. Paths in a file are relative to it. OUT
    appears only when it is whole; a merge that was stopped goes on when the same command is given again.
    """
    for config in configs:
        if not config.is_file():
            raise RecipeError(f"{config}: no such file; expected a merge configuration in YAML")
    if lines is not None and not lines.is_file():
        raise DataError(f"--check {lines}: no such file; expected lines of text, JSONL or Parquet")
    if out.exists():
        raise DataError(f"{out}: exists already; choose another folder, or remove it")
    names = [config.stem for config in configs]
    if len(set(names)) < len(names):
        raise RecipeError(
            f"two configurations are named {max(names, key=names.count)}; each makes a folder of its name"
        )
    registry = Registry()
    partial = out.with_name(out.name + ".partial")
    resources = Resources(threads=threads, memory=memory, device=device)
    merges = []
    for config, name in zip(configs, names, strict=True):
        read = read_merge_config(yaml12.read(config), str(config))
        made = partial / MADE / name if len(configs) > 1 else partial / MADE
        job = _job(read, config, made, partial / SCRATCH / name, seed, resources, int(max_shard_gb * 1e9))
        merges.append((_strategy(registry, read, config), job))
    _open(partial)
    accounts = _merge(registry, merges, partial)
    flush(partial / MADE)
    rename(partial / MADE, out)
    _close(partial)
    for name, account, (_, job) in zip(names, accounts, merges, strict=True):
        made = out / name if len(configs) > 1 else out
        _show({**account, **_checked(registry, job, made, lines, check_lines)}, made, as_json)


def _checked(registry: Registry, job: MergeJob, made: Path, lines: Path | None, per_language: int) -> Mapping[str, Any]:
    """Check what was made, and add the table to its model card. The checkpoint stays, whatever is found."""
    if lines is None:
        return {}
    report = merging.check(registry, made, (*job.models, job.base), lines, per_language, job.resources.device)
    card = made / "README.md"
    checked = f"\nChecked on up to {per_language} lines per language:\n\n```\n{report['table']}\n```\n"
    write_file(card, card.read_text(encoding="utf-8") + checked)
    return {"check": report}


def _merge(
    registry: Registry, merges: Sequence[tuple[Strategy[Any], MergeJob]], partial: Path
) -> Sequence[Mapping[str, Any]]:
    shutil.rmtree(partial / MADE, ignore_errors=True)
    for _, job in merges:
        job.out.mkdir(parents=True)
        assert job.scratch is not None
        make_folder(job.scratch)
    try:
        return merging.run_all(registry, merges)
    except BaseException:
        shutil.rmtree(partial / MADE, ignore_errors=True)
        if not any((partial / SCRATCH).rglob("*.safetensors")):
            _close(partial)
        raise


def _open(partial: Path) -> None:
    """Make the folder beside OUT, or take up the one that a stopped merge left. Raises DataError for anybody else's."""
    if partial.exists() and not (partial / MARK).is_file() and not (partial.is_dir() and not any(partial.iterdir())):
        raise DataError(
            f"{partial}: exists, and is not of a merge that was stopped; OUT is made there, so move it, or choose another OUT"
        )
    make_output_folder(partial)
    write_file(partial / MARK, "Made by `aya merge`, which goes on from here when the same command is given again.\n")


def _close(partial: Path) -> None:
    """Remove what `aya merge` made, and nothing else."""
    for part in (MADE, SCRATCH):
        shutil.rmtree(partial / part, ignore_errors=True)
    (partial / MARK).unlink(missing_ok=True)
    if any(partial.iterdir()):
        say(f"{partial}: holds files that the merge did not make; they are left there", err=True)
    else:
        partial.rmdir()


def _strategy(registry: Registry, read: MergeConfig, config: Path) -> Strategy[Any]:
    try:
        return registry.validate("merge", {"use": read.use, **read.settings})
    except SettingsError as error:
        raise RecipeError(f"{config}: {error}") from None


def _job(
    read: MergeConfig, config: Path, out: Path, scratch: Path, seed: int, resources: Resources, shard_bytes: int
) -> MergeJob:
    vocabulary = read.vocabulary
    names = {model.name for model in (*read.models, read.base) if model}
    if vocabulary.source not in ("same", "base", "union", *names):
        vocabulary = vocabulary.model_copy(update={"source": str(_folder(vocabulary.source, config))})
    return MergeJob(
        models=tuple(_input(model, config) for model in read.models),
        out=out,
        weights=read.weights,
        seed=seed,
        base=_input(read.base, config) if read.base else None,
        dtype=read.dtype,
        shard_bytes=shard_bytes,
        scratch=scratch,
        slices=read.slices,
        vocabulary=vocabulary,
        chat_template=read.chat_template,
        resources=resources,
    )


def _input(model: ModelSpec, config: Path) -> MergeInput:
    adapter = _folder(model.adapter, config) if model.adapter else None
    return MergeInput(model.name, _folder(model.path, config), adapter)


def _folder(path: str, config: Path) -> Path:
    """Where a model of a configuration lies: a folder, or those of a hub id's files. Raises RecipeError where there is neither."""
    folder = merging.checkpoint_folder(str(config.parent / Path(path).expanduser()))
    if folder.is_dir():
        return folder
    if path.startswith((".", "~")) or hub_model(path) is None:
        raise RecipeError(
            f"{config}: no folder {folder}; expected a checkpoint there, or a hub id: owner/name or owner/name@revision"
        )
    return model_folder(path)


def _show(account: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"out": str(out), **account}))
        return
    say(f"{out}: " + ", ".join(f"{k} {v}" for k, v in account.items() if isinstance(v, (int, float, str))))
    if "check" in account:
        say(account["check"]["table"])
