"""The end of every training run: the checkpoint, its card, and the account of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError

from aya_core.api import UNKNOWN_LANGUAGE, AyaError, DataError, Prompt, Settings, TrainingJob
from aya_plugins.modeling.checkpoint import load_config, parents, save_checkpoint
from aya_plugins.trainers.runtime.loop import Trained


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


def stored_dtype(start: Path) -> torch.dtype:
    """Say in which dtype a checkpoint is stored; the trained one is stored in the same."""
    dtype = load_config(start).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


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
    start = start_of(job, name)
    if trained.is_main:
        languages = {row.prompt.language for row in rows}
        card = model_card(
            name,
            settings,
            base=parents(start),
            languages=languages,
            account=account,
            rows=len(rows),
            seed=job.seed,
        )
        try:
            _save(trained, module, tokenizer, job.out, card=card, start=start)
        except (OSError, SafetensorError) as error:
            raise AyaError(
                f"trainer '{name}': the checkpoint cannot be written to {job.out} ({error}); free space there and run again: "
                f"training goes on from the last save in {job.work}"
            ) from error
    return measures


def _save(trained: Trained, module: Any, tokenizer: Any, out: Path, *, card: str, start: Path) -> None:
    if trained.adapter is not None:
        trained.adapter.write(trained.state, out, start)
        tokenizer.save_pretrained(out)
        (out / "README.md").write_text(card, encoding="utf-8")
        return
    weights = {key.removeprefix("model."): tensor for key, tensor in trained.state.items()}
    save_checkpoint(module.model, weights, tokenizer, out, card=card, dtype=stored_dtype(start))


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
