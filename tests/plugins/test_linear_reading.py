"""What reads texts of models, servers and rows takes time in proportion to their length, whatever they hold."""

import time
from contextlib import suppress
from functools import partial

import pytest

from aya_core.contract.errors import DataError
from aya_core.contract.languages import find_language
from aya_core.contract.reasons import Reasons
from aya_plugins import foreign_patterns, numerals
from aya_plugins.answers import reasoning
from aya_plugins.arbiters import judge_replies, length
from aya_plugins.benchmarks import letters, mgsm, names
from aya_plugins.checks import named as checks
from aya_plugins.datasets import conversations
from aya_plugins.language_id import confusion, named, prose, scripts, share
from aya_plugins.merges.adapters import settings as adapters
from aya_plugins.teachers.runtime import openai_reply, openai_trouble, pacing
from aya_recipe.numbers.winrates import style
from aya_recipe.online import guard_measures

LENGTH = 100_000

SECONDS = 1.0

SERVER = openai_trouble.Diagnosis("http://localhost", "m", "sk-a&b<c", None)

BOTH = ["*", " ", "\n", "1", "{", "_ "]
"""What every reader meets. Others are given with the reader that may stumble over them."""

READERS = {
    "preference": (judge_replies.read_preference, ["[[", "{}", "<a>", "\\boxed{\\text{", "preferred:", "a is better\n"]),
    "preference behind its label": (lambda text: judge_replies.read_preference(f"Preferred: A{text}"), ["[[", "**"]),
    "score": (partial(judge_replies.read_score, lowest=1, highest=10), ["7/10 ", "score:", '{"a":', "[[7", "−1"]),
    "reasoning": (reasoning.apart, ["<think>", "</think>", "<think></think>", "\n</think>\n", "<|channel|>", "◁think▷"]),
    "open reasoning": (partial(reasoning.apart, is_open=True), ["<think>", " </think>", "<|message|>"]),
    "prose": (prose.prose, ["```", "`a`", "~~~", "\\[", "\\(", "\\begin{a}", "$", "$$", "<a", "&a", "a@", "zA", "; ", "{ ;\n"]),
    "pieces": (partial(share.pieces, shortest=20), [".", "a.", "中文。"]),
    "lapses": (lambda text: list(share.foreign_lapses(text, "Arab", text)), ["\\[", "я ", "a, ", "日本"]),
    "words": (confusion.english_words, ["日本", "ไ", "a日"]),
    "letters": (scripts.letters, ["日", "가", "ß"]),
    "languages named": (named.named_in, ["~~~", "İ", "translate ", "chin"]),
    "option": (letters.option_named, ["Answer: A ", "answer ", "\\boxed{", "\\boxed{\\text{", "A B ", "\u200b"]),
    "option among capitals": (partial(letters.option_named, options=["C"]), ["Answer", "A.", "(("]),
    "strict number": (mgsm.WORDINGS["ja"].strict, ["1,", "答えは1"]),
    "flexible number": (mgsm.flexible, ["1.", "-1", "$"]),
    "number": (numerals.last_number, ["1,", "1,234", "1,23,", "1 000 ", "12/", "1/2 ", "−1", "3億", "1兆2億", "½", "٣", "\\frac{1}"]),
    "number in Spanish": (partial(numerals.last_number, language="es"), ["1 mil ", "1."]),
    "unit": (partial(checks.unit, reference="5 km"), ["km*", "1 km/", "km ", "5e3 ", "10^", "m^2 "]),
    "style": (style.style_of, [" \n", "```", "# ", "- ", "1. ", "**a", "__a__"]),
    "distinct words": (lambda text: guard_measures.distinct([text], 3), ["日本", "a "]),
    "transcript": (conversations.transcript, ["\n\nHuman:", "\n\nAssistant: "]),
    "repetition": (length.repetition, ["ab ", "日"]),
    "header": (lambda text: pacing.asked_to_wait({"retry-after": text}, 0.0), ["1,", "1 Jan "]),
    "header of limits": (lambda text: pacing._reset(text, 0.0), ["1h", "٣", "0.1"]),
    "server": (lambda text: SERVER.quote(text.encode()), ["bearer", "bearer ", "[1", '{"a":']),
    "web page": (lambda text: SERVER.quote(f"<html>{text}".encode()), ["<title>", "<TITLE>a</TITLE>", "İ"]),
    "reason": (lambda text: Reasons().add(text), ["1.", "a1 ", "1,"]),
    "language": (find_language, [" \n", "a (", "(a)", "en-"]),
    "language of a file": (names.language_code, ["en-", ". ", "a_"]),
    "completion": (lambda text: openai_reply.read_reply(text.encode()), ["[1", '{"a":', '{"choices":[']),
}  # fmt: skip

ODD = (ValueError, openai_reply.NotACompletionError)
"""What readers raise for texts that hold nothing to be read."""


@pytest.mark.parametrize(("read", "units"), READERS.values(), ids=READERS)
def test_a_text_of_100000_characters_is_read_within_a_second(read, units):
    slow = {}
    for unit in [*BOTH, *units]:
        text = unit * (LENGTH // len(unit)) + " x"
        started = time.process_time()
        with suppress(*ODD):
            read(text)
        if (taken := time.process_time() - started) > SECONDS:
            slow[unit] = taken
    assert slow == {}


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)*x", "(a?){40}a{40}$"])
def test_an_expression_of_a_row_that_takes_for_ever_is_given_up(pattern, monkeypatch):
    monkeypatch.setattr(foreign_patterns, "_slow", set())
    with pytest.raises(TimeoutError, match=r"takes longer than 0\.05 s"):
        foreign_patterns.matches(pattern, "a" * 39 + "b", 0.05)
    started = time.process_time()
    with pytest.raises(TimeoutError):
        foreign_patterns.matches(pattern, "a" * 39 + "b")
    assert time.process_time() - started < 0.05  # it is not tried again


def test_expressions_that_end_give_what_they_gave():
    assert checks.regex("the answer is 42", r"\b4[0-9]\b") == 1
    assert checks.regex("the answer is 42", r"^42$") == 0


def test_a_pattern_of_an_adapter_that_takes_for_ever_is_told(monkeypatch):
    monkeypatch.setattr(foreign_patterns, "_slow", set())
    monkeypatch.setattr(adapters, "matches", partial(foreign_patterns.matches, seconds=0.05))
    with pytest.raises(DataError, match=r"rank_pattern or alpha_pattern: the regular expression"):
        adapters._by_pattern({"(a+)+": 4}, "a" * 39 + "!", 8)
    assert adapters._by_pattern({"down_proj": 2}, "model.layers.0.mlp.down_proj", 8) == 2
