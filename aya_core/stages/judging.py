"""Judging and picking: verdicts on all the candidates of a prompt, then the best answer and the pair."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from aya_core.artifacts import read_rows, stable_hash, write_rows
from aya_core.errors import DataError, PluginError
from aya_core.kinds import Arbiter
from aya_core.plan import Builder
from aya_core.recipe import Pick
from aya_core.records import Case, Completion, Demonstration, Judged, Preference, Prompt, Verdict
from aya_core.stages.routing import Route
from aya_core.stages.sampling import read_answers, share
from aya_core.stages.work import Work
from aya_core.strategies import Strategy

CHUNK_CASES = 2048
"""Cases handed to an arbiter at a time."""


def add(
    build: Builder, name: str, prompts: str, answers: Mapping[str, str], arbiter: Strategy[Any], pick: Pick, *,
    round: int = 0, part: tuple[int, int] | None = None, routes: str | None = None,
) -> tuple[str, str, str]:  # fmt: skip
    """Add the nodes that judge and pick; return the ids of verdicts, best answers and pairs."""
    inputs = {"prompts": prompts, **{f"answers.{teacher}": node for teacher, node in answers.items()}}
    if routes is not None:
        inputs["routes"] = routes
    settings: dict[str, Any] = {"teachers": list(answers), "part": part}
    verdicts = build.add(f"{name}.verdicts", "judge", "judged", settings, inputs, {"arbiter": ("arbiter", arbiter)})
    inputs = {"prompts": prompts, "verdicts": verdicts}
    picking = {**pick.model_dump(mode="json"), "round": round, "part": part}
    best = build.add(f"{name}.best", "pick-best", "demonstrations", {"part": part}, inputs)
    pairs = build.add(f"{name}.pairs", "pick-pairs", "preferences", picking, inputs)
    return verdicts, best, pairs


def judge(work: Work) -> Mapping[str, Any]:
    """Bring the candidates of each prompt together and write the arbiter's verdict on each."""
    arbiter = work.strategy("arbiter").build()
    cases = _cases(work)
    counts: Counter[str] = Counter()

    def judged() -> Iterator[Judged]:
        done = 0
        while chunk := list(islice(cases, CHUNK_CASES)):
            for case, verdicts in zip(chunk, _verdicts(arbiter, chunk), strict=True):
                for candidate, verdict in zip(case.candidates, verdicts, strict=True):
                    counts[verdict.status] += 1
                    yield Judged(candidate, verdict)
            done += len(chunk)
            work.log(done, 0, {"judged": float(sum(counts.values()))})

    write_rows(work.out, Judged, judged())
    if counts and not counts["scored"]:
        raise DataError(
            f"the arbiter scored none of {sum(counts.values())} answers ({counts['abstained']} abstentions, "
            f"{counts['failed']} failures); the reasons are in the column `reason` of {work.out}"
        )
    return dict(sorted(counts.items()))


def read_cases(work: Work) -> Iterator[tuple[Prompt, list[Judged]]]:
    """Stream prompts with the verdicts on their candidates, in the order of the prompts."""
    verdicts = _Lookahead(read_rows(work.inputs["verdicts"], Judged))
    for prompt in _prompts(work):
        yield prompt, verdicts.take(prompt.id, lambda judged: judged.completion.prompt_id)


def pick_best(work: Work) -> Mapping[str, Any]:
    """Keep the best-scored answer of each prompt, to be imitated."""
    dropped: Counter[str] = Counter()

    def best() -> Iterator[Demonstration]:
        for prompt, judged in read_cases(work):
            ranked = _ranked(prompt, judged)
            if not ranked:
                dropped["no scored answer"] += 1
                continue
            won = ranked[0]
            yield Demonstration(prompt, won.completion.text, won.completion.teacher, won.verdict.score)

    count = write_rows(work.out, Demonstration, best())
    return {"rows": count, "dropped": dict(sorted(dropped.items()))}


def pick_pairs(work: Work) -> Mapping[str, Any]:
    """Pair the best answer with a worse one; where that cannot be done, count the reason by language."""
    rule, min_margin, round = work.setting("rejected"), work.setting("min_margin"), work.setting("round")
    dropped: dict[str, Counter[str]] = defaultdict(Counter)

    def pairs() -> Iterator[Preference]:
        for prompt, judged in read_cases(work):
            ranked = _ranked(prompt, judged)
            pair = _pair(ranked, rule, min_margin, [work.node.seed, prompt.id])
            if isinstance(pair, str):
                dropped[pair][prompt.language] += 1
                continue
            chosen, rejected = pair
            yield Preference(
                prompt, chosen.completion.text, rejected.completion.text, chosen.completion.teacher,
                rejected.completion.teacher, chosen.verdict.score, rejected.verdict.score, round,
            )  # fmt: skip

    count = write_rows(work.out, Preference, pairs())
    return {"rows": count, "dropped": {reason: dict(sorted(by.items())) for reason, by in sorted(dropped.items())}}


def normalise(text: str) -> str:
    """What two answers are compared by: their words, whatever the white space."""
    return " ".join(text.split())


def _pair(ranked: Sequence[Judged], rule: str, min_margin: float, seed: Any) -> tuple[Judged, Judged] | str:
    if len(ranked) < 2:
        return "fewer than two scored answers"
    best = ranked[0]
    others = [other for other in ranked[1:] if normalise(other.completion.text) != normalise(best.completion.text)]
    if not others:
        return "all answers equal"
    worse = [other for other in others if _score(best) - _score(other) > min_margin]
    if not worse:
        return "margin too small"
    if rule == "worst":
        return best, worse[-1]
    if rule == "runner-up":
        return best, worse[0]
    return best, worse[int(stable_hash(seed)[:8], 16) % len(worse)]


def _ranked(prompt: Prompt, judged: Sequence[Judged]) -> list[Judged]:
    """The eligible candidates, best first; ties in an order that favours no teacher."""
    scored = [j for j in judged if j.verdict.status == "scored" and j.completion.text.strip()]
    return sorted(
        scored, key=lambda j: (-_score(j), stable_hash([prompt.id, j.completion.teacher, j.completion.index]))
    )


def _score(judged: Judged) -> float:
    if judged.verdict.score is None:
        raise DataError(f"the verdict on '{judged.completion.prompt_id}' is scored but has no score")
    return judged.verdict.score


def _verdicts(arbiter: Arbiter, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
    given = list(arbiter.judge(cases))
    if len(given) != len(cases):
        raise PluginError(
            f"the arbiter judged {len(given)} of {len(cases)} cases; expected verdicts for each, in order"
        )
    for case, verdicts in zip(cases, given, strict=True):
        if len(verdicts) != len(case.candidates):
            raise PluginError(
                f"the arbiter gave {len(verdicts)} verdicts on the {len(case.candidates)} candidates of '{case.prompt.id}'"
            )
        yield [_checked(verdict, case) for verdict in verdicts]


def _checked(verdict: Verdict, case: Case) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise PluginError(f"the arbiter gave {verdict!r} on '{case.prompt.id}'; expected a Verdict")
    if verdict.status == "scored" and (verdict.score is None or not math.isfinite(verdict.score)):
        return Verdict.fail(f"the score is {verdict.score}")
    return verdict


class _Lookahead:
    """Takes the run of rows that belong to one prompt from a stream that is in the order of the prompts."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self.rows = rows
        self.next = next(rows, None)

    def take(self, prompt_id: str, key: Any) -> list[Any]:
        taken = []
        while self.next is not None and key(self.next) == prompt_id:
            taken.append(self.next)
            self.next = next(self.rows, None)
        return taken


def _prompts(work: Work) -> Sequence[Prompt]:
    part = work.setting("part")
    return share(list(read_rows(work.inputs["prompts"], Prompt)), tuple(part) if part else None)


def _cases(work: Work) -> Iterator[Case]:
    teachers = work.setting("teachers")
    streams = {teacher: _Lookahead(read_answers(work.inputs[f"answers.{teacher}"])) for teacher in teachers}
    routes = read_rows(work.inputs["routes"], Route) if "routes" in work.inputs else None
    for prompt in _prompts(work):
        asked = next(routes).teachers if routes is not None else teachers
        candidates: list[Completion] = []
        for teacher, stream in streams.items():
            answers = stream.take(prompt.id, lambda completion: completion.prompt_id)
            if teacher in asked:
                candidates.extend(answers)
        if candidates:
            yield Case(prompt, tuple(candidates))
