"""Reasoning and answer are taken apart, whatever marks a model writes, and an answer without marks stays as it is."""

import pytest
from hypothesis import given, strategies as st

from aya_plugins.answers.reasoning import PAIRS, apart, ends_open

BOTH = [*PAIRS]


@pytest.mark.parametrize(("opening", "closing"), BOTH)
def test_a_block_at_the_beginning_is_reasoning(opening, closing):
    assert apart(f"{opening}\nhm, 4?\n{closing}\n\nFour.") == ("hm, 4?", "Four.", False)
    assert apart(f"\n{opening}{closing}Four.") == ("", "Four.", False)


@pytest.mark.parametrize(("opening", "closing"), BOTH)
def test_a_block_that_does_not_end_is_an_answer_that_was_cut(opening, closing):
    assert apart(f"{opening}\nhm, 4") == ("hm, 4", "", True)


@pytest.mark.parametrize(("opening", "closing"), BOTH)
def test_an_opening_mark_in_the_prompt_leaves_the_closing_one(opening, closing):
    assert apart(f"hm, 4?\n{closing}\n\nFour.") == ("hm, 4?", "Four.", False)
    assert apart(f"hm, 4?{closing} Four.", is_open=True) == ("hm, 4?", "Four.", False)
    assert apart("hm, 4", is_open=True) == ("hm, 4", "", True)
    assert ends_open(f"<|user|>2+2?<|assistant|>{opening}\n")
    assert not ends_open(f"<|assistant|>{opening}\n\n{closing}\n\n")


@pytest.mark.parametrize(
    "answer",
    ["Four.", "", "  four ", "Write `<think>` first and `</think>` last.", "The tag <think> opens it, </think> closes it.", "a < b [1]",
     "x <|channel|> y"],
)  # fmt: skip
def test_an_answer_that_is_none_of_it_stays_as_it_is(answer):
    assert apart(answer) == ("", answer, False)


def test_messages_of_gpt_oss_are_told_apart_by_their_channel():
    said = "<|channel|>analysis<|message|>2+2, so 4.<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>"
    assert apart(said) == ("2+2, so 4.", "Four.", False)
    assert apart("<|channel|>analysis<|message|>2+2, so") == ("2+2, so", "", True)
    assert apart("<|channel|>final<|message|>Four.") == ("", "Four.", False)
    commented = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=x<|message|>b<|call|>"
    assert apart(commented) == ("a\n\nb", "", True)


def test_what_stands_around_the_answer_is_taken_off():
    assert apart("<think>a</think>\n<answer>b</answer>").answer == "b"
    assert apart("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>").answer == "b"


@pytest.mark.parametrize(("opening", "closing"), BOTH)
def test_several_blocks_and_blocks_within_blocks_are_all_reasoning(opening, closing):
    one, two = f"{opening}one{closing}", f"{opening}two{closing}"
    assert apart(f"{one}\n\n{two}\nFour.") == ("one\n\ntwo", "Four.", False)
    assert apart(f"one\n{closing}\n{two}\nFour.") == ("one\n\ntwo", "Four.", False)
    assert apart(f"{one}{opening}two") == ("one\n\ntwo", "", True)
    assert apart(f"{opening}\nhm {two} hm\n{closing}\n\nFour.") == (f"hm {two} hm", "Four.", False)
    assert (
        apart(f"{opening}\nWrite {opening} first.\n{closing}\nUse `{closing}`, too.").answer == f"Use `{closing}`, too."
    )


def test_the_case_of_marks_does_not_matter():
    assert apart("<Think>hm</THINK>Four.") == ("hm", "Four.", False)
    assert apart("hm\n</Think>\nFour.") == ("hm", "Four.", False)


def test_messages_of_gpt_oss_whose_special_tokens_were_taken_out_are_told_apart():
    assert apart("analysis2+2, so 4.assistantfinalFour.") == ("2+2, so 4.", "Four.", False)
    assert apart("analysis of the sum: four") == ("", "analysis of the sum: four", False)


@given(st.text(), st.text())
def test_reasoning_never_reaches_the_answer(reasoning, answer):
    if (
        any(mark in (reasoning + answer).lower() for pair in PAIRS for mark in pair)
        or "<|" in reasoning + answer
        or answer.strip().startswith("<answer>")
    ):
        return
    assert apart(f"<think>{reasoning}</think>{answer}") == (reasoning.strip(), answer.strip(), False)
