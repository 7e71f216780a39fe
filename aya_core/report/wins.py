"""Whose answer won where, as pictures: of an arbitrage by language, and of an evaluation against a rival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aya_core.report import bars
from aya_core.report.bars import Bar
from aya_core.report.tables import models_of, names

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
"""Colours that stay apart for most eyes, in the order of models or teachers."""

OUTCOMES = {"win": "#6cc5b0", "loss": "#ff8ab7", "tie": "#c9ccd1"}
"""Outcomes of a comparison with a rival, and their colours."""


def picture(account: Mapping[str, Any], title: str) -> str:
    """Draw the wins of an arbitrage's account. Bars are shares of a language's prompts that were won; the number beside is n."""
    colours = {teacher: COLOURS[index % len(COLOURS)] for index, teacher in enumerate(account["teachers"])}
    rows = []
    for language, won in account["wins"].items():
        total = sum(won.values())
        told = {teacher: f"{count} of {total}" for teacher, count in won.items()}
        rows.append(Bar(language, won, told, str(total)))
    return bars.picture(title, colours, rows)


def pictures(stage: str, account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Draw the win rates of an evaluate stage, each picture with its name: all pairs of a model and its rival, then each pair by
    language.

    They are those of the paper's figures 1, 2 and 4 (arXiv 2412.04261).
    """
    shown = names(models_of(account))
    for label, evaluator in account["evaluators"].items():
        rival, metrics = evaluator["against"], account["scores"][label]
        if rival is None or not OUTCOMES.keys() <= metrics.keys():
            continue
        of_pairs = {}
        for model in models_of(account):
            outcomes = {name: metrics[name][model] for name in OUTCOMES if model in metrics[name]}
            if model != rival and len(outcomes) == len(OUTCOMES):
                pair = f"{shown[model]} vs {shown.get(rival, rival)}"
                of_pairs[pair] = {name: scored["mean"] for name, scored in outcomes.items()}
                codes = sorted(outcomes["win"]["languages"])
                of_one = {
                    code: {name: scored["languages"][code] for name, scored in outcomes.items()} for code in codes
                }
                yield f"{stage}.{label}@{shown[model]}", _outcomes(f"{stage}: {pair}, %", of_one)
        if of_pairs:
            yield f"{stage}.{label}", _outcomes(f"{stage}: {label}, mean over languages, %", of_pairs)


def _outcomes(title: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    drawn = []
    for name, outcomes in rows.items():
        told = {outcome: f"{100 * estimate['value']:.1f}" for outcome, estimate in outcomes.items()}
        values = {outcome: estimate["value"] for outcome, estimate in outcomes.items()}
        drawn.append(Bar(name, values, told, f"n {outcomes['win']['n']}", is_labelled=True))
    return bars.picture(title, OUTCOMES, drawn)
