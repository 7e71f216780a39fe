"""Evaluation: every model answers the same prompts once, and every evaluator scores the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aya_core.api import (
    Completion,
    CorpusScore,
    DataError,
    EvaluatedModel,
    Evaluator,
    EvaluatorStrategy,
    LikelihoodTeacher,
    LogLikelihood,
    PluginError,
    Prompt,
    Replies,
    RowScore,
    Teacher,
    Work,
    check_metric,
    main_metric,
    metric_named,
    read_rows,
    write_rows,
)
from aya_recipe.arbitrage import limiting, sampling
from aya_recipe.evaluate import replying
from aya_recipe.evaluate.verdict_cache import VerdictCache

GREEDY = "greedy "
"""Before the name of a metric that was measured on greedy answers."""

SCORES, COMPLETIONS = "replies.scores", "replies.completions"
"""The inputs of a node that hold a model's replies to its evaluator."""

LIMIT = "limit"
"""The setting that takes a part of the rows, and what signatures call it."""

PROMPTS = "stage.prompts"
"""What the stage's prompts are called among what models are evaluated on; no evaluator can have this name."""

CORPUS = "corpus"
"""The folder of an evaluated model's scores that are no means over rows."""


def evaluate(work: Work) -> Mapping[str, Any]:
    """Score one model with one evaluator, on sampled answers and on greedy ones."""
    strategy: EvaluatorStrategy = work.strategy("evaluator")
    evaluator = strategy.build()
    cache = VerdictCache(work, strategy)
    rows: list[RowScore] = []
    corpus: list[CorpusScore] = []
    unanswered = 0
    for greedy in (False, True) if work.setting("greedy") else (False,):
        evaluated = EvaluatedModel(
            work.setting("name"), list(_prompts(work)), _answers(work, "answers", greedy), _answers(work, "rival", greedy),
            likelihoods(lambda: work.strategy("teacher").build()), _replies(work), cache.arbiter, work.store,
        )  # fmt: skip
        unanswered += len(
            {prompt.id for prompt in evaluated.prompts} - {answer.prompt_id for answer in evaluated.answers}
        )
        for row in score(strategy, evaluator, evaluated):
            if greedy:
                row = replace(row, metric=GREEDY + row.metric)
            if isinstance(row, CorpusScore):
                corpus.append(row)
            else:
                rows.append(row)
    if not rows and not corpus:
        raise DataError("the evaluator scored nothing; check that its rows are in the recipe's languages")
    write_rows(work.out, RowScore, rows)
    (work.out / CORPUS).mkdir(exist_ok=True)
    write_rows(work.out / CORPUS, CorpusScore, corpus)
    yielded = sorted({name.removeprefix(GREEDY) for name in _metrics(rows) | _metrics(corpus)})
    declared = {name: metric_named(strategy.metrics, name) for name in yielded}
    return {
        "headline": headline_of(strategy, yielded),
        "metrics": {name: metric.as_row() for name, metric in declared.items() if metric is not None},
        "rows": len(rows),
        "unanswered": unanswered,
        **cache.measures,
        "signature": signature_of(work, evaluator),
    }


def score(
    strategy: EvaluatorStrategy, evaluator: Evaluator, evaluated: EvaluatedModel
) -> Iterator[RowScore | CorpusScore]:
    """Score a model, and check what the evaluator says against what its strategy declares. Raises PluginError."""
    who = f"the evaluator {type(strategy).__name__}"
    for row in evaluator.evaluate(evaluated):
        if not isinstance(row, (RowScore, CorpusScore)) or not math.isfinite(row.value):
            raise PluginError(
                f"the evaluator gave {row!r} for '{evaluated.name}'; expected RowScore or CorpusScore with a finite value"
            )
        check_metric(strategy.metrics, row.metric, row.value, who)
        yield row


def headline_of(strategy: EvaluatorStrategy, yielded: Collection[str]) -> str:
    """The evaluator's main metric: the first that it declares. Raises PluginError where it yielded others alone."""
    headline = main_metric(strategy.metrics, f"the evaluator {type(strategy).__name__}")
    if headline not in yielded:
        raise PluginError(
            f"the evaluator's main metric is '{headline}', it yielded {', '.join(sorted(yielded))}: could nothing be scored by it, as "
            "where a judge failed or abstained everywhere? Otherwise its author must put one of these first in `metrics`"
        )
    return headline


def signature_of(work: Work, evaluator: Evaluator) -> dict[str, str]:
    """What the evaluator says moved its numbers, with steps of the run named instead of where their folders are.

    Only what the evaluator itself reads is named so. The model is none of that: as the rival of others it has one name for all.
    """
    signature = dict(evaluator.signature())
    if (limit := work.node.settings.get(LIMIT)) is not None:
        signature[LIMIT] = limiting.sentence(limit)
    for role, path in work.inputs.items():
        if not role.startswith("evaluator."):
            continue
        name = work.node.inputs.get(role, path.name)
        signature = {key: str(value).replace(str(path), name) for key, value in signature.items()}
    return signature


def _metrics(rows: Sequence[RowScore] | Sequence[CorpusScore]) -> set[str]:
    return {row.metric for row in rows}


def read_corpus(payload: Path) -> Iterator[CorpusScore]:
    """Stream the scores of whole corpora of an evaluated model."""
    return read_rows(payload / CORPUS, CorpusScore)


def _replies(work: Work) -> Replies:
    if SCORES not in work.inputs:
        return Replies()
    return replying.replies(work.inputs[SCORES], work.inputs[COMPLETIONS])


def _prompts(work: Work) -> Iterator[Prompt]:
    return read_rows(work.inputs["prompts"], Prompt) if "prompts" in work.inputs else iter(())


def _answers(work: Work, role: str, greedy: bool) -> Sequence[Completion]:
    folder: Path | None = work.inputs.get(role)
    return list(sampling.read_answers(folder, greedy=greedy)) if folder else []


def likelihoods(build: Callable[[], Teacher]) -> Callable[[Sequence[tuple[Prompt, str]]], Sequence[LogLikelihood]]:
    """A model's own likelihoods, for an `EvaluatedModel`. build: loads the model; called on first use."""
    loaded: list[LikelihoodTeacher] = []

    def log_likelihoods(pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        if not loaded:
            teacher = build()
            if not isinstance(teacher, LikelihoodTeacher):
                raise PluginError("this evaluator needs log-likelihoods, which the stage's teacher does not give")
            loaded.append(teacher)
        return loaded[0].log_likelihoods(pairs)

    return log_likelihoods
