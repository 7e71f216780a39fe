"""The account of an arbitrage: who was judged how, who won, and how well the arbiter told answers apart.

By language and teacher; the report makes tables and a picture of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aya_core.api import Judged, Prompt, Reasons

HARDLY_SEPARATES = 0.1
"""Spread of the scores within a prompt over their spread over all prompts of the language, below which one is warned."""

MOSTLY_TIED = 0.5
"""Share of prompts with unlike answers that all score the same, above which one is warned."""

MOST_REASONS = 20
"""Different reasons for abstentions and failures that are told of a teacher in a language, the commonest first."""

MANY = 0.05
"""Share of a teacher's answers that are cut, filtered, refused or empty, above which one is warned."""

ENDINGS = {"length": "cut", "filtered": "filtered", "refused": "refused"}
"""The columns that count answers that are not whole, by how they ended."""

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


COUNTS = ("answers", "scored", "abstained", "failed", "empty", "reasoned", "won", "tokens", "prompt_tokens", "untold")
"""What is counted of a teacher in a language and is a field of its tally."""


@dataclass(slots=True)
class _Tally:
    """Sums of one teacher in one language. untold: answers of which it is not known how many tokens they and their prompts took."""

    answers: int = 0
    scored: int = 0
    abstained: int = 0
    failed: int = 0
    empty: int = 0
    reasoned: int = 0
    won: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    untold: int = 0
    score: float = 0.0
    margins: int = 0
    margin: float = 0.0
    details: dict[str, tuple[float, int]] = field(default_factory=dict)
    reasons: Reasons = field(default_factory=Reasons)
    endings: Reasons = field(default_factory=Reasons)

    def add(self, row: Judged, *, is_first: bool) -> None:
        """Add an answer. is_first: of this teacher's to its prompt, whose tokens count once: so requests for several samples are paid."""
        verdict, answer = row.verdict, row.completion
        self.answers += 1
        self.tokens += answer.completion_tokens
        self.prompt_tokens += answer.prompt_tokens if is_first else 0
        is_empty = answer.is_empty
        self.empty += is_empty
        self.reasoned += answer.reasoning != ""
        if not (answer.completion_tokens and answer.prompt_tokens):
            self.untold += answer.reasoning != "" or not is_empty
        self.endings.add(answer.finish_reason)
        if verdict.status == "scored":
            self.scored += 1
            self.score += verdict.score or 0.0
        elif verdict.status == "abstained":
            self.abstained += 1
        else:
            self.failed += 1
        if verdict.status != "scored":
            self.reasons.add(verdict.reason)
        for name, value in verdict.details.items():
            total, n = self.details.get(name, (0.0, 0))
            self.details[name] = (total + value, n + 1)

    def row(self) -> dict[str, Any]:
        endings = self.endings.counts(MOST_REASONS)
        return {
            **{name: getattr(self, name) for name in COUNTS},
            **{name: endings.get(word, 0) for word, name in ENDINGS.items()},
            "endings": endings,
            "mean_score": self.score / self.scored if self.scored else None,
            "mean_margin": self.margin / self.margins if self.margins else None,
            "margins": self.margins,
            "details": {name: total / n for name, (total, n) in sorted(self.details.items())},
            "detailed": {name: n for name, (_, n) in sorted(self.details.items())},
            "reasons": self.reasons.counts(MOST_REASONS),
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
        before = ""
        for row in judged:
            teacher = row.completion.teacher  # whose samples stand one after the other
            self._teachers[teacher, prompt.language].add(row, is_first=teacher != before)
            before = teacher
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


def _not_whole(teacher: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say how many answers of a teacher are cut, filtered, refused or empty, and in which languages, where they are many."""
    answers = sum(row["answers"] for row in rows.values())
    sentences = []
    for name in (*ENDINGS.values(), "empty"):
        by_language = {language: row[name] for language, row in rows.items() if row[name]}
        if sum(by_language.values()) > MANY * answers:
            where = ", ".join(f"{language} {count}" for language, count in by_language.items())
            remedy = "; raise sampling.max_tokens" if name == "cut" else ""
            sentences.append(
                f"{teacher}: {sum(by_language.values())} of {answers} answers are {name} ({where}){remedy}"
            )
    return sentences


def _not_scored(teacher: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say why no answer of a teacher was scored, or why many could not be judged."""
    answers, scored, failed = (sum(row[name] for row in rows.values()) for name in ("answers", "scored", "failed"))
    if scored and failed <= MANY * answers:
        return []
    reasons = Reasons()
    for row in rows.values():
        reasons.update(row["reasons"])
    why = "; ".join(f"{reason} ({n})" for reason, n in reasons.counts(3).items())
    if not scored:
        return [f"{teacher}: none of its {answers} answers was scored: {why}"]
    return [f"{teacher}: {failed} of {answers} answers could not be judged; why answers have no score: {why}"]


def warnings(account: Mapping[str, Any]) -> list[str]:
    """Say in which languages the scores hardly separate the candidates, and of which teachers many answers have no score or are not
    whole."""
    sentences = []
    for teacher, rows in account["teachers"].items():
        sentences += _not_whole(teacher, rows)
        sentences += _not_scored(teacher, rows)
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
