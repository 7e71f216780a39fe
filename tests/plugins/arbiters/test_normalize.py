"""Laws of scores on one scale: order stays, margins become comparable, languages without a scale of their own fall back."""

import math
from statistics import fmean, pstdev

import pytest
from hypothesis import given, strategies as st

from aya_core.api import CalibratedArbiter, Case, Completion, DataError, PluginError, Verdict, user_prompt
from aya_plugins.arbiters.normalize import MIN_SCORES, ZNormalized


class Told:
    """Scores each answer by the number that it is; abstains where it is none."""

    def judge(self, cases):
        for case in cases:
            yield [Verdict(float(c.text)) if c.text else Verdict.abstain("no number") for c in case.candidates]


class Centered(Told):
    """Needs a sample itself."""

    mean = None

    def calibrate(self, cases):
        self.mean = fmean(float(candidate.text) for case in cases for candidate in case.candidates)

    def judge(self, cases):
        return [[Verdict(verdict.score - self.mean) for verdict in row] for row in super().judge(cases)]


def cases(language, *rows):
    prompts = [user_prompt(f"{language}-{n}", language, "?") for n in range(len(rows))]
    return [
        Case(prompt, tuple(Completion(prompt.id, "t", n, str(score)) for n, score in enumerate(row)))
        for prompt, row in zip(prompts, rows, strict=True)
    ]


def calibrated(sample, inner=None):
    arbiter = ZNormalized(inner or Told(), "told")
    arbiter.calibrate(sample)
    return arbiter


def scores(arbiter, asked):
    return [[verdict.score for verdict in verdicts] for verdicts in arbiter.judge(asked)]


thousandths = st.integers(-(10**6), 10**6).map(lambda number: number / 1000)
spread = st.lists(st.lists(thousandths, min_size=1, max_size=4), min_size=2, max_size=8).filter(
    lambda rows: pstdev([score for row in rows for score in row]) > 1
)


@given(spread)
def test_the_order_within_a_prompt_stays(rows):
    for raw, found in zip(rows, scores(calibrated(cases("en", *rows)), cases("en", *rows)), strict=True):
        assert [a < b for a in found for b in found] == [a < b for a in raw for b in raw]


@given(spread)
def test_the_sample_itself_has_mean_0_and_deviation_1(rows):
    found = [score for row in scores(calibrated(cases("en", *rows)), cases("en", *rows)) for score in row]
    assert fmean(found) == pytest.approx(0, abs=1e-9)
    assert pstdev(found) == pytest.approx(1)


def test_margins_of_a_stretched_and_shifted_language_become_those_of_the_other():
    rows = [[n % 7, n % 5] for n in range(MIN_SCORES)]
    english, turkish = cases("en", *rows), cases("tr", *([10 * a - 40, 10 * b - 40] for a, b in rows))
    arbiter = calibrated([*english, *turkish])
    for ours, theirs in zip(scores(arbiter, english), scores(arbiter, turkish), strict=True):
        assert ours == pytest.approx(theirs)


def test_a_language_with_few_scores_or_no_spread_takes_the_scale_of_all():
    many = cases("en", *([n] for n in range(MIN_SCORES)))
    few, flat = cases("tr", [100], [200]), cases("de", *([50] for _ in range(MIN_SCORES)))
    sample = [*many, *few, *flat]
    everything = [float(case.candidates[0].text) for case in sample]
    arbiter = calibrated(sample)
    for asked in (few, flat, cases("hi", [7.0])):  # a language that is not in the sample, too
        expected = (float(asked[0].candidates[0].text) - fmean(everything)) / pstdev(everything)
        assert scores(arbiter, asked)[0] == [pytest.approx(expected)]
    assert scores(arbiter, many)[0] != [pytest.approx((0 - fmean(everything)) / pstdev(everything))]


def test_the_raw_score_is_kept_and_what_has_no_score_stays_as_it_is():
    asked = cases("en", [1.0, ""], [3.0])
    [first, second] = calibrated(asked).judge(asked)
    assert [*first, *second] == [
        Verdict(-1.0, details={"raw": 1.0}), Verdict.abstain("no number"), Verdict(1.0, details={"raw": 3.0}),
    ]  # fmt: skip


def test_an_inner_arbiter_that_needs_a_sample_gets_it_first():
    asked = cases("en", [1.0], [3.0])
    arbiter = calibrated(asked, Centered())
    assert isinstance(arbiter, CalibratedArbiter)
    assert [verdict.details["raw"] for [verdict] in arbiter.judge(asked)] == [-1.0, 1.0]


def test_judging_without_a_scale_is_an_error():
    arbiter = ZNormalized(Told(), "told")
    assert list(arbiter.judge([])) == []
    with pytest.raises(PluginError, match=r"'told' has no scale to judge on: calibrate\(\) was not called"):
        list(arbiter.judge(cases("en", [1.0])))


@pytest.mark.parametrize("rows", [[[0.1, 0.1]] * 3, [[0.1, 0.1 + 1e-9]], [[""]]])
def test_a_sample_without_scores_or_spread_is_an_error(rows):
    with pytest.raises(DataError, match=r"arbiter 'told': .*(scores all . of them 0.1|scores none).*normalize: none"):
        calibrated(cases("en", *rows))


def test_what_an_arbiter_asks_of_another_is_checked():
    class Odd:
        def judge(self, cases):
            return [[Verdict(math.nan), Verdict(1.0), Verdict(2.0)]]

    asked = cases("en", [1.0, 2.0, 3.0])
    assert [v.status for v in next(calibrated(asked, Odd()).judge(asked))] == ["failed", "scored", "scored"]
    with pytest.raises(PluginError, match="'told' gave 3 verdicts on the 1 candidates of 'en-0'"):
        calibrated(cases("en", [1.0]), Odd())
    with pytest.raises(PluginError, match="'told' judged 1 of 2 cases"):
        calibrated(cases("en", [1.0, 2.0, 3.0], [1.0]), Odd())
