"""Pictures of an evaluation: scores of models, in all and by language, and win rates against a rival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aya_core.api import Picture
from aya_recipe.evaluate.tables import models_of, names
from aya_recipe.report import bars
from aya_recipe.report.bars import COLOURS, Bar

OUTCOMES = {"win": "#6cc5b0", "loss": "#ff8ab7", "tie": "#c9ccd1"}
"""Outcomes of a comparison with a rival, and their colours."""


def of_scores(stage: str, data: Mapping[str, Any]) -> Picture:
    """Draw the headline of every model with its interval; controls are of another colour."""
    rows = [(row, COLOURS[0]) for row in data["stages"]] + [(row, COLOURS[-1]) for row in data["controls"]]
    drawn = [
        bars.Scored(row["name"], row["score"], colour, row["low"], row["high"])
        for row, colour in rows
        if "score" in row
    ]
    title = f"{stage}: {data['headline']}, with 95% intervals"
    return Picture(f"{stage}.scores", title, bars.scores(title, drawn))


def of_languages(stage: str, data: Mapping[str, Any]) -> Picture:
    """Draw the headline of every model in the recipe's line, language by language."""
    models = [row["name"] for row in data["stages"]]
    colours = {model: COLOURS[index % len(COLOURS)] for index, model in enumerate(models)}
    by_language = {
        code: [bars.Scored(model, found[model]["value"], colours[model]) for model in models if model in found]
        for code, found in data["languages"].items()
    }
    title = f"{stage}: {data['headline']} by language"
    return Picture(f"{stage}.languages", title, bars.groups(title, colours, by_language))


def of_rivals(stage: str, account: Mapping[str, Any]) -> Iterator[Picture]:
    """Draw the win rates of an evaluate stage: all pairs of a model and its rival, then each pair by language.

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
                yield _outcomes(f"{stage}.{label}@{shown[model]}", f"{stage}: {pair}, %", of_one)
        if of_pairs:
            yield _outcomes(f"{stage}.{label}", f"{stage}: {label}, mean over languages, %", of_pairs)


def _outcomes(name: str, title: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Picture:
    drawn = []
    for row, outcomes in rows.items():
        told = {outcome: f"{100 * estimate['value']:.1f}" for outcome, estimate in outcomes.items()}
        values = {outcome: estimate["value"] for outcome, estimate in outcomes.items()}
        drawn.append(Bar(row, values, told, f"n {outcomes['win']['n']}", is_labelled=True))
    return Picture(name, title, bars.shares(title, OUTCOMES, drawn), level="tables")
