"""What guards measure, and the limits on it: laws, and values worked by hand."""

import math

import pytest
from hypothesis import given, strategies as st

from aya_core.contract.artifacts import read_rows, write_rows
from aya_core.contract.kinds import LogLikelihood
from aya_core.contract.records import Completion, Prompt, Verdict, user_prompt
from aya_core.planning.plan import Node
from aya_core.planning.registry import Registry
from aya_core.running.work import Work
from aya_recipe.online import guarding
from aya_recipe.online.guard_measures import OVERALL, Answer, broken, distinct, is_mismatch, measures, why
from aya_recipe.online.guards import Limits

TEXTS = st.lists(st.text(alphabet="ab 漢字", max_size=12), max_size=5)


def answer(text, language="en", id="1", verdict=None, model=None, start=None, tokens=2):
    prompt = user_prompt(f"{language}/{id}", language, "?")
    completion = Completion(prompt.id, "policy", 0, text, 3, tokens)
    return Answer(prompt, completion, verdict, model and LogLikelihood(*model), start and LogLikelihood(*start))


def value(measured, metric, language=None):
    return (measured["languages"][language] if language else measured["overall"])[metric]["value"]


def test_distinct_n_worked_by_hand():
    assert distinct(["the cat the cat", "the dog"], 1) == 3 / 6
    assert distinct(["the cat the cat", "the dog"], 2) == 3 / 4  # the cat, cat the, the dog
    assert distinct(["the dog"], 3) is None
    assert (
        distinct(["我我是", "ไก่ a"], 1) == 6 / 7
    )  # characters of scripts without spaces, marks too: 我 我 是, ไ ก ่, a
    assert distinct(["ok好ok"], 1) == 2 / 3


@given(TEXTS, st.integers(1, 4))
def test_distinct_n_is_a_share_that_repetition_lowers_and_order_leaves_alone(texts, n):
    found = distinct(texts, n)
    if found is None:
        assert distinct(texts * 2, n) is None
        return
    assert 0 < found <= 1
    assert distinct(texts[::-1], n) == found
    assert distinct(texts * 2, n) == pytest.approx(found / 2)


def test_kl_is_by_token_over_all_tokens_and_by_answer_over_answers():
    answers = [
        answer("a", id="1", model=(-1.0, 2), start=(-3.0, 2)),  # 2 nats in 2 tokens
        answer("b", id="2", model=(-5.0, 8), start=(-6.0, 8)),  # 1 nat in 8 tokens
    ]
    assert value(measures(answers), "KL, nats per token") == pytest.approx(3 / 10)
    assert value(measures(answers), "KL, nats per answer") == pytest.approx(3 / 2)


def test_answers_that_a_model_cannot_read_whole_have_no_kl_and_spoil_none():
    read = answer("a", id="1", model=(-1.0, 2), start=(-3.0, 2))
    cut = answer("b", id="2", model=(math.nan, 8), start=(-6.0, 8))
    assert measures([read, cut])["overall"]["KL, nats per token"] == measures([read])["overall"]["KL, nats per token"]
    assert "KL, nats per token" not in measures([cut])["overall"]


def test_languages_count_alike_whatever_their_number_of_answers():
    answers = [answer("aaaa", "en", str(n)) for n in range(9)] + [answer(" 漢漢 ", "zh")]
    measured = measures(answers)
    assert value(measured, "characters", "en") == 4
    assert value(measured, "characters", "zh") == 2
    assert value(measured, "characters") == 3
    assert measured["overall"]["characters"]["n"] == 10
    assert value(measured, "distinct-1") == (1 / 9 + 1 / 2) / 2


def test_tokens_that_a_teacher_does_not_count_are_not_taken_for_none():
    assert "tokens" not in measures([answer("a", tokens=0)])["overall"]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict(0.9, details={"wrong_language": 0.0, "undetermined": 0.0}), False),
        (Verdict.abstain("in German", {"wrong_language": 1.0}), True),
        (Verdict.abstain("in Cyrillic", {"wrong_script": 1.0}), True),
        (Verdict(1.0, details={"undetermined": 1.0}), None),
        (Verdict.abstain("too little text", {"undetermined": 1.0}), None),
        (Verdict.abstain("no idea"), None),
        (Verdict.fail("no answer"), None),
        (Verdict(1.0), False),
        (Verdict(0.2), True),
    ],
)
def test_what_a_verdict_says_of_the_language(verdict, expected):
    assert is_mismatch(verdict) is expected


def test_what_cannot_be_told_is_counted_apart():
    verdicts = [Verdict(1.0), Verdict(0.0), Verdict.abstain("no idea"), Verdict.abstain("no idea")]
    measured = measures([answer("a", id=str(n), verdict=verdict) for n, verdict in enumerate(verdicts)])
    assert value(measured, "mismatch") == 0.5
    assert value(measured, "undetermined") == 0.5
    assert measured["overall"]["mismatch"]["n"] == 2
    assert "mismatch" not in measures([answer("a", verdict=verdicts[2])])["overall"]
    assert "mismatch" not in measures([answer("a")])["overall"]


def length(en, zh):
    return measures([answer("a" * en, "en"), answer("漢" * zh, "zh")])


def test_length_is_the_mean_of_the_ratios_not_the_ratio_of_the_means():
    before, after = length(100, 10), length(100, 30)
    (crossed,) = broken(Limits(length=(0.5, 1.9)), before, after)
    assert (crossed.where, crossed.value, crossed.limit) == (OVERALL, 2.0, 1.9)
    assert not broken(Limits(length=(0.5, 2.0)), before, after)
    (shrunk,) = broken(Limits(length=(0.7, 9.0)), after, before)
    assert shrunk.value == pytest.approx(2 / 3)


def test_each_language_is_held_to_the_limits_only_where_that_is_asked():
    before, after = length(10, 10), length(10, 18)
    assert not broken(Limits(length=(0.5, 1.5)), before, after)
    (crossed,) = broken(Limits(length=(0.5, 1.5), each_language=True), before, after)
    assert (crossed.where, crossed.value) == ("zh", 1.8)
    assert why([crossed]) == "characters over that of the start 1.800 (zh), above 1.5"


def test_a_language_without_a_value_before_is_left_out():
    before, after = length(0, 10), length(50, 10)
    assert not broken(Limits(length=(0.5, 1.5), each_language=True), before, after)
    assert not broken(Limits(mismatch=0.1, distinct=0.9, kl=0.1), measures([]), measures([]))


def test_only_a_rise_of_mismatch_breaks_its_limit():
    right, wrong = (measures([answer("a", verdict=Verdict(score))]) for score in (1.0, 0.0))
    assert broken(Limits(mismatch=0.5), right, wrong)[0].guard == "mismatch rise"
    assert not broken(Limits(mismatch=1.0), right, wrong)
    assert not broken(Limits(mismatch=0.1), wrong, right)
    assert not broken(Limits(mismatch=0.1), wrong, wrong)


LIMITS = st.builds(
    Limits, kl=st.none() | st.floats(0.01, 2), mismatch=st.none() | st.floats(0.01, 1), distinct=st.none() | st.floats(0.01, 1),
    length=st.none() | st.tuples(st.floats(0, 0.9), st.floats(1, 3)), each_language=st.booleans(),
)  # fmt: skip
TOLD = st.sampled_from([None, Verdict(1.0), Verdict(0.0), Verdict.abstain("no idea")])
NATS = st.tuples(st.floats(-50, -0.1), st.just(5))
ANSWERS = st.lists(
    st.builds(answer, st.sampled_from(["", "a b", "a a a a a"]), st.sampled_from(["en", "zh"]), verdict=TOLD, model=NATS, start=NATS),
    min_size=1,
)  # fmt: skip


@given(LIMITS, ANSWERS, ANSWERS)
def test_no_limit_breaks_without_being_set_and_wider_limits_break_no_more(limits, before, after):
    before, after = measures(before), measures(after)
    assert not broken(Limits(), before, after)
    crossed = broken(limits, before, after)
    assert all(one.value < one.limit or one.value > one.limit for one in crossed)
    if not limits.each_language:
        assert {one.where for one in crossed} <= {OVERALL}
    wider = limits.model_copy(
        update={
            "kl": limits.kl and 2 * limits.kl,
            "mismatch": limits.mismatch and 2 * limits.mismatch,
            "distinct": limits.distinct and limits.distinct / 2,
            "length": limits.length and (limits.length[0] / 2, limits.length[1] * 2),
        }
    )
    wide = {(one.guard, one.where) for one in broken(wider, before, after)}
    assert wide <= {(one.guard, one.where) for one in crossed}


@given(ANSWERS)
def test_nothing_changes_where_nothing_changed(answers):
    measured = measures(answers)
    assert not broken(Limits(length=(1.0, 1.0 + 1e-9), mismatch=1e-9, distinct=1.0), measured, measured)


def test_prompts_are_drawn_by_hash_whatever_their_order_and_fewer_are_some_of_more(tmp_path):
    prompts = [user_prompt(f"{language}/{n}", language, "?") for language in ("en", "zh") for n in range(40)]
    prompts.append(user_prompt("fr/0", "fr", "?"))

    def drawn(rows, most, where):
        folder = tmp_path / where
        (folder / "payload").mkdir(parents=True)
        (folder / "prompts").mkdir()
        write_rows(folder / "prompts", Prompt, rows)
        node = Node("n", "s", "draw-prompts", "prompts", {"per_language": most}, {}, {}, {}, 7)
        work = Work(node, Registry(), {"prompts": folder / "prompts"}, folder, lambda *replied: None)
        assert guarding.draw(work) == {"rows": min(most, 40) * 2 + 1}
        return [row.id for row in read_rows(folder / "payload", Prompt)]

    few = drawn(prompts, 5, "few")
    assert drawn(prompts[::-1], 5, "backwards") == few
    assert set(few) < set(drawn(prompts, 9, "more"))
    assert set(drawn(prompts, 50, "all")) == {prompt.id for prompt in prompts}
    assert few != [prompt.id for prompt in prompts if int(prompt.id.split("/")[1]) < 5]
