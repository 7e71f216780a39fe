"""What a plugin can offer. Write the hooks you need as functions of a module, mark them with `@hookimpl`, and name
the module in the entry-point group `aya` of your distribution, or in `plugins:` of a recipe.

Nine hooks offer strategies. Each is called once, when plugins load, and returns a mapping from the name a recipe
says after `use:` to a strategy class. Names are lower case with hyphens. A name that another plugin has taken is an
error naming both.

One hook lifts merges of tensors to checkpoints, and one optimises what a search is over. Six hooks observe a run; they
return nothing, and what they raise ends the run. A tracker, which a recipe has to name, is told of the same and never harms it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pluggy

from aya_core.kinds import (
    AnyObjective,
    Arbiter,
    Dataset,
    Evaluator,
    Router,
    Teacher,
    Tracker,
    Trainer,
)
from aya_core.merges import AnyMerge, MergeEngine
from aya_core.optimisers import MakeOptimiser
from aya_core.strategies import Strategy

PROJECT = "aya"
"""The name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def aya_datasets() -> Mapping[str, type[Strategy[Dataset]]]:  # type: ignore[empty-body]
    """Offer data sets: they yield prompts, demonstrations or preferences, streaming.

    Used by every stage that reads rows (`prompts:`, `data:`). Bundled: jsonl, parquet, csv, text, hub, micro-world.
    """


@hookspec
def aya_teachers() -> Mapping[str, type[Strategy[Teacher]]]:  # type: ignore[empty-body]
    """Offer teachers: they answer prompts, and may also say how likely they find an answer.

    Used by `arbitrage` for the pool, by `online` and `evaluate` for the model itself. A teacher that runs a
    checkpoint has a field `model: ModelRef`. Bundled: transformers, vllm, openai, recorded.
    """


@hookspec
def aya_routers() -> Mapping[str, type[Strategy[Router]]]:  # type: ignore[empty-body]
    """Offer routers: they say which teachers answer which prompt.

    Used by `arbitrage`, before anything is sampled. Bundled: all, single, random, fixed, learned.
    """


@hookspec
def aya_arbiters() -> Mapping[str, type[Strategy[Arbiter]]]:  # type: ignore[empty-body]
    """Offer arbiters: they judge all the candidates of a prompt at once.

    Used by `arbitrage` and `online` to pick answers and pairs, and by the `win-rate` evaluator as judge. Bundled:
    reward-model, judge, likelihood, verifier, consensus, language, length, ensemble.
    """


@hookspec
def aya_objectives() -> Mapping[str, type[Strategy[AnyObjective]]]:  # type: ignore[empty-body]
    """Offer preference objectives: pure functions from log-probabilities of pairs, or of groups of scored samples, to a loss.

    Used by trainers with `needs_objective`; which of the two a trainer takes is its `objective_over`. Bundled: dpo, ipo, hinge,
    robust, simpo, orpo, cpo, kto, exo, apo-zero, apo-down, sppo, dpo-norm, rloo, grpo.
    """


@hookspec
def aya_trainers() -> Mapping[str, type[Strategy[Trainer]]]:  # type: ignore[empty-body]
    """Offer trainers: they make a checkpoint from a checkpoint and data.

    Used by `train` and `online`. Bundled: initialise, sft, preference, policy-gradient, reward, router.
    """


@hookspec
def aya_merges() -> Mapping[str, type[Strategy[AnyMerge]]]:  # type: ignore[empty-body]
    """Offer merges: they make one checkpoint of several, by tensor or as a whole.

    Used by `merge`, `search` and `online`, and by the command `aya merge`. Bundled: weighted, slerp, ties, dare-ties,
    multislerp, karcher, task-arithmetic, dare-linear, della, breadcrumbs, model-stock, nearswap, sce, passthrough, mergekit.
    """


@hookspec
def aya_evaluators() -> Mapping[str, type[Strategy[Evaluator]]]:  # type: ignore[empty-body]
    """Offer evaluators: they score a model.

    Used by `evaluate`, and by `search` to choose. Bundled: verifier, win-rate, perplexity, chrf, preference-accuracy,
    xcopa, xstorycloze, xwinograd, global-mmlu, mgsm, include, flores, language-fidelity, reward.
    """


@hookspec
def aya_trackers() -> Mapping[str, type[Strategy[Tracker]]]:  # type: ignore[empty-body]
    """Offer trackers: they take what a run measures to where you want to look at it.

    Used by every run whose recipe lists them (`trackers:`) or that is started with `--track`; nothing is tracked otherwise.
    Bundled: tensorboard, wandb, trackio.
    """


@hookspec(firstresult=True)
def aya_merge_engine() -> MergeEngine | None:
    """Offer the engine that lifts merges of one tensor to merges of checkpoints.

    Asked each time merges that work by tensor are run; the last registered plugin that returns an engine wins, so
    that yours can replace the bundled one, which streams safetensors.
    """


@hookspec(firstresult=True)
def aya_optimiser() -> MakeOptimiser | None:
    """Offer the optimiser by which `search` finds the weights of a merge.

    Asked when a recipe with a search is planned, and when it is run; raise PluginError where a library is missing. The last
    registered plugin that returns an optimiser wins, so that yours can replace the bundled one, which is CMA-ES.
    """


@hookspec
def aya_stage_started(node: str, action: str, inputs: Mapping[str, Path]) -> None:
    """Observe that a node of the plan starts.

    node: its id, such as `sft@europe`. action: what it does, such as `train`. inputs: folders of the artifacts it
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
def aya_stage_finished(node: str, artifact: Path, seconds: float, reused: bool, measures: Mapping[str, Any]) -> None:
    """Observe that the artifact of a node stands. reused: it stood before this run; seconds is then what it took
    once."""


@hookspec
def aya_stage_skipped(node: str, instead: str, why: str | None) -> None:
    """Observe that a node is not done, as the artifact of another one stands in for it.

    why: what ended the rounds of online training before it; None where the node only gives a passed model its name.
    """


@hookspec
def aya_stage_failed(node: str, message: str) -> None:
    """Observe that a node failed. Nothing new is started then, but teachers who have not answered yet are still asked."""
