"""What an evaluator must do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from aya_core.contract.kinds import AskingEvaluator, Evaluator, EvaluatorStrategy, Subject
from aya_core.contract.records import Completion, CorpusScore, RowScore
from aya_core.contract.requests import GenerationRequest, LogLikelihood, Replies, ScoringRequest
from aya_core.testing.rules import expect
from aya_core.testing.samples import sample_subject
from aya_core.testing.strategy import check_strategy


def _replies(strategy: EvaluatorStrategy, evaluator: Evaluator) -> Replies:
    """Made-up replies to what an evaluator asks: shorter continuations are likelier, and every prompt is answered alike."""
    expect(hasattr(evaluator, "requests"), strategy, "`asks` is True, so it needs a method requests()")
    asking: AskingEvaluator = evaluator  # type: ignore[assignment]
    requests = list(asking.requests())
    expect(bool(requests), strategy, "requests() asked nothing")
    expect(list(asking.requests()) == requests, strategy, "requests() must ask the same each time")
    likelihoods: dict[str, Sequence[LogLikelihood]] = {}
    completions: dict[str, Sequence[Completion]] = {}
    for request in requests:
        if isinstance(request, ScoringRequest):
            expect(request.id not in likelihoods, strategy, f"requests() asked '{request.id}' twice")
            expect(bool(request.continuations), strategy, f"request '{request.id}' has no continuations")
            told = [LogLikelihood(-float(len(one.text)), max(1, len(one.text))) for one in request.continuations]
            likelihoods[request.id] = told
        else:
            expect(isinstance(request, GenerationRequest), strategy, f"requests() yielded {type(request).__name__}")
            id = request.prompt.id
            expect(id not in completions, strategy, f"requests() asked '{id}' twice")
            completions[id] = [Completion(id, "sample", index, "7") for index in range(request.sampling.n)]
    return Replies(likelihoods, completions)


def check_evaluator(strategy: EvaluatorStrategy, *, subject: Subject | None = None) -> None:
    """Check an evaluator on a made-up model. Raises AssertionError that says which rule is broken.

    subject: the model to score; an evaluator of special answers needs some. Answers are taken out of it unless the
    strategy class says `needs_answers`, and the rival's unless it has a field `against`, as a stage does.
    """
    check_strategy(strategy, "evaluator")
    subject = subject or sample_subject()
    if not strategy.needs_answers:
        subject = replace(subject, prompts=(), answers=(), rival=())
    elif strategy.rival is None:
        subject = replace(subject, rival=())
    evaluator = strategy.build()
    if strategy.asks:
        subject = replace(subject, replies=_replies(strategy, evaluator))
    scores = list(evaluator.evaluate(subject))
    expect(bool(scores), strategy, "evaluate() scored nothing")
    for score in scores:
        known = isinstance(score, (RowScore, CorpusScore))
        expect(known, strategy, f"evaluate() yielded {type(score).__name__}; expected RowScore or CorpusScore")
        expect(
            math.isfinite(score.value),
            strategy,
            f"metric '{score.metric}' has a value of {score.value}; must be finite",
        )
        if isinstance(score, CorpusScore):
            told = bool(score.metric and score.language) and score.n > 0 and score.standard_error >= 0
            expect(
                told,
                strategy,
                "a score of a corpus must name its metric and language, with n > 0 and its standard error",
            )
            continue
        expect(
            math.isfinite(score.weight) and score.weight > 0,
            strategy,
            f"metric '{score.metric}' has a weight of {score.weight}; must be above 0",
        )
        expect(
            bool(score.metric and score.prompt_id and score.language),
            strategy,
            "a score must name its metric, prompt and language",
        )
    expect(list(evaluator.evaluate(subject)) == scores, strategy, "the same model must get the same scores")
    signature = evaluator.signature()
    expect(
        bool(signature) and all(isinstance(text, str) for pair in signature.items() for text in pair),
        strategy,
        "signature() must name, as text, what moves the numbers: settings, versions, judge",
    )
