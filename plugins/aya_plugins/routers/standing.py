"""Which teacher has done best so far, by the verdicts on its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from aya_core.api import AyaError, DataError, Judged, did_you_mean


def best_teacher(rows: Iterable[Judged], teachers: Sequence[str]) -> str:
    """Return the teacher with the highest mean score; the first in the order given wins a tie.

    Scores compare within a prompt only, so means are over the prompts on which every teacher was scored,
    each prompt counting once however many samples it has. Raises DataError when there is no such prompt.
    """
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.verdict.score is not None:
            scores[row.completion.prompt_id][row.completion.teacher].append(row.verdict.score)
    shared = [by_teacher for by_teacher in scores.values() if by_teacher.keys() >= set(teachers)]
    if not shared:
        raise DataError(
            f"the verdicts score no prompt for each of the teachers {', '.join(teachers)}; "
            "expected verdicts of a stage in which all of them answered the same prompts"
        )
    return max(teachers, key=lambda teacher: fmean(fmean(by_teacher[teacher]) for by_teacher in shared))


def known_teacher(name: str, teachers: Sequence[str]) -> str:
    """Return the name of a teacher of this stage; raise AyaError for any other."""
    if name not in teachers:
        raise AyaError(f"no teacher named '{name}' in this stage; {did_you_mean(name, teachers)}")
    return name
