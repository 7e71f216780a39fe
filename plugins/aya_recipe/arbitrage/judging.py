"""Judging: an arbiter's verdicts on all the candidates of a prompt. Verdicts survive a kill, and later runs take them over."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aya_core.api import (
    MEASURE,
    Arbiter,
    ArbiterStrategy,
    Asked,
    Asking,
    Builder,
    CalibratedArbiter,
    Case,
    Columns,
    Completion,
    DataError,
    Judged,
    Lookahead,
    StepReplies,
    Strategy,
    Work,
    case_key,
    checked_verdicts,
    chunked,
    damaged,
    fill_shards,
    kept,
    read_batches,
    read_rows,
    stable_hash,
)
from aya_recipe.arbitrage.drawing import drawn_by_language
from aya_recipe.arbitrage.routing import read_prompts, route_file, routes_of
from aya_recipe.arbitrage.sampling import read_answers

CHUNK_CASES = 2048
"""Cases handed to an arbiter at a time."""

CALIBRATION_CASES = 256
"""Cases of each language that an arbiter may look at before it judges, at the most."""


def add(
    build: Builder, id: str, prompts: str, answers: Mapping[str, str], arbiter: Strategy[Any], *,
    split: tuple[int, int] | None = None, routes: str | None = None,
) -> str:  # fmt: skip
    """Add the node that judges, and return its id. routes: only the answers of teachers that they name are judged."""
    inputs = {"prompts": prompts, **{f"answers.{teacher}": node for teacher, node in answers.items()}}
    if routes is not None:
        inputs["routes"] = routes
    settings: dict[str, Any] = {"teachers": list(answers), "split": split}
    return build.add(
        id, "judge", "judged", settings, inputs, {"arbiter": ("arbiter", arbiter)}, asked_by=("arbiter",), draws=False
    )


def judge(work: Work) -> Mapping[str, Any]:
    """Bring the candidates of each prompt together and write the arbiter's verdict on each."""
    strategy: ArbiterStrategy = work.strategy("arbiter")
    arbiter = strategy.build()
    replies = StepReplies(work, "arbiter", strategy)
    replies.give(arbiter)
    scale = ""
    if isinstance(arbiter, CalibratedArbiter):
        sample = calibration_sample(read_cases(work), work.node.seed)
        arbiter.calibrate(sample)
        scale = stable_hash([key_of(case) for case in sample])
    asked = Asked.of(work.node, work.contents, scale)

    cases = answer_by_answer(read_cases(work)) if strategy.pointwise else read_cases(work)
    asking = Asking(Judged, key_of, lambda cases: judged(arbiter, cases, "the arbiter"), asked, stands=is_no_failure)
    filled = fill_shards(work, asking, chunked(cases, CHUNK_CASES))
    counts = _statuses(work)
    if filled.rows and not counts["scored"]:
        raise _nothing_scored(work, counts)
    return {
        **dict(sorted(counts.items())),
        "taken_over": filled.taken,
        **replies.measures,
        **damaged(filled, replies.close()),
        "seconds": round(filled.seconds, 3),
        **kept(filled),
        MEASURE: asked.as_measure(),
    }


def read_cases(work: Work) -> Iterator[Case]:
    """Stream the prompts of a judging node that have candidates, with these, in the order of the prompts."""
    teachers = work.setting("teachers")
    streams = {
        teacher: Lookahead(read_answers(work.inputs[f"answers.{teacher}"]), lambda answer: answer.prompt_id)
        for teacher in teachers
    }
    routes = {
        teacher: routes_of(work.inputs["routes"] / route_file(teacher))
        for teacher in teachers
        if "routes" in work.inputs
    }
    for prompt in read_prompts(work):
        candidates: list[Completion] = []
        for teacher, stream in streams.items():
            answers = stream.take(prompt.id)
            if not routes or routes[teacher].take(prompt.id):
                candidates += answers
        if candidates:
            yield Case(prompt, tuple(candidates))
    for answers_left in streams.values():
        answers_left.check_done()


def is_no_failure(rows: Sequence[Judged]) -> bool:
    """Whether verdicts are all that is wanted of a case: those that failed are asked for again."""
    return all(row.verdict.status != "failed" for row in rows)


def calibration_sample(cases: Iterable[Case], seed: int) -> list[Case]:
    """Draw some cases of each language by hash: the same ones whatever the order of the prompts."""
    drawn = drawn_by_language(cases, lambda case: case.prompt, CALIBRATION_CASES, seed)
    return [case for of_language in drawn.values() for case in reversed(of_language)]


def key_of(case: Case) -> int:
    """Name a case by its prompt and candidates."""
    return case_key(case.prompt, case.candidates)


def answer_by_answer(cases: Iterable[Case]) -> Iterator[Case]:
    """Make each candidate a case by itself, for arbiters that look at one alone: its verdict stands when another teacher joins."""
    return (Case(case.prompt, (candidate,)) for case in cases for candidate in case.candidates)


def judged(arbiter: Arbiter, cases: Sequence[Case], who: str) -> Iterator[tuple[int, Sequence[Judged]]]:
    """Yield the place of each case with an arbiter's verdicts on its candidates. who: judges, for messages."""
    for place, (case, verdicts) in enumerate(zip(cases, checked_verdicts(arbiter, cases, who), strict=True)):
        yield place, [Judged(*pair) for pair in zip(case.candidates, verdicts, strict=True)]


def _statuses(work: Work) -> Counter[str]:
    """How many verdicts there are of each status."""
    import pyarrow.compute

    counts: Counter[str] = Counter()
    for verdicts in read_batches(work.out, _Status):  # whole columns: row by row it takes a twentieth of the step
        for counted in pyarrow.compute.value_counts(verdicts.column("status")).to_pylist():
            counts[counted["values"]] += counted["counts"]
    return counts


def _nothing_scored(work: Work, counts: Counter[str]) -> DataError:
    """Say why no answer was scored. The verdicts are forgotten: a judge that was out of reach is asked again next time."""
    reasons = Counter(row.verdict.reason for row in read_rows(work.out, Judged)).most_common(3)
    counted = "; ".join(f"{reason} ({count})" for reason, count in reasons)
    shutil.rmtree(work.out)
    return DataError(
        f"the arbiter scored none of {counts.total()} answers ({counts['abstained']} abstentions, {counts['failed']} "
        f"failures): {counted}"
    )


@dataclass(frozen=True, slots=True)
class _Status(Columns):
    """The status of a verdict alone."""

    status: str

    columns: ClassVar[Mapping[str, str]] = {"status": "string"}
