"""The end of every training run: the checkpoint, its card, and the account of rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError

from aya_core.api import UNKNOWN_LANGUAGE, AyaError, DataError, Prompt, Settings, TrainingJob, flush, rename
from aya_plugins.modeling.cards import parents
from aya_plugins.modeling.checkpoint import save_checkpoint, stored_dtype
from aya_plugins.trainers.runtime.loop import Trained
from aya_plugins.trainers.runtime.resume import checkpoint_along
from aya_plugins.trainers.runtime.stored_rows import languages_of


class OfPrompt(Protocol):
    """A row that teaches something about a prompt."""

    @property
    def prompt(self) -> Prompt:
        """What is asked."""


def start_of(job: TrainingJob, name: str) -> Path:
    """Give the checkpoint that a job starts from."""
    if job.start is None:
        raise DataError(f"trainer '{name}' needs a checkpoint to start from; set `start:` of the stage")
    return job.start


def write(
    trained: Trained,
    module: Any,
    tokenizer: Any,
    job: TrainingJob,
    *,
    name: str,
    settings: Settings,
    rows: Sequence[OfPrompt],
    account: Mapping[str, float],
) -> Mapping[str, float]:
    """Write the checkpoint from the main process.

    Returns the final measures: the last report and the account of rows.
    """
    measures = {**trained.measures, "rows": len(rows), **account}
    if trained.is_main:
        card = _card(job, name, settings, rows, account)
        _written(trained, module, tokenizer, job, job.out, name=name, card=card)
        for waiting in job.work.glob("checkpoint-*[0-9]"):
            _link(waiting, job.out / waiting.name)
    return measures


def write_along(
    step: int, trained: Trained, module: Any, tokenizer: Any, job: TrainingJob, *, name: str, settings: Settings,
    rows: Sequence[OfPrompt], account: Mapping[str, float],
) -> None:  # fmt: skip
    """Write a checkpoint along the run from the main process. It waits in `job.work`, which outlives a kill, for the end of the run."""
    if not trained.is_main:
        return
    place = checkpoint_along(job.work, step)
    partial = place.with_name(place.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    card = _card(job, name, settings, rows, {"step": step, **account})
    _written(trained, module, tokenizer, job, partial, name=name, card=card)
    flush(partial)
    rename(partial, place)


def _link(folder: Path, place: Path) -> None:
    """Give the files of a folder second names, so that a run which is killed now still has them, or copy them."""
    place.mkdir()
    for file in sorted(folder.iterdir()):
        try:
            os.link(file, place / file.name)
        except OSError:
            shutil.copyfile(file, place / file.name)


def _card(
    job: TrainingJob, name: str, settings: Settings, rows: Sequence[OfPrompt], account: Mapping[str, float]
) -> str:
    base, languages = parents(start_of(job, name)), languages_of(rows)
    return model_card(name, settings, base=base, languages=languages, account=account, rows=len(rows), seed=job.seed)


def _written(
    trained: Trained, module: Any, tokenizer: Any, job: TrainingJob, out: Path, *, name: str, card: str
) -> None:
    """Write a checkpoint. Raises AyaError where that cannot be."""
    try:
        _save(trained, module, tokenizer, out, card=card, start=start_of(job, name))
    except (OSError, SafetensorError) as error:
        raise AyaError(
            f"trainer '{name}': the checkpoint cannot be written to {out} ({error}); free space there and run again: "
            f"training goes on from the last save in {job.work}"
        ) from error


def _save(trained: Trained, module: Any, tokenizer: Any, out: Path, *, card: str, start: Path) -> None:
    if trained.adapter is not None:
        trained.adapter.write(trained.state, out, start)
        tokenizer.save_pretrained(out)
        (out / "README.md").write_text(card, encoding="utf-8")
        return
    weights = {key.removeprefix("model."): tensor for key, tensor in trained.state.items()}
    save_checkpoint(module.model, weights, tokenizer, out, card=card, dtype=stored_dtype(start), start=start)


def model_card(
    name: str,
    settings: Settings,
    *,
    base: Sequence[str],
    languages: Iterable[str],
    account: Mapping[str, float],
    rows: int,
    seed: int,
) -> str:
    """Write what a reader of the checkpoint wants to know first.

    It holds no path and no date: equal runs write equal cards.
    """
    known = sorted(set(languages) - {UNKNOWN_LANGUAGE})
    lines = [
        "---",
        "library_name: transformers",
        *(["language:", *(f'- "{code}"' for code in known)] if known else []),  # quoted: "no" is no boolean
        *(["base_model:", *(f'- "{parent}"' for parent in base)] if base else []),
        f"tags: [aya-core, {name}]",
        "---",
        "",
        f"# Made by Aya Core: {name}",
        "",
        f"{rows:,} rows, seed {seed}."
        + "".join(f" {key.replace('_', ' ')}: {value:g}." for key, value in account.items()),
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in _flat(settings.model_dump(mode="json"))),
        "",
    ]
    return "\n".join(lines)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give settings of groups as `group.name`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif (
            isinstance(value, str) and Path(value).is_absolute()
        ):  # of a file or a model: where it lies is nobody's business
            yield f"{prefix}{key}", ", ".join(parents(Path(value))) or Path(value).name
        else:
            yield f"{prefix}{key}", value
