"""What an evaluator must do."""

from __future__ import annotations

import math
from dataclasses import replace

from aya_core.kinds import Evaluator, Subject
from aya_core.records import RowScore
from aya_core.strategies import Strategy
from aya_core.testing.rules import expect
from aya_core.testing.samples import sample_subject
from aya_core.testing.strategy import check_strategy


def check_evaluator(strategy: Strategy[Evaluator], *, subject: Subject | None = None) -> None:
    """Check an evaluator on a made-up model. Raises AssertionError that says which rule is broken.

    subject: the model to score; an evaluator of special answers needs some. Answers are taken out of it unless the
    strategy class says `needs_answers`, and the rival's unless it has a field `against`, as a stage does.
    """
    check_strategy(strategy)
    subject = subject or sample_subject()
    needs_answers = getattr(strategy, "needs_answers", False)
    expect(isinstance(needs_answers, bool), strategy, "`needs_answers` must be True or False")
    if not needs_answers:
        subject = replace(subject, prompts=(), answers=(), rival=())
    elif not hasattr(strategy, "against"):
        subject = replace(subject, rival=())
    evaluator = strategy.build()
    scores = list(evaluator.evaluate(subject))
    expect(bool(scores), strategy, "evaluate() scored nothing")
    for score in scores:
        expect(isinstance(score, RowScore), strategy, f"evaluate() yielded {type(score).__name__}; expected RowScore")
        expect(
            math.isfinite(score.value),
            strategy,
            f"metric '{score.metric}' has a value of {score.value}; must be finite",
        )
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
