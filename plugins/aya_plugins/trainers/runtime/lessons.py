"""Verdicts as lessons: what each teacher's answers to a prompt were worth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy
from numpy.typing import NDArray

from aya_core.api import DataError, Judged, Prompt, read_rows

Rewards = NDArray[numpy.float32]
"""(prompts, teachers): the mean score of a teacher's answers to a prompt, NaN where none was scored."""


@dataclass(frozen=True)
class Lesson:
    """A prompt and the rewards of the teachers, NaN for one without a scored answer."""

    prompt: Prompt
    rewards: tuple[float, ...]


@dataclass(frozen=True)
class Lessons:
    """Prompts on which two teachers or more were scored. account: how many prompts were left out, and why."""

    teachers: tuple[str, ...]
    rows: Sequence[Lesson]
    account: Mapping[str, float]


def read_lessons(verdicts: Path, prompts: Path, teachers: Sequence[str] | None = None) -> Lessons:
    """Bring verdicts and prompts together, in the order of the prompts; teachers are in the order of their names.

    A teacher that no lesson compares with another is not among them. teachers: the only ones that are looked at, and their
    order. Raises DataError where there is nothing to learn:
    fewer than two teachers, or no prompt that compares any.
    """
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    judged = set()
    for row in read_rows(verdicts, Judged):
        judged.add(row.completion.prompt_id)
        if row.verdict.score is not None and (teachers is None or row.completion.teacher in teachers):
            scores[row.completion.prompt_id][row.completion.teacher].append(row.verdict.score)
    scored = sorted({teacher for by_teacher in scores.values() for teacher in by_teacher})
    if len(scored) < 2:
        raise DataError(
            f"{verdicts}: the verdicts score the answers of {' and '.join(scored) or 'nobody'} only; a router learns "
            "from two teachers or more, so take verdicts of a stage with `router: {use: all}`"
        )
    known = [prompt for prompt in read_rows(prompts, Prompt) if prompt.id in judged]
    compared = [prompt for prompt in known if len(scores.get(prompt.id, ())) > 1]
    if not compared:
        raise DataError(
            f"{verdicts}: no prompt of {prompts} has scored answers of two teachers ({len(judged)} prompts were judged, "
            f"{len(known)} of them are there); expected the prompts of these verdicts, such as `arbitrage.prompts` for "
            "`arbitrage.verdicts`"
        )
    seen = {teacher for prompt in compared for teacher in scores[prompt.id]}
    named = tuple(sorted(seen)) if teachers is None else tuple(teachers)
    rows = [
        Lesson(prompt, tuple(fmean(scores[prompt.id].get(name, [math.nan])) for name in named)) for prompt in compared
    ]
    dropped = {"dropped_rows": len(known) - len(rows), "unknown_prompts": len(judged) - len(known)}
    return Lessons(named, rows, dropped)


def rewards_of(rows: Sequence[Lesson]) -> Rewards:
    """The rewards of lessons, one under the other."""
    return numpy.array([row.rewards for row in rows], dtype=numpy.float32)


def strongest(rewards: Rewards) -> int:
    """Name the column of the teacher that gains most over the mean of each prompt, where it was scored.

    Gains and not rewards are averaged, for not every teacher is asked in every language.
    """
    gains = rewards - numpy.nanmean(rewards, axis=1, keepdims=True)
    times = (~numpy.isnan(rewards)).sum(axis=0)
    return int(numpy.where(times > 0, numpy.nansum(gains, axis=0) / numpy.maximum(times, 1), -numpy.inf).argmax())


def spread(rewards: Rewards) -> float:
    """Give the mean over prompts of the standard deviation of the rewards on it."""
    return float(numpy.nanstd(rewards, axis=1).mean())


def routing_gain(logits: Rewards, rewards: Rewards, single: int) -> Mapping[str, float]:
    """Say what a prompt's answer is worth on average if the router, the lot, one teacher or an oracle chooses.

    Only teachers scored on a prompt can be chosen for it; where the single teacher was not, the lot decides.
    """
    is_scored = ~numpy.isnan(rewards)
    chosen = numpy.where(is_scored, logits, -numpy.inf).argmax(axis=1)
    routed = rewards[numpy.arange(len(rewards)), chosen]
    random, best = numpy.nanmean(rewards, axis=1), numpy.nanmax(rewards, axis=1)
    alone = numpy.where(is_scored[:, single], rewards[:, single], random)
    columns = {"routed": routed, "random": random, "single": alone, "oracle": best, "accuracy": routed == best}
    return {"n": len(rewards), **{name: float(column.mean()) for name, column in columns.items()}}
