"""Evaluation: every model answers the same prompts once, and every evaluator scores the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aya_core.artifacts import read_rows, write_rows
from aya_core.errors import DataError, PluginError, did_you_mean
from aya_core.kinds import Evaluator, LikelihoodTeacher, Subject, Teacher
from aya_core.plan import Builder
from aya_core.records import Completion, CorpusScore, Prompt, RowScore
from aya_core.requests import LogLikelihood, Replies
from aya_core.stage_settings import EvaluateStage
from aya_core.stages import contamination, replying, sampling
from aya_core.stages.kept_verdicts import MADE_BY, Keeper
from aya_core.stages.work import Work
from aya_core.strategies import RowsRef, Strategy, find

GREEDY = "greedy "
"""Before the name of a metric that was measured on greedy answers."""

SCORES, COMPLETIONS = "replies.scores", "replies.completions"
"""The inputs of a node that hold a model's replies to its evaluator."""

PROMPTS = "stage.prompts"
"""What the stage's prompts are called among what models are evaluated on; no evaluator can have this name."""

CORPUS = "corpus"
"""The folder of an evaluated model's scores that are no means over rows."""


def unroll(stage: EvaluateStage, build: Builder) -> None:
    """A node per model for its answers, and a node per model and evaluator for its scores."""
    models = {str(model): build.resolve(model, f"models.{i}") for i, model in enumerate(stage.models)}
    models |= {str(model): build.resolve(model, f"controls.{i}") for i, model in enumerate(stage.controls)}
    asked = any(needs_answers(evaluator) for evaluator in stage.evaluators.values())
    prompts = None
    answers: dict[str, str] = {}
    if asked:
        if stage.prompts is None:
            raise build.error("prompts", "missing; an evaluator here scores answers to prompts")
        prompts = build.rows(stage.prompts, "prompts", "prompts", f"{stage.name}.prompts")
        for name, model in models.items():
            answers[name] = sampling.add(
                build, f"{stage.name}.answers@{name}", prompts, stage.teacher, stage.sampling, name=name, model=model,
                greedy=stage.greedy,
            )  # fmt: skip
    requests = {
        label: replying.add_requests(build, stage.name, label, evaluator)
        for label, evaluator in stage.evaluators.items()
        if replying.asks(evaluator)
    }
    replies = {
        name: replying.add_replies(build, stage.name, name, model, requests, stage.teacher)
        for name, model in models.items()
        if requests
    }
    known = {
        label: build.resolve(rows, f"evaluators.{label}")
        for label, evaluator in stage.evaluators.items()
        for _, rows in find(evaluator, RowsRef)
    }
    asked_of = {**known, **requests, **({} if prompts is None else {PROMPTS: prompts})}
    contamination.add(build, stage.name, models.values(), asked_of)
    for label, evaluator in stage.evaluators.items():
        rival = _rival(stage, build, label, evaluator, prompts, answers)
        for name, model in models.items():
            inputs: dict[str, str] = {}
            if needs_answers(evaluator) and prompts is not None:
                inputs = {"prompts": prompts, "answers": answers[name]}
                if rival is not None:
                    inputs["rival"] = rival
            settings = {"name": name, "greedy": stage.greedy and bool(inputs)}
            parts: dict[str, str] = {}
            if label in requests:
                parts = {SCORES: replying.scores_of(label), COMPLETIONS: replying.completions_of(label)}
                inputs |= dict.fromkeys(parts, replies[name])
            strategies = {"evaluator": ("evaluator", evaluator), "teacher": ("teacher", stage.teacher)}
            build.add(
                f"{stage.name}.{label}@{name}", "evaluate", "scores", settings, inputs, strategies, model=model, parts=parts
            )  # fmt: skip


def _rival(
    stage: EvaluateStage,
    build: Builder,
    label: str,
    evaluator: Strategy[Any],
    prompts: str | None,
    answers: Mapping[str, str],
) -> str | None:
    """The node that holds the rival's answers: a model of the stage's, or a teacher who is asked once for all models."""
    against, where = getattr(evaluator, "against", None), f"evaluators.{label}.against"
    if against is None or prompts is None:
        return None
    if isinstance(against, Strategy):
        return sampling.add(
            build, f"{stage.name}.{label}.rival", prompts, against, stage.sampling, name="rival", greedy=stage.greedy, at=where
        )  # fmt: skip
    if against not in answers:
        raise build.error(where, f"no model '{against}' in this stage; {did_you_mean(against, answers)}")
    return answers[against]


def needs_answers(evaluator: Strategy[Any] | type[Strategy[Any]]) -> bool:
    """Whether it scores answers to the stage's prompts."""
    return bool(getattr(evaluator, "needs_answers", False))


def evaluate(work: Work) -> Mapping[str, Any]:
    """Score one model with one evaluator, on sampled answers and on greedy ones."""
    strategy = work.strategy("evaluator")
    evaluator = strategy.build()
    keeper = Keeper(work, strategy)
    rows: list[RowScore] = []
    corpus: list[CorpusScore] = []
    unanswered = 0
    for greedy in (False, True) if work.setting("greedy") else (False,):
        subject = Subject(
            work.setting("name"), list(_prompts(work)), _answers(work, "answers", greedy), _answers(work, "rival", greedy),
            likelihoods(lambda: work.strategy("teacher").build()), _replies(work), keeper.arbiter, work.store,
        )  # fmt: skip
        unanswered += len({prompt.id for prompt in subject.prompts} - {answer.prompt_id for answer in subject.answers})
        for row in score(evaluator, subject):
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
    headline = headline_of(strategy, {name.removeprefix(GREEDY) for name in _metrics(rows) | _metrics(corpus)})
    return {
        "headline": headline,
        "rows": len(rows),
        "unanswered": unanswered,
        **({"made_by": MADE_BY, "failed": keeper.failed, "taken_over": keeper.taken} if keeper.asked else {}),
        "signature": signature_of(work, evaluator),
    }


def score(evaluator: Evaluator, subject: Subject) -> Iterator[RowScore | CorpusScore]:
    """Score a model, and check what the evaluator says. Raises PluginError."""
    for row in evaluator.evaluate(subject):
        if not isinstance(row, (RowScore, CorpusScore)) or not math.isfinite(row.value):
            raise PluginError(
                f"the evaluator gave {row!r} for '{subject.name}'; expected RowScore or CorpusScore with a finite value"
            )
        yield row


def headline_of(strategy: Strategy[Any], metrics: set[str]) -> str:
    """The evaluator's main metric: the one it names, or the only one it yields."""
    named = getattr(strategy, "headline", None)
    if named is None and len(metrics) == 1:
        return next(iter(metrics))
    if named not in metrics:
        raise PluginError(
            f"the evaluator's main metric is '{named}', it yielded {', '.join(sorted(metrics))}: could nothing be scored by it, as where a "
            "judge failed or abstained everywhere? Otherwise its author must set `headline` to one of them"
        )
    return str(named)


def signature_of(work: Work, evaluator: Evaluator) -> dict[str, str]:
    """What the evaluator says moved its numbers, with steps of the run named instead of where their folders are."""
    signature = dict(evaluator.signature())
    for role, path in work.inputs.items():
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
    """A model's own likelihoods, for a `Subject`. build: loads the model; called on first use."""
    loaded: list[LikelihoodTeacher] = []

    def log_likelihoods(pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
        if not loaded:
            teacher = build()
            if not isinstance(teacher, LikelihoodTeacher):
                raise PluginError("this evaluator needs log-likelihoods, which the stage's teacher does not give")
            loaded.append(teacher)
        return loaded[0].log_likelihoods(pairs)

    return log_likelihoods
