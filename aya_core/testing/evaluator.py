"""What an evaluator must do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from aya_core.contract.errors import PluginError
from aya_core.contract.kinds import AskingEvaluator, EvaluatedModel, Evaluator, EvaluatorStrategy
from aya_core.contract.metrics import check_metric
from aya_core.contract.records import Completion, CorpusScore, RowScore
from aya_core.contract.requests import GenerationRequest, LogLikelihood, Replies, ScoringRequest
from aya_core.testing.samples import sample_evaluated_model
from aya_core.testing.strategy import Rules, check_strategy


def _replies(expect: Rules, evaluator: Evaluator) -> Replies:
    """Made-up replies to what an evaluator asks: shorter continuations are likelier, and every prompt is answered alike."""
    expect(hasattr(evaluator, "requests"), "`asks` is True, so it needs a method requests()")
    asking: AskingEvaluator = evaluator  # type: ignore[assignment]
    requests = list(asking.requests())
    expect(bool(requests), "requests() asked nothing")
    expect(list(asking.requests()) == requests, "requests() must ask the same each time")
    likelihoods: dict[str, Sequence[LogLikelihood]] = {}
    completions: dict[str, Sequence[Completion]] = {}
    for request in requests:
        if isinstance(request, ScoringRequest):
            expect(request.id not in likelihoods, f"requests() asked '{request.id}' twice")
            expect(bool(request.continuations), f"request '{request.id}' has no continuations")
            scored = [LogLikelihood(-float(len(one.text)), max(1, len(one.text))) for one in request.continuations]
            likelihoods[request.id] = scored
        else:
            expect(isinstance(request, GenerationRequest), f"requests() yielded {type(request).__name__}")
            id = request.prompt.id
            expect(id not in completions, f"requests() asked '{id}' twice")
            completions[id] = [Completion(id, "sample", index, "7") for index in range(request.sampling.n)]
    return Replies(likelihoods, completions)


def check_evaluator(strategy: EvaluatorStrategy, *, evaluated: EvaluatedModel | None = None) -> None:
    """Check an evaluator on a made-up model. Raises AssertionError that says which rule is broken.

    evaluated: the model to score; an evaluator of special answers needs some. Answers are taken out of it unless the
    strategy class says `needs_answers`, and the rival's unless it has a field `against`, as a stage does.
    """
    check_strategy(strategy, "evaluator")
    expect = Rules(strategy)
    evaluated = evaluated or sample_evaluated_model()
    if not strategy.needs_answers:
        evaluated = replace(evaluated, prompts=(), answers=(), rival=())
    elif strategy.rival is None:
        evaluated = replace(evaluated, rival=())
    evaluator = strategy.build()
    if strategy.asks:
        evaluated = replace(evaluated, replies=_replies(expect, evaluator))
    expect(
        bool(strategy.metrics),
        "`metrics` is empty; declare each metric with its unit, its range and which end is better",
    )
    scores = list(evaluator.evaluate(evaluated))
    expect(bool(scores), "evaluate() scored nothing")
    for score in scores:
        known = isinstance(score, (RowScore, CorpusScore))
        expect(known, f"evaluate() yielded {type(score).__name__}; expected RowScore or CorpusScore")
        expect(math.isfinite(score.value), f"metric '{score.metric}' has a value of {score.value}; must be finite")
        if isinstance(score, CorpusScore):
            is_whole = bool(score.metric and score.language) and score.n > 0 and score.standard_error >= 0
            expect(is_whole, "a score of a corpus must name its metric and language, with n > 0 and its standard error")
            continue
        expect(
            math.isfinite(score.weight) and score.weight > 0,
            f"metric '{score.metric}' has a weight of {score.weight}; must be above 0",
        )
        expect(
            bool(score.metric and score.prompt_id and score.language),
            "a score must name its metric, prompt and language",
        )
    for score in scores:
        with expect.without(PluginError, rule="every metric must be declared, and each value in its range"):
            check_metric(strategy.metrics, score.metric, score.value, "evaluate()")
    expect(list(evaluator.evaluate(evaluated)) == scores, "the same model must get the same scores")
    signature = evaluator.signature()
    expect(
        bool(signature) and all(isinstance(text, str) for pair in signature.items() for text in pair),
        "signature() must name, as text, what moves the numbers: settings, versions, judge",
    )
