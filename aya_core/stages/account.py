"""The account of an arbitrage: who was judged how, who won, and how well the arbiter told answers apart.

By language and teacher; the report makes tables and a picture of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aya_core.records import Judged, Prompt

HARDLY_SEPARATES = 0.1
"""Spread of the scores within a prompt over their spread over all prompts of the language, below which one is warned."""

MOSTLY_TIED = 0.5
"""Share of prompts with unlike answers that all score the same, above which one is warned."""

ENOUGH = 20
"""Prompts with unlike answers in a language, below which no warning is worth much."""


class Drops:
    """Counts what is dropped, by reason, language and teacher ("" where it is nobody's)."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, reason: str, language: str, teacher: str = "") -> None:
        """Count one."""
        self._counts[reason, language, teacher] += 1

    def rows(self) -> list[dict[str, Any]]:
        """As a table."""
        names = ("reason", "language", "teacher")
        return [{**dict(zip(names, key, strict=True)), "count": n} for key, n in sorted(self._counts.items())]


class Account:
    """Adds up the cases of an arbitrage as they stream by."""

    def __init__(self) -> None:
        self._teachers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._details: dict[tuple[str, str], dict[str, tuple[float, int]]] = defaultdict(dict)
        self._languages: dict[str, Counter[str]] = defaultdict(Counter)

    def judged(self, prompt: Prompt, judged: Sequence[Judged]) -> None:
        """Add the verdicts on one prompt."""
        for row in judged:
            key = (row.completion.teacher, prompt.language)
            counts = self._teachers[key]
            counts["answers"] += 1
            counts[row.verdict.status] += 1
            counts["empty"] += not row.completion.text.strip()
            counts["tokens"] += row.completion.completion_tokens
            counts["score"] += row.verdict.score or 0.0  # type: ignore[assignment]
            for name, value in row.verdict.details.items():
                total, n = self._details[key].get(name, (0.0, 0))
                self._details[key][name] = (total + value, n + 1)
        self._separation(self._languages[prompt.language], judged)

    def won(self, prompt: Prompt, teacher: str, margin: float | None) -> None:
        """Add a prompt whose best answer is a teacher's. margin: over the best answer of another, where there is one."""
        counts = self._teachers[teacher, prompt.language]
        counts["won"] += 1
        if margin is not None:
            counts["margins"] += 1
            counts["margin"] += margin  # type: ignore[assignment]

    def measures(self) -> dict[str, Any]:
        """The whole account, as JSON can hold it."""
        teachers: dict[str, dict[str, Any]] = defaultdict(dict)
        for (teacher, language), counts in sorted(self._teachers.items()):
            details = self._details.get((teacher, language), {})
            teachers[teacher][language] = {
                **{
                    name: counts[name]
                    for name in ("answers", "scored", "abstained", "failed", "empty", "won", "tokens")
                },
                "mean_score": counts["score"] / counts["scored"] if counts["scored"] else None,
                "mean_margin": counts["margin"] / counts["margins"] if counts["margins"] else None,
                "details": {name: total / n for name, (total, n) in sorted(details.items())},
            }
        languages = {
            language: {
                "prompts": int(counts["prompts"]),
                "compared": int(counts["compared"]),
                "tied": int(counts["tied"]),
                "separation": _separation(counts),
            }
            for language, counts in sorted(self._languages.items())
        }
        return {"teachers": dict(teachers), "languages": languages}

    @staticmethod
    def _separation(counts: Counter[str], judged: Sequence[Judged]) -> None:
        counts["prompts"] += 1
        scores = [row.verdict.score for row in judged if row.verdict.score is not None]
        if len(scores) < 2 or len({row.completion.text for row in judged}) < 2:
            return
        mean = sum(scores) / len(scores)
        counts["compared"] += 1
        counts["tied"] += min(scores) == max(scores)
        sums: Mapping[str, float] = {
            "n": len(scores),
            "sum": sum(scores),
            "squares": sum(score * score for score in scores),
            "within": sum((score - mean) ** 2 for score in scores),
        }
        for name, value in sums.items():
            counts[name] += value  # type: ignore[assignment]


def _separation(counts: Counter[str]) -> float | None:
    """The spread of scores within prompts over that of all scores of the language: 0 to 1."""
    n = counts["n"]
    total = counts["squares"] - counts["sum"] ** 2 / n if n else 0.0
    return math.sqrt(min(1.0, max(0.0, counts["within"] / total))) if total > 0 else None


def warnings(account: Mapping[str, Any]) -> list[str]:
    """Say in which languages the scores hardly separate the candidates."""
    told = []
    for language, found in account["languages"].items():
        if found["compared"] < ENOUGH:
            continue
        tied = found["tied"] / found["compared"]
        if tied > MOSTLY_TIED:
            told.append(
                f"{language}: all scores are equal on {100 * tied:.0f}% of {found['compared']} prompts with unlike answers; "
                "the winner is drawn by lot there, so use an arbiter that tells them apart, or pick.ties: drop"
            )
        elif found["separation"] is not None and found["separation"] < HARDLY_SEPARATES:
            told.append(
                f"{language}: scores differ little within a prompt (spread {found['separation']:.2f} of that between prompts, "
                f"n = {found['compared']}); the arbiter hardly separates the candidates"
            )
    return told
