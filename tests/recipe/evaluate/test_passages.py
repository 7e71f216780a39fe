"""Passages that texts have in common, in scripts with and without spaces."""

import random
import time

import pytest
from hypothesis import given, strategies as st

from aya_recipe.evaluate.passages import CHARACTERS, WORDS, Sieve, canonical, passages

ALPHABETS = {
    "latin": ["alpha", "Bravo", "charlie", "Delta", "echo", "naïve"],
    "devanagari": ["हिन्दी", "भाषा", "प्रश्न", "उत्तर", "संख्या"],
    "korean": ["질문", "대답", "숫자", "문장"],
}


def words(seed, count, script="latin"):
    draw = random.Random(seed)
    return [f"{draw.choice(ALPHABETS[script])}{draw.randrange(10**6)}" for _ in range(count)]


@pytest.mark.parametrize("script", ALPHABETS)
def test_a_text_of_n_words_has_as_many_runs_as_begin_in_it(script):
    for count in (WORDS - 1, WORDS, 20):
        assert len(passages(" ".join(words(1, count, script)))) == max(0, count - WORDS + 1)


def test_texts_share_the_runs_of_what_they_have_in_common():
    common = words(0, 15)
    one, other = (" ".join([*words(seed, 20), *common, *words(seed + 10, 20)]) for seed in (1, 2))
    assert len(passages(one) & passages(other)) == 15 - WORDS + 1


def test_case_width_and_punctuation_do_not_matter():
    text = words(0, 14)
    assert passages(", ".join(text).upper()) == passages(" ".join(text))
    assert passages("ｗｉｄｅ " * 13) == passages("wide " * 13)


@pytest.mark.parametrize("first", [0x4E00, 0x0E01, 0x1780, 0x3041], ids=["han", "thai", "khmer", "kana"])
def test_scripts_without_spaces_are_compared_by_characters(first):
    text = "".join(chr(first + place) for place in range(CHARACTERS + 4))
    assert len(passages(text)) == 5
    assert passages(text[:10] + " " + text[10:]) == passages(text)
    assert not passages(text[: CHARACTERS - 1])


@given(st.text(max_size=40))
def test_what_is_canonical_stays_so_whatever_the_space(text):
    assert canonical(f"  {text}\n") == canonical(text)


def test_a_sieve_knows_all_that_it_holds_and_takes_few_others_for_it():
    draw = random.Random(0)
    held, others = ([draw.getrandbits(64) - 2**63 for _ in range(20_000)] for _ in range(2))
    sieve = Sieve(len(held))
    for number in held:
        sieve.add(number)
    assert all(number in sieve for number in held)
    assert sum(number in sieve for number in others) < 0.02 * len(others)


def test_the_cost_grows_with_the_text_and_no_faster():
    def seconds(count):
        text = " ".join(words(3, count))
        start = time.process_time()
        passages(text)
        return time.process_time() - start

    seconds(1000)
    small, large = min(seconds(4000) for _ in range(3)), min(seconds(32_000) for _ in range(3))
    assert large < 24 * small
