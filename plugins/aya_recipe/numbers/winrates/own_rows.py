"""Rows that runs of ours leave, read as battles: the scores of the evaluator `win-rate`, and an arbiter's verdicts on several teachers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from aya_core.api import UNKNOWN_LANGUAGE, DataError, Line
from aya_recipe.numbers.winrates.battles import Battle

SCORES = frozenset(("prompt_id", "language", "metric", "value"))
JUDGED = frozenset(("prompt_id", "teacher", "score", "status"))
"""The columns by which they are known."""

MODEL, RIVAL = "model", "rival"
"""The sides of an evaluation, whose rows do not name them."""


def of_scores(lines: Iterable[Line]) -> list[Battle]:
    """Read the battles of one evaluated model. The rows of a metric stand in the order of the samples."""
    points: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: {"win": [], "tie": []})
    place = ""
    for line in lines:
        place = line.place
        if line.row["metric"] in ("win", "tie"):
            points[line.row["language"], line.row["prompt_id"]][line.row["metric"]].append(float(line.row["value"]))
    if not points:
        raise DataError(f"{place}: no metric is named win; expected the scores of the evaluator win-rate")
    return [
        Battle(place, prompt, language, MODEL, RIVAL, win + tie / 2)
        for (language, prompt), told in points.items()
        for win, tie in zip(told["win"], told["tie"], strict=True)
    ]


def of_judged(lines: Iterable[Line]) -> list[Battle]:
    """Let every two teachers meet that an arbiter scored on the same prompt, sample by sample: the higher score wins."""
    scores: dict[tuple[str, int], dict[str, tuple[str, float]]] = defaultdict(dict)
    for line in lines:
        if line.row["status"] == "scored":
            sample = (line.row["prompt_id"], int(line.row.get("index") or 0))
            scores[sample][line.row["teacher"]] = (line.place, float(line.row["score"]))
    return [battle for (prompt, _), found in scores.items() for battle in _meetings(prompt, found)]


def _meetings(prompt: str, found: dict[str, Any]) -> Iterator[Battle]:
    for one, other in combinations(sorted(found), 2):
        place, ours = found[one]
        theirs = found[other][1]
        points = 0.5 if ours == theirs else float(ours > theirs)
        yield Battle(place, prompt, UNKNOWN_LANGUAGE, one, other, points)
