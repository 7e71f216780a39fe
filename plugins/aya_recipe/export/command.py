"""`aya export`: rows of a run, or the samples of an evaluation, as JSONL or Parquet."""

from __future__ import annotations

from pathlib import Path

import click

from aya_core.api import ArtifactError, DataError, RunRecord, did_you_mean
from aya_recipe.data.writing import RECORDS, write_artifact, write_records
from aya_recipe.evaluate.samples import JSON_COLUMNS, Sample, samples, stages_with_samples

SAMPLES = "samples"
"""What the samples of an evaluate stage are called."""


@click.command(name="export")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("name", metavar="NAME")
@click.argument("out", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
def command(folder: Path, name: str, out: Path | None) -> None:
    """Write the rows NAME of the run in DIR, such as arbitrage.pairs, to FILE: Parquet if it ends in .parquet, else JSONL; without FILE
    as JSONL to stdout.

    STAGE.samples are the samples of an evaluate stage: prompt, answer or options, gold and scores of each in a row; STAGE.samples.NAME
    those of one evaluator.
    """
    record = RunRecord.read(folder)
    rows = {id: step.kind for id, step in record.steps.items() if step.kind in RECORDS}
    sampled = {f"{stage}.{SAMPLES}": stage for stage in stages_with_samples(record)}
    for prefix, stage in sampled.items():
        if name == prefix or name.startswith(f"{prefix}."):
            found = samples(record.stage(stage), name.removeprefix(prefix)[1:] or None)
            write_records(found, Sample, out, JSON_COLUMNS)
            return
    if name not in rows:
        raise DataError(f"no rows named '{name}' in {folder}; {did_you_mean(name, [*rows, *sampled])}")
    if name in record.damaged:
        raise ArtifactError(record.damaged[name])
    if name not in record.standing:
        raise DataError(f"'{name}' is not made yet in {folder}; `aya run` or `aya arbitrate` makes it")
    write_artifact(record.standing[name], out)
