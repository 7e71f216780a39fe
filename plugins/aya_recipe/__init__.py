"""The Aya Expanse recipe as a plugin: its stages, commands, recipes, suites and reports.

A folder for each stage holds everything of it: `stage.py` says what it can set and how it unrolls, the modules beside it are its
actions, its account, its command. They arrive through the entry-point group `aya`, as a stranger's do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aya_core.api import Command, Reporter, Stage, hookimpl
from aya_recipe.arbitrage.stage import ArbitrageStage
from aya_recipe.data.stage import DataStage
from aya_recipe.evaluate.stage import EvaluateStage
from aya_recipe.merge.stage import MergeStage
from aya_recipe.online.stage import OnlineStage
from aya_recipe.search.stage import SearchStage
from aya_recipe.train.stage import TrainStage

HERE = Path(__file__).parent


@hookimpl
def aya_stages() -> Mapping[str, type[Stage]]:
    """What the recipe does."""
    return {
        "data": DataStage,
        "arbitrage": ArbitrageStage,
        "train": TrainStage,
        "merge": MergeStage,
        "search": SearchStage,
        "online": OnlineStage,
        "evaluate": EvaluateStage,
    }


@hookimpl
def aya_commands() -> Mapping[str, Command]:
    """A stage alone, and what shows and writes its results."""
    return {
        "arbitrate": Command("Ask teachers, judge and pick: the arbitrage stage alone.", "aya_recipe.arbitrage.command:command"),
        "train": Command("Train a model: a train stage alone.", "aya_recipe.train.command:command"),
        "show-tokens": Command(
            "Show rows as the tokens that a trainer sees, and which of them are learned.", "aya_recipe.train.show_tokens:command"
        ),
        "evaluate": Command("Evaluate models, without a recipe or as one says, and write tables.", "aya_recipe.evaluate.command:command"),
        "compare": Command("Compare two evaluated models, prompt by prompt.", "aya_recipe.evaluate.compare:command"),
        "winrate": Command("Show win rates from a file of verdicts or preferences.", "aya_recipe.evaluate.winrate:command"),
        "export": Command("Write rows of a run, or the samples of an evaluation.", "aya_recipe.export.command:command"),
        "merge": Command("Merge checkpoints as a mergekit-style YAML file says.", "aya_recipe.merge.command:command"),
    }  # fmt: skip


@hookimpl
def aya_recipes() -> Mapping[str, Path]:
    """The bundled recipes."""
    return {path.stem: path for path in sorted((HERE / "recipes").glob("*.yaml"))}


@hookimpl
def aya_suites() -> Mapping[str, Path]:
    """The bundled suites."""
    return {path.stem: path for path in sorted((HERE / "suites").glob("*.yaml"))}


@hookimpl
def aya_reporter() -> Reporter:
    """Reports that say what each stage gained, in each language."""
    from aya_recipe.report.reporter import RecipeReporter

    return RecipeReporter()
