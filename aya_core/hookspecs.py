"""What a plugin can offer. Write the hooks you need as functions of a module, mark them with `@hookimpl`, and name
the module in the entry-point group `aya` of your distribution, or in `plugins:` of a recipe.

Nine hooks offer strategies. Each is called once, when plugins load, and returns a mapping from the name a recipe
says after `use:` to a strategy class, which derives from the base of its kind. Names are lower case with hyphens. A name that
another plugin has taken is an error naming both.

Four more offer stages, commands, recipes and suites, by name too. Three give one thing each, of which the last registered
plugin's is taken: the reporter, the engine that lifts merges of tensors to checkpoints, and the optimizer of searches. Six
observe a run; they return nothing, and what they raise ends the run. A tracker, which a recipe has to name, is told of the
same and never harms it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pluggy

from aya_core.contract.commands import Command
from aya_core.contract.kinds import (
    ArbiterStrategy,
    DatasetStrategy,
    EvaluatorStrategy,
    ObjectiveStrategy,
    RouterStrategy,
    TeacherStrategy,
    TrackerStrategy,
    TrainerStrategy,
)
from aya_core.contract.merges import MakeOptimizer, MergeEngine, MergeStrategy
from aya_core.contract.reports import Reporter
from aya_core.contract.stage import Stage

PROJECT = "aya"
"""The name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as a hook, by its name: `@hookimpl` above `def aya_arbiters(): ...`."""


@hookspec
def aya_datasets() -> Mapping[str, type[DatasetStrategy]]:  # type: ignore[empty-body]
    """Offer data sets: they yield prompts, demonstrations or preferences, streaming.

    Used wherever a recipe reads rows (`prompts:`, `data:`).
    """


@hookspec
def aya_teachers() -> Mapping[str, type[TeacherStrategy]]:  # type: ignore[empty-body]
    """Offer teachers: they answer prompts, and may also say how likely they find an answer.

    Used wherever something is answered: by a pool of teachers, or by the model that is trained or measured. A teacher that
    runs a checkpoint has a field `model: ModelRef`.
    """


@hookspec
def aya_routers() -> Mapping[str, type[RouterStrategy]]:  # type: ignore[empty-body]
    """Offer routers: they say which teachers answer which prompt.

    Used before anything is sampled.
    """


@hookspec
def aya_arbiters() -> Mapping[str, type[ArbiterStrategy]]:  # type: ignore[empty-body]
    """Offer arbiters: they judge all the candidates of a prompt at once.

    Used to pick answers and pairs, and as judges by evaluators that compare models.
    """


@hookspec
def aya_objectives() -> Mapping[str, type[ObjectiveStrategy]]:  # type: ignore[empty-body]
    """Offer preference objectives: pure functions from log-probabilities of pairs, or of groups of scored samples, to a loss.

    Used by trainers with `needs_objective`; which of the two a trainer takes is its `objective_over`.
    """


@hookspec
def aya_trainers() -> Mapping[str, type[TrainerStrategy]]:  # type: ignore[empty-body]
    """Offer trainers: they make a checkpoint from a checkpoint and data.

    Used wherever a recipe trains.
    """


@hookspec
def aya_merges() -> Mapping[str, type[MergeStrategy]]:  # type: ignore[empty-body]
    """Offer merges: they make one checkpoint of several, by tensor or as a whole.

    Used wherever a recipe makes one model of several.
    """


@hookspec
def aya_evaluators() -> Mapping[str, type[EvaluatorStrategy]]:  # type: ignore[empty-body]
    """Offer evaluators: they score a model.

    Used to measure models, and to choose between them in searches.
    """


@hookspec
def aya_trackers() -> Mapping[str, type[TrackerStrategy]]:  # type: ignore[empty-body]
    """Offer trackers: they take what a run measures to where you want to look at it.

    Used by every run whose recipe lists them (`trackers:`) or that is started with `--track`; nothing is tracked otherwise.
    """


@hookspec
def aya_stages() -> Mapping[str, type[Stage]]:  # type: ignore[empty-body]
    """Offer stages: what a recipe can say after `do:`.

    A stage brings its settings, how it unrolls into steps, the actions of these, and its section of the report.
    """


@hookspec
def aya_commands() -> Mapping[str, Command]:  # type: ignore[empty-body]
    """Offer commands of `aya`, by the word that is typed. One that the core has too is an error."""


@hookspec
def aya_recipes() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Offer recipes: YAML files that `aya run NAME` finds by name."""


@hookspec
def aya_suites() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Offer suites: recipes whose evaluate stages are applied to any models."""


@hookspec(firstresult=True)
def aya_reporter() -> Reporter | None:
    """Offer what writes and shows reports.

    Asked when a run has ended, for what stands beside `report.json`. The last registered plugin that returns one wins, so that yours
    can replace the bundled one. `aya report` takes the bundled one, as it loads no plugin of others.
    """


@hookspec(firstresult=True)
def aya_merge_engine() -> MergeEngine | None:
    """Offer the engine that lifts merges of one tensor to merges of checkpoints.

    Asked each time merges that work by tensor are run; the last registered plugin that returns an engine wins, so
    that yours can replace the bundled one.
    """


@hookspec(firstresult=True)
def aya_optimizer() -> MakeOptimizer | None:
    """Offer the optimizer by which a search finds the weights of a merge.

    Asked when a recipe with a search is planned, and when it is run; raise PluginError where a library is missing. The last
    registered plugin that returns an optimizer wins, so that yours can replace the bundled one.
    """


@hookspec
def aya_step_started(node: str, action: str, inputs: Mapping[str, Path]) -> None:
    """Observe that a node of the plan starts.

    node: its id, such as `tune@europe`. action: what it does, such as `train`. inputs: folders of the artifacts it
    reads.
    """


@hookspec
def aya_progress(node: str, done: int, total: int, measures: Mapping[str, float]) -> None:
    """Observe progress inside a node, a few times a second at most: what comes more often is left out. total is 0 where it
    is not known. measures: whatever the node reports (loss, ...)."""


@hookspec
def aya_measured(node: str, done: int, total: int, measures: Mapping[str, float]) -> None:
    """Observe a line of a node's `log.jsonl`: every line in order, none left out, at the latest before the node finishes."""


@hookspec
def aya_step_finished(node: str, artifact: Path, seconds: float, reused: bool, measures: Mapping[str, Any]) -> None:
    """Observe that the artifact of a node stands. reused: it stood before this run; seconds is then what it took
    once."""


@hookspec
def aya_step_skipped(node: str, fallback: str, why: str | None) -> None:
    """Observe that a node is not done, as the artifact of another one stands in for it.

    why: what ended the rounds of online training before it; None where the node only gives a passed model its name.
    """


@hookspec
def aya_step_failed(node: str, message: str) -> None:
    """Observe that a node failed. Nothing new is started then, but teachers who have not answered yet are still asked."""
