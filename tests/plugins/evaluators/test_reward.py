"""The mean score of answers by any arbiter."""

import pytest

from aya_core.api import ArbiterStrategy, Completion, DataError, EvaluatedModel, Verdict, user_prompt
from aya_plugins.evaluators.reward import Reward

PROMPTS = [user_prompt(name, language, "?") for name, language in (("a", "en"), ("b", "tr"), ("c", "tr"))]
ANSWERS = [
    Completion("b", "m", 0, "four"), Completion("a", "m", 0, "one"), Completion("a", "m", 1, "three"), Completion("c", "m", 0, ""),
]  # fmt: skip


class Lengths(ArbiterStrategy):
    """Score by letters, on a scale taken from what it is calibrated on; refuse empty answers, fail on "one"."""

    only: str | None = None
    pointwise = False

    def build(self):
        return _Lengths(self.only)


class OneByOne(Lengths):
    """The same, of one candidate at a time."""

    pointwise = True


class _Lengths:
    sizes = ()
    scale = 0

    def __init__(self, only):
        self.only = only

    def calibrate(self, cases):
        self.scale = max(len(answer.text) for case in cases for answer in case.candidates)

    def judge(self, cases):
        self.sizes = [len(case.candidates) for case in cases]
        for case in cases:
            yield [self.verdict(answer.text) for answer in case.candidates]

    def verdict(self, text):
        if not text or self.only not in (None, text):
            return Verdict.abstain("empty")
        return Verdict.fail("one") if text == "one" else Verdict(len(text) / self.scale)


def scored(arbiter, answers=ANSWERS):
    built = arbiter.build()
    evaluated = EvaluatedModel("m", PROMPTS, answers, [], lambda pairs: [], arbiter=lambda strategy: built)
    rows = list(Reward(arbiter=arbiter).build().evaluate(evaluated))
    found = {}
    for row in rows:
        found.setdefault(row.metric, []).append((row.prompt_id, row.language, row.value))
    return found, built.sizes


def test_scores_are_those_of_the_arbiter_and_what_it_refuses_is_counted():
    found, sizes = scored(Lengths())
    assert found["reward"] == [("a", "en", 1.0), ("b", "tr", 0.8)]
    assert [value for *_, value in found["failed"]] == [1, 0, 0, 0]
    assert [value for *_, value in found["abstained"]] == [0, 0, 0, 1]
    assert sizes == [2, 1, 1]


def test_a_pointwise_arbiter_is_handed_one_answer_at_a_time():
    found, sizes = scored(OneByOne())
    assert found == scored(Lengths())[0]
    assert sizes == [1, 1, 1, 1]


def test_an_arbiter_that_scores_nothing_is_an_error_that_says_why():
    with pytest.raises(DataError, match=r"scored none of 4 answers \(one\)"):
        scored(Lengths(only="one"))
