"""Laws of the evaluators that score answers: verifier, chrF++ and win rate."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import pytest
from pydantic import ValidationError
from sacrebleu.metrics import CHRF

from aya_core.api import (
    Arbiter,
    ArbiterStrategy,
    Case,
    Completion,
    DataError,
    EvaluatedModel,
    Field,
    PluginError,
    Prompt,
    RowScore,
    Verdict,
    user_prompt,
)
from aya_plugins.arbiters.verifier import Verifier
from aya_plugins.evaluators.chrf import Chrf
from aya_plugins.evaluators.verifier import VerifierEvaluator
from aya_plugins.evaluators.win_rate import WinRate

PROMPTS = [user_prompt(f"p{n}", ("en", "tr")[n % 2], "?", str(n)) for n in range(40)]


class Length(ArbiterStrategy):
    """Prefer the longer answer."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(float(len(c.text))) for c in case.candidates])


class First(ArbiterStrategy):
    """Prefer the first answer, whatever it says."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(1.0), Verdict(0.0)])


class Refuses(ArbiterStrategy):
    """Fail on the second answer."""

    def build(self) -> Arbiter:
        return _Judge(lambda case: [Verdict(1.0), Verdict.fail("no")])


class Alone(ArbiterStrategy):
    """Score each answer by its length."""

    pointwise = True
    seen: Any = Field(description="Where cases are written down.")

    def build(self) -> Arbiter:
        return _Judge(lambda case: self.seen.append(case) or [Verdict(float(len(c.text))) for c in case.candidates])


class Stops(ArbiterStrategy):
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


def evaluated(
    own: Sequence[Completion], rival: Sequence[Completion] = (), prompts: Sequence[Prompt] = PROMPTS
) -> EvaluatedModel:
    return EvaluatedModel("model", prompts, own, rival, lambda pairs: [])


def means(rows: Iterable[RowScore]) -> dict[str, float]:
    by_metric: dict[str, list[float]] = {}
    for row in rows:
        by_metric.setdefault(row.metric, []).append(row.value)
    return {metric: fmean(values) for metric, values in by_metric.items()}


def battle(own: Sequence[Completion], rival: Sequence[Completion], judge: ArbiterStrategy) -> dict[str, float]:
    return means(WinRate(against="rival", judge=judge).build().evaluate(evaluated(own, rival)))


def shares(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name in ("win", "loss", "tie", "unjudged")}


def test_the_verifier_is_the_mean_of_the_checks():
    rows = list(VerifierEvaluator().build().evaluate(evaluated(answers(["0", "1", "x", "3"]))))
    assert means(rows) == {"verifier": 0.75, "unverified": 0.0}
    assert rows[0] == RowScore("p0", "en", "verifier", 1.0)
    assert rows[2] == RowScore("p1", "tr", "verifier", 1.0)


def test_answers_that_cannot_be_checked_are_counted_and_left_out_of_the_mean():
    prompts = [*PROMPTS[:2], user_prompt("p2", "en", "?"), user_prompt("p3", "en", "?", "(")]
    own = answers(["0", "x", "x", "x"], prompts)
    rows = VerifierEvaluator(check="regex").build().evaluate(evaluated(own, prompts=prompts))
    assert means(rows) == {"verifier": 0.5, "unverified": 0.5}


def test_chrf_is_the_mean_of_sacrebleus_sentences():
    prompts = [
        user_prompt("a", "en", "?", "the cat sat"),
        user_prompt("b", "zh", "?", "猫坐着"),
        user_prompt("c", "en", "?"),
    ]
    own = answers(["the cat sits", "猫", "whatever"], prompts)
    rows = list(Chrf().build().evaluate(evaluated(own, prompts=prompts)))
    metric = CHRF(word_order=2)
    assert rows == [
        RowScore("a", "en", "chrf", metric.sentence_score("the cat sits", ["the cat sat"]).score),
        RowScore("b", "zh", "chrf", metric.sentence_score("猫", ["猫坐着"]).score),
    ]
    assert str(metric.get_signature()) in Chrf().build().signature()["chrf"]


def test_chrf_without_any_reference_is_an_error():
    prompts = [user_prompt("a", "en", "?")]
    with pytest.raises(DataError, match="no prompt has a reference"):
        list(Chrf().build().evaluate(evaluated(answers(["x"], prompts), prompts=prompts)))


def test_win_loss_and_tie_are_shares_of_the_judged_battles():
    own = answers(["aaa", "a", "aa", "aa"])
    rival = answers(["aa", "aa", "aa", "a"])
    assert shares(battle(own, rival, Length())) == {"win": 0.5, "loss": 0.25, "tie": 0.25, "unjudged": 0.0}


def test_a_win_is_the_rivals_loss():
    own, rival = answers(["a" * (n % 5) for n in range(40)]), answers(["a" * (n % 3) for n in range(40)])
    ours, theirs = battle(own, rival, Length()), battle(rival, own, Length())
    assert (ours["win"], ours["loss"], ours["tie"]) == (theirs["loss"], theirs["win"], theirs["tie"])


def test_a_model_against_itself_only_ties():
    own = answers(str(n) for n in range(40))
    assert shares(battle(own, own, Length())) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": 0.0}


def test_a_judge_that_likes_the_first_place_only_ties():
    found = battle(answers(["x"] * 4), answers(["y", "x", "y", "y"]), First())
    assert shares(found) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": 0.0}
    assert found["order_disagreement"] == 0.75  # equal answers are not shown
    assert found["first_position"] == 1.0


def test_a_judge_without_a_liking_for_a_place_has_no_position_bias():
    found = battle(answers(["aa", "a", "aa", "aa"]), answers(["a", "aa", "bb", "aa"]), Length())
    assert (found["first_position"], found["order_disagreement"]) == (0.5, 0.0)


def test_a_drawn_order_shows_a_battle_once_and_a_liking_for_a_place_is_fair_on_average():
    prompts = [user_prompt(f"p{n}", "en", "?") for n in range(1000)]
    own, rival = (answers([name] * 1000, prompts) for name in ("x", "y"))

    def fought(
        judge: ArbiterStrategy, ours: Sequence[Completion], theirs: Sequence[Completion], **more: Any
    ) -> dict[str, float]:
        evaluator = WinRate(against="rival", judge=judge, orders="drawn", **more).build()
        return means(evaluator.evaluate(evaluated(ours, theirs, prompts)))

    found = fought(First(), own, rival)
    assert abs(found["win"] - 0.5) < 0.05
    assert found["win"] + found["loss"] + found["tie"] == 1
    assert (found["tie"], found["first_position"], "order_disagreement" in found) == (0, 1.0, False)
    assert fought(First(), rival, own)["win"] == found["loss"]
    assert fought(First(), own, rival, order_seed=1)["win"] != found["win"]
    assert fought(Length(), answers(["xx"] * 1000, prompts), rival)["win"] == 1
    with pytest.raises(DataError, match=r"none of 1000 battles has a result: no \(1000 times\)"):
        fought(Refuses(), own, rival)


def test_orders_are_refused_where_none_are_shown():
    with pytest.raises(ValidationError, match="orders changes nothing"):
        WinRate(against="rival", judge=Alone(seen=[]), orders="drawn")
    with pytest.raises(ValidationError, match="order_seed draws"):
        WinRate(against="rival", judge=First(), order_seed=1)


def test_an_arbiter_that_scores_alone_is_shown_no_order():
    judged = []
    scores = list(WinRate(against="rival", judge=Alone(seen=judged)).build().evaluate(
        evaluated(answers(["aa", "a"]), answers(["a", "aaa"]))
    ))  # fmt: skip
    assert shares(means(scores)) == {"win": 0.5, "loss": 0.5, "tie": 0.0, "unjudged": 0.0}
    assert not {"order_disagreement", "first_position"} & means(scores).keys()
    assert len(judged) == 2


def test_an_empty_answer_loses_unasked_and_is_counted():
    own, rival = answers(["", " ", "a"]), answers(["a", "", "\n"])
    found = battle(own, rival, Refuses())
    assert shares(found) == {
        "win": pytest.approx(1 / 3),
        "loss": pytest.approx(1 / 3),
        "tie": pytest.approx(1 / 3),
        "unjudged": 0.0,
    }
    assert (found["empty"], found["failed"]) == (pytest.approx(2 / 3), 0.0)


def test_lengths_are_compared():
    rows = list(
        WinRate(against="rival", judge=Length()).build().evaluate(evaluated(answers(["aaa", "a"]), answers(["a", ""])))
    )
    found = means(rows)
    assert (found["length"], found["length_difference"]) == (2.0, 1.5)
    assert [(row.value, row.weight) for row in rows if row.metric == "length_ratio"] == [(3.0, 1.0)]


def test_who_answered_is_hidden_from_the_judge():
    seen = []
    list(WinRate(against="rival", judge=Alone(seen=seen)).build().evaluate(evaluated(answers(["aa"]), answers(["a"]))))
    assert {candidate.teacher for case in seen for candidate in case.candidates} == {""}


def test_sample_meets_sample():
    own = [*answers(["aa", "a"]), *answers(["a", "aa"], index=1)]
    rival = [*answers(["aa", "a"]), *answers(["a", "aa"], index=1)][::-1]
    assert battle(own, rival, Length())["tie"] == 1


def test_battles_without_two_verdicts_are_unjudged_and_no_part_of_the_shares():
    own, rival = answers(["aa", "aa", "aa"]), answers(["a", "aaa"])
    third = pytest.approx(1 / 3)
    assert shares(battle(own, rival, Length())) == {"win": 0.5, "loss": 0.5, "tie": 0.0, "unjudged": third}
    assert battle(rival, own, Length())["unjudged"] == pytest.approx(1 / 3)
    refused = battle(answers(["aa", "aa", "same"]), answers(["a", "aaa", "same"]), Refuses())
    assert shares(refused) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": pytest.approx(2 / 3)}
    assert refused["failed"] == pytest.approx(2 / 3)
    assert shares(battle(own, own, Verifier())) == {"win": 0.0, "loss": 0.0, "tie": 1.0, "unjudged": 0.0}


@pytest.mark.parametrize(
    ("own", "rival", "message"),
    [
        (["a!", "b!"], ["b", "a"], r"none of 2 battles has a result: no \(4 times\)"),
        (["a", "b!"], ["c"], r"none of 2 battles has a result: no \(2 times\); no answer of one side \(1 times\)"),
        ([], [], "none of 0 battles has a result: nobody has answered"),
    ],
)
def test_where_no_battle_has_a_result_the_judges_reasons_are_an_error(own, rival, message):
    with pytest.raises(DataError, match=message):
        battle(answers(own), answers(rival), Refuses())


def test_a_judge_that_gives_too_few_verdicts_is_an_error():
    with pytest.raises(PluginError, match="the judge of 'win-rate' gave 0 verdicts on the 2 candidates of 'p0'"):
        battle(answers(["a"]), answers(["b"]), Stops())


def test_signatures_name_what_moves_the_numbers():
    signature = WinRate(against="rival", judge=Verifier(check="number")).build().signature()
    assert (signature["against"], signature["orders"]) == ("rival", "none")
    assert WinRate(against="rival", judge=Length()).build().signature()["orders"] == "both"
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
        rows = VerifierEvaluator(**options).build().evaluate(evaluated(own, prompts=prompts))
        assert means(rows) == {"verifier": mean, "unverified": 0}


def test_checks_that_do_not_exist_are_refused():
    with pytest.raises(ValidationError, match="no check named 'nmber'; did you mean 'number'"):
        VerifierEvaluator(check="nmber")
