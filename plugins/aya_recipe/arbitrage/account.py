"""The account of an arbitrage: who was judged how, who won, and how well the arbiter told answers apart.

By language and teacher; the report makes tables and a picture of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aya_core.api import Judged, Prompt

HARDLY_SEPARATES = 0.1
"""Spread of the scores within a prompt over their spread over all prompts of the language, below which one is warned."""

MOSTLY_TIED = 0.5
"""Share of prompts with unlike answers that all score the same, above which one is warned."""

MOST_REASONS = 20
"""Different reasons for abstentions and failures that are kept of a teacher in a language."""

ENOUGH = 5
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


@dataclass(slots=True)
class _Tally:
    """Sums of one teacher in one language."""

    answers: int = 0
    scored: int = 0
    abstained: int = 0
    failed: int = 0
    empty: int = 0
    won: int = 0
    tokens: int = 0
    score: float = 0.0
    margins: int = 0
    margin: float = 0.0
    details: dict[str, tuple[float, int]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, row: Judged) -> None:
        verdict = row.verdict
        self.answers += 1
        self.tokens += row.completion.completion_tokens
        self.empty += not row.completion.text.strip()
        if verdict.status == "scored":
            self.scored += 1
            self.score += verdict.score or 0.0
        elif verdict.status == "abstained":
            self.abstained += 1
        else:
            self.failed += 1
        if verdict.status != "scored" and (verdict.reason in self.reasons or len(self.reasons) < MOST_REASONS):
            self.reasons[verdict.reason] = self.reasons.get(verdict.reason, 0) + 1
        for name, value in verdict.details.items():
            total, n = self.details.get(name, (0.0, 0))
            self.details[name] = (total + value, n + 1)

    def row(self) -> dict[str, Any]:
        return {
            **{
                name: getattr(self, name)
                for name in ("answers", "scored", "abstained", "failed", "empty", "won", "tokens")
            },
            "mean_score": self.score / self.scored if self.scored else None,
            "mean_margin": self.margin / self.margins if self.margins else None,
            "margins": self.margins,
            "details": {name: total / n for name, (total, n) in sorted(self.details.items())},
            "detailed": {name: n for name, (_, n) in sorted(self.details.items())},
            "reasons": dict(sorted(self.reasons.items(), key=lambda entry: -entry[1])),
        }


@dataclass(slots=True)
class _Spread:
    """How far apart the scores of one language are, within prompts and over all."""

    prompts: int = 0
    compared: int = 0
    tied: int = 0
    scores: int = 0
    total: float = 0.0
    squares: float = 0.0
    within: float = 0.0

    def add(self, judged: Sequence[Judged]) -> None:
        self.prompts += 1
        scored = [row for row in judged if row.verdict.score is not None]
        if len(scored) < 2 or len({row.completion.text for row in scored}) < 2:
            return
        scores = [row.verdict.score or 0.0 for row in scored]
        n, total = len(scores), sum(scores)
        squares = sum([score * score for score in scores])
        self.compared += 1
        self.tied += min(scores) == max(scores)
        self.scores += n
        self.total += total
        self.squares += squares
        self.within += squares - total * total / n

    def row(self) -> dict[str, Any]:
        return {"prompts": self.prompts, "compared": self.compared, "tied": self.tied, "separation": self.separation()}

    def separation(self) -> float | None:
        """The spread of scores within prompts over that of all scores: 0 to 1."""
        overall = self.squares - self.total * self.total / self.scores if self.scores else 0.0
        ratio = self.within / overall if overall > 0 else math.nan
        return math.sqrt(min(1.0, max(0.0, ratio))) if math.isfinite(ratio) else None


class Account:
    """Adds up the cases of an arbitrage as they stream by."""

    def __init__(self) -> None:
        self._teachers: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
        self._languages: dict[str, _Spread] = defaultdict(_Spread)

    def judged(self, prompt: Prompt, judged: Sequence[Judged]) -> None:
        """Add the verdicts on one prompt."""
        for row in judged:
            self._teachers[row.completion.teacher, prompt.language].add(row)
        self._languages[prompt.language].add(judged)

    def won(self, prompt: Prompt, teacher: str, margin: float | None) -> None:
        """Add a prompt whose best answer is a teacher's. margin: over the best answer of another, where there is one."""
        tally = self._teachers[teacher, prompt.language]
        tally.won += 1
        if margin is not None:
            tally.margins += 1
            tally.margin += margin

    def measures(self) -> dict[str, Any]:
        """The whole account, as JSON can hold it."""
        teachers: dict[str, dict[str, Any]] = defaultdict(dict)
        for (teacher, language), tally in sorted(self._teachers.items()):
            teachers[teacher][language] = tally.row()
        return {
            "teachers": dict(teachers),
            "languages": {language: spread.row() for language, spread in sorted(self._languages.items())},
        }


def warnings(account: Mapping[str, Any]) -> list[str]:
    """Say in which languages the scores hardly separate the candidates, and of which teachers no answer was scored."""
    sentences = []
    for teacher, rows in account["teachers"].items():
        if not any(row["scored"] for row in rows.values()):
            reasons: Counter[str] = Counter()
            for row in rows.values():
                reasons.update(row["reasons"])
            why = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))
            sentences.append(
                f"{teacher}: none of its {sum(row['answers'] for row in rows.values())} answers was scored: {why}"
            )
    for language, found in account["languages"].items():
        if found["compared"] < ENOUGH:
            continue
        tied = found["tied"] / found["compared"]
        if tied > MOSTLY_TIED:
            sentences.append(
                f"{language}: all scores are equal on {100 * tied:.0f}% of {found['compared']} prompts with unlike answers; "
                "the winner is drawn by lot there, so use an arbiter that tells them apart, or pick.ties: drop"
            )
        elif found["separation"] is not None and found["separation"] < HARDLY_SEPARATES:
            sentences.append(
                f"{language}: scores differ little within a prompt (spread {found['separation']:.2f} of that between prompts, "
                f"n = {found['compared']}); the arbiter hardly separates the candidates"
            )
    return sentences
