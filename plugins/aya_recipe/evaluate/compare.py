"""`aya compare`: two models, of one run or of two, over the prompts that both were measured on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from aya_core.api import (
    ArtifactError,
    Prompt,
    RunRecord,
    TextConsole,
    did_you_mean,
    read_rows,
    say,
    stable_hash,
)
from aya_recipe.evaluate import scores
from aya_recipe.evaluate.comparison import Side, compare, compared_tables
from aya_recipe.evaluate.scores import Scores
from aya_recipe.evaluate.tables import names
from aya_recipe.report import terminal
from aya_recipe.report.markdown import table_lines


@click.command(name="compare")
@click.argument("a", metavar="RUN[:MODEL]")
@click.argument("b", metavar="RUN[:MODEL]")
@click.option("--stage", metavar="NAME", help="Which evaluate stage; all that both have by default.")
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--anyway", is_flag=True, help="Compare what was not measured in the same way; it is named.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print all metrics as JSON, by language, too.")
def command(
    a: str, b: str, stage: str | None, resamples: int, seed: int, anyway: bool, as_markdown: bool, as_json: bool
) -> None:
    """Compare two models: B less A, with intervals of a paired bootstrap, in all and by language.

    RUN is the folder of a run, and MODEL one of its models as tables call it; without MODEL, each model that both runs have is
    compared with itself. Numbers whose signatures differ are refused.
    """
    sides = _Named.read(a), _Named.read(b)
    found = list(_comparisons(sides, stage, resamples, seed))
    if not found:
        raise ArtifactError(f"{a} and {b} have no evaluated model in common; name one of each as RUN:MODEL")
    differs = [
        f"{name}: {label}: {what}"
        for name, comparison, _ in found
        for label, evaluator in comparison["evaluators"].items()
        for what in evaluator["differs"]
    ]
    if differs and not anyway:
        message = "\n".join(dict.fromkeys(differs))
        raise ArtifactError(
            f"A and B were not measured in the same way; --anyway compares them nevertheless.\n{message}"
        )
    if as_json:
        say(json.dumps([{"stage": name, **comparison} for name, comparison, _ in found], ensure_ascii=False))
        return
    console = TextConsole()
    for _, comparison, shown in found:
        for table in compared_tables(comparison, shown):
            if as_markdown:
                say("\n".join(table_lines(table)))
            else:
                terminal.show_table(table, console)


class _Named(NamedTuple):
    """One side: its run, what its evaluate stages scored, and the model that was named."""

    words: str
    stages: Mapping[str, Scores]
    run: RunRecord
    model: str | None

    @classmethod
    def read(cls, words: str) -> _Named:
        """Read `RUN` or `RUN:MODEL`. Raises ArtifactError."""
        folder, _, model = words.partition(":") if not Path(words).is_dir() else (words, "", "")
        run = RunRecord.read(Path(folder))
        if run.damaged:
            raise ArtifactError(run.faults()[0])
        stages = {stage.name: scores.read(stage) for stage in scores.evaluate_stages(run)}
        if not stages:
            raise ArtifactError(f"{folder}: no evaluated model stands here; run an evaluate stage first")
        return cls(words, stages, run, model or None)

    def models(self, stage: str) -> dict[str, str]:
        """The models of a stage by what tables call them."""
        return {shown: model for model, shown in names(self.stages[stage].models).items()}

    def called(self, model: str) -> str:
        """A model with its run."""
        return self.words if self.model is not None else f"{self.words}:{model}"

    def side(self, stage: str, model: str) -> Side:
        """The model in a stage."""
        measured = self.stages[stage]
        facts = {
            label: self._facts(stage, label, model) for label, found in measured.artifacts.items() if model in found
        }
        prompts = self.run.standing.get(self._prompts(stage))
        hashes = {}
        if prompts is not None:
            hashes = {row.id: stable_hash(list(row.messages)) for row in read_rows(prompts.payload, Prompt)}
        return Side(measured, model, facts, hashes)

    def _facts(self, stage: str, label: str, model: str) -> dict[str, str]:
        measured = self.stages[stage]
        artifact, step = measured.artifacts[label][model], self.run.steps[f"{stage}.{label}@{model}"]
        facts = {name: str(value) for name, value in artifact.measures["signature"].items()}
        facts |= {
            f"teacher.{name}": str(value) for name, value in step.settings.get("teacher", {}).items() if name != "model"
        }
        if measured.needs_answers(label):
            sampling = measured.stage.settings["sampling"]
            facts |= {f"sampling.{name}": str(value) for name, value in sampling.items()}
        return facts

    def _prompts(self, stage: str) -> str:
        steps = (step for step in self.stages[stage].stage.steps.values() if step.kind == "scores")
        return next((step.inputs["prompts"] for step in steps if "prompts" in step.inputs), "")


def _comparisons(
    sides: tuple[_Named, _Named], named: str | None, resamples: int, seed: int
) -> Iterator[tuple[str, dict[str, Any], tuple[str, str]]]:
    """Compare each pair of models in each stage; yield its name, the comparison, and what the models are called."""
    one, other = sides
    stages = [name for name in one.stages if name in other.stages and named in (None, name)]
    if not stages:
        message = f"no evaluate stage '{named}' in both" if named else "no evaluate stage of the same name in both"
        raise ArtifactError(
            f"{one.words} has {', '.join(one.stages)}; {other.words} has {', '.join(other.stages)}: {message}"
        )
    for side in sides:
        known = {name for stage in stages for name in side.models(stage)}
        if side.model is not None and side.model not in known:
            raise ArtifactError(
                f"{side.words}: no model '{side.model}' there; {did_you_mean(side.model, sorted(known))}"
            )
    for stage in stages:
        for first, second in _pairs(sides, stage):
            models = one.models(stage)[first], other.models(stage)[second]
            comparison = compare(
                one.side(stage, models[0]), other.side(stage, models[1]), resamples=resamples, seed=seed
            )
            if comparison["evaluators"] or comparison["rivals"]:
                shown = (first, second) if first != second else (one.called(first), other.called(second))
                yield stage, comparison, shown


def _pairs(sides: tuple[_Named, _Named], stage: str) -> Sequence[tuple[str, str]]:
    ours, theirs = (list(side.models(stage)) for side in sides)
    if sides[0].model is None and sides[1].model is None:
        return [(name, name) for name in ours if name in theirs]
    chosen = []
    for side, known in zip(sides, (ours, theirs), strict=True):
        if side.model is None and len(known) > 1:
            raise ArtifactError(f"{side.words}: several models; name one of {', '.join(known)} as {side.words}:MODEL")
        chosen.append(side.model if side.model is not None else known[0])
    return [(chosen[0], chosen[1])] if chosen[0] in ours and chosen[1] in theirs else []
