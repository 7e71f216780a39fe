"""Pairwise judging: both orders of every two answers, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from aya_core.api import Case, Completion, Prompt, Verdict, stable_hash
from aya_plugins.arbiters.judge_asking import Reply
from aya_plugins.arbiters.judge_prompts import Wording
from aya_plugins.arbiters.judge_replies import Place, read_preference

COUNTS = (
    "comparisons", "ties", "order_disagreements", "first_position_wins", "second_position_wins", "failed_comparisons",
    "unparsable",
)  # fmt: skip
"""The details of a verdict.

| count | of |
|---|---|
| comparisons | opponents against whom the answer won, lost or tied |
| ties | those that counted half: the judge saw no difference, the orders disagreed, or the texts were equal |
| order_disagreements | those in which the two orders gave two verdicts |
| first_position_wins, second_position_wins | verdicts, two a comparison, for the answer shown first, or second, whichever \
it was; a judge without a liking for a place has as many of one as of the other |
| failed_comparisons | opponents against whom no verdict could be read in at least one order |
| unparsable | replies that could not be read, those to a question asked again included |
"""

_POINTS: Mapping[Place, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}
_TURNED: Mapping[Place, Place] = {"first": "second", "tie": "tie", "second": "first"}


@dataclass(frozen=True)
class Comparison:
    """Two answers compared: points of the one named first, or None where a verdict is lacking, and what happened."""

    points: float | None
    counts: Mapping[str, int]
    problem: str = ""


@dataclass(frozen=True)
class Pairwise:
    """See `Judge`. Satisfies `Way`."""

    wording: Wording
    opponents: int | None

    def questions(self, case: Case) -> Iterator[Prompt]:
        """Ask about every two answers that meet, in both orders, unless they are equal."""
        for one, two in self._meetings(case):
            texts = case.candidates[one].text, case.candidates[two].text
            if not _equal(*texts):
                for first, second in permutations(texts):
                    asked = self.wording.compare(case.prompt, first, second)
                    yield Prompt(
                        _id(case.prompt, first, second), case.prompt.language, ({"role": "user", "content": asked},)
                    )

    def read(self, reply: str) -> Place:
        """Read which place the judge prefers."""
        return read_preference(reply)

    def verdicts(self, case: Case, replies: Mapping[str, Reply[Place]]) -> Sequence[Verdict]:
        """Give each answer the mean of its comparisons."""
        points: list[list[float]] = [[] for _ in case.candidates]
        counts = [Counter(dict.fromkeys(COUNTS, 0)) for _ in case.candidates]
        problems = [""] * len(case.candidates)
        for one, two in self._meetings(case):
            found = compare(case.prompt, case.candidates[one].text, case.candidates[two].text, replies)
            for place in (one, two):
                counts[place].update(found.counts)
                problems[place] = found.problem or problems[place]
            if found.points is not None:
                points[one].append(found.points)
                points[two].append(1 - found.points)
        return [
            _verdict(candidate.text, won, details, problem)
            for candidate, won, details, problem in zip(case.candidates, points, counts, problems, strict=True)
        ]

    def _meetings(self, case: Case) -> Iterator[tuple[int, int]]:
        places = [place for place, candidate in enumerate(case.candidates) if candidate.text.strip()]
        for one, two in meetings([case.candidates[place] for place in places], self.opponents):
            yield places[one], places[two]


def compare(prompt: Prompt, one: str, two: str, replies: Mapping[str, Reply[Place]]) -> Comparison:
    """Bring the verdicts in both orders together."""
    if _equal(one, two):
        return Comparison(0.5, {"comparisons": 1, "ties": 1})
    forwards, backwards = replies[_id(prompt, one, two)], replies[_id(prompt, two, one)]
    counts = {"unparsable": forwards.unparsable + backwards.unparsable}
    if forwards.read is None or backwards.read is None:
        return Comparison(None, {**counts, "failed_comparisons": 1}, forwards.problem or backwards.problem)
    shown = (forwards.read, backwards.read)
    agree = forwards.read == _TURNED[backwards.read]
    points = _POINTS[forwards.read] if agree else 0.5
    return Comparison(
        points,
        {
            **counts,
            "comparisons": 1,
            "ties": int(points == 0.5),
            "order_disagreements": int(not agree),
            "first_position_wins": shown.count("first"),
            "second_position_wins": shown.count("second"),
        },
    )


def _verdict(text: str, points: Sequence[float], counts: Mapping[str, int], problem: str) -> Verdict:
    details = {name: float(count) for name, count in counts.items()}
    if not text.strip():
        return Verdict.abstain("the answer is empty")
    if points:
        return Verdict(sum(points) / len(points), details=details)
    if problem:
        return Verdict.fail(f"no comparison stands: {problem}", details)
    return Verdict.abstain("there is no other answer to compare with")


def _equal(one: str, two: str) -> bool:
    return one.split() == two.split()


def _id(prompt: Prompt, first: str, second: str) -> str:
    return f"{prompt.id}/{stable_hash([first, second])[:16]}"


def meetings(candidates: Sequence[Completion], opponents: int | None) -> Iterator[tuple[int, int]]:
    """Yield the places of every two candidates that meet, the earlier place first.

    opponents: how many others each meets at the most; None for all. Then only so many rounds of a round-robin
    tournament are played: in each, all meet someone (but for one, another one each time, where their number is odd). Who sits
    where at its table is drawn by a hash of each candidate, so that it does not depend on the order they come in.
    """
    count = len(candidates)
    if opponents is None or opponents >= count - 1:
        yield from ((one, two) for two in range(count) for one in range(two))
        return
    seats = sorted(range(count), key=lambda place: _lot(candidates[place]))
    circle = count - 1 + count % 2  # an odd number gets an empty seat in the middle
    for round in range(opponents):
        pairs = [(round, circle)] + [((round + k) % circle, (round - k) % circle) for k in range(1, circle // 2 + 1)]
        for one, two in pairs:
            if two < count and one < count:
                yield tuple(sorted((seats[one], seats[two])))  # type: ignore[misc]  # it is a pair


def _lot(candidate: Completion) -> str:
    return stable_hash([candidate.prompt_id, candidate.teacher, candidate.index, candidate.text])
