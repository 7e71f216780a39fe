from aya_same_script import SameScript, scripts

from aya_core.api import Case, Completion, user_prompt
from aya_core.testing import check_arbiter


def judge(prompt, *answers, **settings):
    candidates = tuple(Completion("p", "t", index, text) for index, text in enumerate(answers))
    (verdicts,) = SameScript(**settings).build().judge([Case(user_prompt("p", "und", prompt), candidates)])
    return verdicts


def test_it_keeps_the_rules_of_arbiters():
    check_arbiter(SameScript())
    check_arbiter(SameScript(minimum=0.5))


def test_answers_in_the_script_of_the_prompt_score_highest():
    scores = [verdict.score for verdict in judge("Πόσα;", "οκτώ", "oκτώ", "eight")]
    assert scores == [1.0, 0.75, 0.0]  # the second begins with a Latin o


def test_numbers_suit_every_script():
    assert judge("كم؟", "8")[0].score == 1.0


def test_a_prompt_without_letters_gets_abstentions():
    assert judge("1 + 1 = ?", "two")[0].status == "abstained"


def test_answers_below_the_minimum_are_not_eligible():
    assert [verdict.status for verdict in judge("Πόσα;", "οκτώ", "eight", minimum=0.5)] == ["scored", "abstained"]


def test_the_script_of_a_letter_is_the_first_word_of_its_name():
    assert scripts("aя中1 ") == ["LATIN", "CYRILLIC", "CJK"]
