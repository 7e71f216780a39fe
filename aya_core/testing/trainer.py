"""What a trainer must do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from aya_core.contract.artifacts import describe_files, write_rows
from aya_core.contract.kinds import (
    AnyObjective,
    InspectableTrainer,
    TokenInfo,
    TokenizedRow,
    TrainerStrategy,
    TrainingJob,
)
from aya_core.contract.records import Demonstration, Judged, Preference
from aya_core.testing.samples import (
    sample_demonstrations,
    sample_groups,
    sample_judged,
    sample_preferences,
    sample_prompts,
)
from aya_core.testing.strategy import Rules, check_strategy
from aya_core.testing.tiny import tiny_causal_lm

SAMPLES: Mapping[str, Callable[[], Sequence[Any]]] = {
    "demonstrations": sample_demonstrations,
    "preferences": sample_preferences,
    "groups": sample_groups,
    "judged": sample_judged,
    "prompts": sample_prompts,
    "any": sample_demonstrations,
}
"""What to train on, by what a trainer reads."""


def check_trainer(
    strategy: TrainerStrategy,
    folder: Path,
    *,
    rows: Sequence[Demonstration] | Sequence[Preference] | Sequence[Judged] | None = None,
    objective: AnyObjective | None = None,
    model_type: str | None = "cohere",
) -> None:
    """Check a trainer on a tiny model. Raises AssertionError that says which rule is broken. Needs torch, transformers.

    Give it settings that end after a few steps. folder: an empty one to work in. rows: what to train on; by default
    samples of what the trainer reads. objective: for a trainer with `needs_objective`. model_type: the family of
    the tiny model to start from; None for a trainer that starts from nothing.
    """
    check_strategy(strategy, "trainer")
    expect = Rules(strategy)
    expect(objective is not None or not strategy.needs_objective, "it needs an objective; pass one (a built objective)")
    start = None if model_type is None else tiny_causal_lm(folder / "start", model_type)
    if rows is None:
        rows = SAMPLES[strategy.reads]()
    (folder / "rows").mkdir()
    write_rows(folder / "rows", type(rows[0]), rows)
    check_tokenized_rows(strategy, folder, start, rows)
    inputs = [path for path in (start, folder / "rows") if path is not None]
    before = [describe_files(path) for path in inputs]
    first = _train(strategy, folder, 1, start, objective if strategy.needs_objective else None)
    expect(
        [describe_files(path) for path in inputs] == before, "train() must leave rows and start checkpoint as they are"
    )
    second = _train(strategy, folder, 2, start, objective if strategy.needs_objective else None)
    expect(first == second, "the same job must give the same weights; take random numbers from job.seed alone")


def check_tokenized_rows(strategy: TrainerStrategy, folder: Path, start: Path | None, rows: Sequence[Any]) -> None:
    """Check what a trainer shows of rows, which lie in `folder/rows`: each as tokens, in their order.

    A trainer that shows none passes, and so do rows of which no prompt is known.
    """
    trainer, expect = strategy.build(), Rules(strategy)
    if not isinstance(trainer, InspectableTrainer) or not hasattr(rows[0], "prompt"):
        return
    shown = list(trainer.show(TrainingJob(folder / "rows", folder, folder, seed=0, start=start)))
    for row in shown:
        expect(isinstance(row, TokenizedRow), f"show() yielded {type(row).__name__}; expected TokenizedRow")
        strange = [token for token in row.tokens if not isinstance(token, TokenInfo)]
        expect(not strange, "the tokens of a TokenizedRow must be of TokenInfo")
        expect(bool(row.tokens) or bool(row.note), "a row without tokens must have a note that says why")
    expected = [(row.prompt.id, row.prompt.language) for row in rows]
    expected = [key for key, _ in groupby(expected)]  # the answers of a group follow one another
    found = [key for key, _ in groupby((row.prompt_id, row.language) for row in shown)]
    expect(found == expected, f"show() must yield every row in its order; expected {expected}, got {found}")


def _train(
    strategy: TrainerStrategy, folder: Path, run: int, start: Path | None, objective: AnyObjective | None
) -> Mapping[str, Any]:
    """Train once, check what came of it, and return a description of the weights."""
    expect, out, work = Rules(strategy), folder / f"out-{run}", folder / f"work-{run}"
    out.mkdir()
    work.mkdir()
    reports: list[tuple[int, int]] = []
    job = TrainingJob(
        rows=folder / "rows",
        out=out,
        work=work,
        seed=0,
        start=start,
        objective=objective,
        reference=start if objective else None,
        report=lambda done, total, measures: reports.append((done, total)),
    )
    measures = strategy.build().train(job)
    for name, value in measures.items():
        expect(
            isinstance(value, (int, float)) and math.isfinite(value),
            f"the final measure '{name}' is {value!r}; expected a finite number",
        )
    for done, total in reports:
        expect(0 <= done <= total or total == 0, f"reported step {done} of {total}")
    for pattern in ("config.json", "*.safetensors", "tokenizer_config.json"):
        expect(any(out.glob(pattern)), f"job.out has no {pattern}; expected a Hugging Face checkpoint")
    files = describe_files(out)
    return {name: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors")}
