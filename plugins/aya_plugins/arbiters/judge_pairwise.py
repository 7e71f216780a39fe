"""Pairwise judging: both orders of every two answers, or one that is drawn, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
| first_position_wins, second_position_wins | verdicts, one for each order shown, for the answer shown first, or second, whichever \
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
    """See `Judge`. Satisfies `Way`. order_seed: draws the one order of every two answers; None shows both."""

    wording: Wording
    opponents: int | None
    order_seed: int | None = None

    def questions(self, case: Case) -> Iterator[Prompt]:
        """Ask about every two answers that meet, unless they are equal."""
        for one, two in self._meetings(case):
            texts = case.candidates[one].text, case.candidates[two].text
            if not _equal(*texts):
                for first, second in self._orders(case.prompt, *texts):
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
            texts = case.candidates[one].text, case.candidates[two].text
            found = compare(case.prompt, *texts, self._orders(case.prompt, *texts), replies)
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

    def _orders(self, prompt: Prompt, one: str, two: str) -> Sequence[tuple[str, str]]:
        """The orders in which two answers are shown: whichever of them is named first."""
        if self.order_seed is None:
            return (one, two), (two, one)
        return (drawn_order(self.order_seed, prompt.id, one, two),)

    def _meetings(self, case: Case) -> Iterator[tuple[int, int]]:
        places = [place for place, candidate in enumerate(case.candidates) if candidate.text.strip()]
        for one, two in meetings([case.candidates[place] for place in places], self.opponents):
            yield places[one], places[two]


def compare(
    prompt: Prompt, one: str, two: str, orders: Sequence[tuple[str, str]], replies: Mapping[str, Reply[Place]]
) -> Comparison:
    """Bring the verdicts in all orders shown together: where they disagree it is a tie."""
    if _equal(one, two):
        return Comparison(0.5, {"comparisons": 1, "ties": 1})
    found = [replies[_id(prompt, *order)] for order in orders]
    counts = {"unparsable": sum(reply.unparsable for reply in found)}
    read = [reply.read for reply in found]
    if None in read:
        problem = next(reply.problem for reply in found if reply.problem)
        return Comparison(None, {**counts, "failed_comparisons": 1}, problem)
    shown = [place for place in read if place is not None]
    won = {_POINTS[place if first == one else _TURNED[place]] for place, (first, _) in zip(shown, orders, strict=True)}
    points = next(iter(won)) if len(won) == 1 else 0.5
    return Comparison(
        points,
        {
            **counts,
            "comparisons": 1,
            "ties": int(points == 0.5),
            "order_disagreements": int(len(won) > 1),
            "first_position_wins": shown.count("first"),
            "second_position_wins": shown.count("second"),
        },
    )


def drawn_order(seed: int, prompt: str, one: str, two: str) -> tuple[str, str]:
    """Draw the order of two answers to a prompt by hash: each first in half of all cases, and the same order each time."""
    first, second = sorted((one, two))
    return (first, second) if int(stable_hash([seed, prompt, first, second])[:8], 16) % 2 else (second, first)


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
