"""Laws of the evaluators that score answers: verifier, chrF++ and win rate."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import pytest
from pydantic import ValidationError
from sacrebleu.metrics import CHRF

from aya_core.api import (
    Arbiter,
    Case,
    Completion,
    DataError,
    PluginError,
    Prompt,
    RowScore,
    Strategy,
    Subject,
    Verdict,
    user_prompt,
)
from aya_plugins.arbiters.verifier import Verifier
from aya_plugins.evaluators.chrf import Chrf
from aya_plugins.evaluators.verifier import VerifierEvaluator
from aya_plugins.evaluators.win_rate import WinRate

PROMPTS = [user_prompt(f"p{n}", ("en", "tr")[n % 2], "?", str(n)) for n in range(40)]


class Length(Strategy[Arbiter]):
    """Prefer the longer answer."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(float(len(c.text))) for c in case.candidates])


class First(Strategy[Arbiter]):
    """Prefer the first answer, whatever it says."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(1.0), Verdict(0.0)])


class Refuses(Strategy[Arbiter]):
    """Fail on the second answer."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(1.0), Verdict.fail("no")])


class Stops(Strategy[Arbiter]):
    """Judge nothing."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [])


class _Judge:
    def __init__(self, judge: Any) -> None:
        self._judge = judge

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        return map(self._judge, cases)


def answers(texts: Iterable[str], prompts: Sequence[Prompt] = PROMPTS, index: int = 0) -> list[Completion]:
    return [Completion(p.id, "m", index, text) for p, text in zip(prompts, texts, strict=False)]


def subject(
    own: Sequence[Completion], rival: Sequence[Completion] = (), prompts: Sequence[Prompt] = PROMPTS
) -> Subject:
    return Subject("model", prompts, own, rival, lambda pairs: [])


def means(rows: Iterable[RowScore]) -> dict[str, float]:
    by_metric: dict[str, list[float]] = {}
    for row in rows:
        by_metric.setdefault(row.metric, []).append(row.value)
    return {metric: fmean(values) for metric, values in by_metric.items()}


def battle(own: Sequence[Completion], rival: Sequence[Completion], judge: Strategy[Arbiter]) -> dict[str, float]:
    return means(WinRate(against="rival", judge=judge).build().evaluate(subject(own, rival)))


def test_the_verifier_is_the_mean_of_the_checks():
    rows = list(VerifierEvaluator().build().evaluate(subject(answers(["0", "1", "x", "3"]))))
    assert means(rows) == {"verifier": 0.75, "unverified": 0.0}
    assert rows[0] == RowScore("p0", "en", "verifier", 1.0)
    assert rows[2] == RowScore("p1", "tr", "verifier", 1.0)


def test_answers_that_cannot_be_checked_are_counted_and_left_out_of_the_mean():
    prompts = [*PROMPTS[:2], user_prompt("p2", "en", "?"), user_prompt("p3", "en", "?", "(")]
    own = answers(["0", "x", "x", "x"], prompts)
    rows = VerifierEvaluator(check="regex").build().evaluate(subject(own, prompts=prompts))
    assert means(rows) == {"verifier": 0.5, "unverified": 0.5}


def test_chrf_is_the_mean_of_sacrebleus_sentences():
    prompts = [
        user_prompt("a", "en", "?", "the cat sat"),
        user_prompt("b", "zh", "?", "猫坐着"),
        user_prompt("c", "en", "?"),
    ]
    own = answers(["the cat sits", "猫", "whatever"], prompts)
    rows = list(Chrf().build().evaluate(subject(own, prompts=prompts)))
    metric = CHRF(word_order=2)
    assert rows == [
        RowScore("a", "en", "chrf", metric.sentence_score("the cat sits", ["the cat sat"]).score),
        RowScore("b", "zh", "chrf", metric.sentence_score("猫", ["猫坐着"]).score),
    ]
    assert str(metric.get_signature()) in Chrf().build().signature()["chrf"]


def test_chrf_without_any_reference_is_an_error():
    prompts = [user_prompt("a", "en", "?")]
    with pytest.raises(DataError, match="no prompt has a reference"):
        list(Chrf().build().evaluate(subject(answers(["x"], prompts), prompts=prompts)))


def test_win_loss_and_tie_are_shares_of_the_judged_battles():
    own = answers(["aaa", "a", "aa", "aa"])
    rival = answers(["aa", "aa", "aa", "a"])
    assert battle(own, rival, Length()) == {"win": 0.5, "loss": 0.25, "tie": 0.25, "unjudged": 0.0}


def test_a_win_is_the_rivals_loss():
    own, rival = answers(["a" * (n % 5) for n in range(40)]), answers(["a" * (n % 3) for n in range(40)])
    ours, theirs = battle(own, rival, Length()), battle(rival, own, Length())
    assert (ours["win"], ours["loss"], ours["tie"]) == (theirs["loss"], theirs["win"], theirs["tie"])


def test_a_model_against_itself_only_ties():
    own = answers(str(n) for n in range(40))
    assert battle(own, own, Length()) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": 0.0}


def test_a_judge_that_likes_the_first_place_favours_neither_side():
    prompts = [user_prompt(f"q{n}", "en", "?") for n in range(1000)]
    own = answers(["x"] * 1000, prompts)
    scores = WinRate(against="rival", judge=First()).build().evaluate(subject(own, own, prompts))
    assert means(scores)["win"] == pytest.approx(0.5, abs=0.06)  # 3.8 standard errors


def test_sample_meets_sample():
    own = [*answers(["aa", "a"]), *answers(["a", "aa"], index=1)]
    rival = [*answers(["aa", "a"]), *answers(["a", "aa"], index=1)][::-1]
    assert battle(own, rival, Length())["tie"] == 1


def test_battles_without_two_verdicts_are_unjudged_and_no_part_of_the_shares():
    own, rival = answers(["aa", "aa", "aa"]), answers(["a", "aaa"])
    assert battle(own, rival, Length()) == {
        "win": 0.5,
        "loss": 0.5,
        "tie": 0.0,
        "unjudged": pytest.approx(1 / 3),
    }
    assert battle(rival, own, Length())["unjudged"] == pytest.approx(1 / 3)
    assert battle(own, own, Refuses()) == {"unjudged": 1.0}
    assert battle(own, own, Verifier()) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": 0.0}


def test_a_judge_that_gives_too_few_verdicts_is_an_error():
    own = answers(["a"])
    with pytest.raises(PluginError, match="the judge of 'win-rate' gave 0 verdicts on the 2 candidates of 'p0'"):
        battle(own, own, Stops())


def test_signatures_name_what_moves_the_numbers():
    signature = WinRate(against="rival", judge=Verifier(check="number")).build().signature()
    assert signature["against"] == "rival"
    judge = 'Verifier {"by": null, "check": "number", "expression": null, "tolerance": 0.0}'
    assert signature["judge"] == judge
    assert VerifierEvaluator(check="number").build().signature()["check"] == "number"
    assert VerifierEvaluator(check="number").build().signature().keys() >= {"aya-core"}
    by_row = VerifierEvaluator(expression="number(answer, reference)", by="kind", tolerance=0.1).build().signature()
    assert [by_row[name] for name in ("check", "by", "tolerance")] == ["number(answer, reference)", "kind", "0.1"]


def test_the_evaluator_takes_every_kind_of_check():
    prompts = [user_prompt(f"p{n}", "en", "?", "3 km", {"kind": ("unit", "exact")[n % 2]}) for n in range(4)]
    own = answers(["3000 m"] * 4, prompts)
    for options, mean in [
        ({"check": "unit"}, 1),
        ({"check": "number", "tolerance": 0.5}, 0),
        ({"expression": "unit(answer, reference) and answer.endswith(' m')"}, 1),
        ({"by": "kind"}, 0.5),
    ]:
        rows = VerifierEvaluator(**options).build().evaluate(subject(own, prompts=prompts))
        assert means(rows) == {"verifier": mean, "unverified": 0}


def test_checks_that_do_not_exist_are_refused():
    with pytest.raises(ValidationError, match="no check named 'nmber'; did you mean 'number'"):
        VerifierEvaluator(check="nmber")
