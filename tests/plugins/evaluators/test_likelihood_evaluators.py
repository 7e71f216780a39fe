"""Laws of the evaluators that ask a model how likely it finds answers: perplexity and preference accuracy."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aya_core.api import (
    Completion,
    DataError,
    Demonstration,
    EvaluatedModel,
    LogLikelihood,
    PluginError,
    Preference,
    Prompt,
    RowScore,
    Sampling,
    Teacher,
    TeacherStrategy,
    user_prompt,
)
from aya_core.contract.artifacts import write_rows
from aya_plugins.evaluators.perplexity import Perplexity
from aya_plugins.evaluators.preference_accuracy import PreferenceAccuracy

PROMPT = user_prompt("p", "tr", "?")


def letters(pairs: Sequence[tuple[Prompt, str]]) -> list[LogLikelihood]:
    """Every letter costs ln 2, and so does the end of the turn."""
    return [LogLikelihood(-math.log(2) * (len(text) + 1), len(text) + 1) for _, text in pairs]


class Letters(TeacherStrategy):
    """Find a letter as likely as the model above does."""

    def build(self) -> Teacher:
        return _Letters()


class _Letters:
    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        return iter(())

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> list[LogLikelihood]:
        return letters(pairs)


class Mute(TeacherStrategy):
    """Give no log-likelihoods."""

    def build(self) -> Teacher:
        return _Mute()


class _Mute:
    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        return iter(())


MODEL = EvaluatedModel("model", (), (), (), letters)


def compare(folder: Path, *pairs: tuple[str, str], model: EvaluatedModel = MODEL, **settings: object) -> list[float]:
    rows = [Preference(user_prompt(f"p{n}", "en", "?"), *pair) for n, pair in enumerate(pairs)]
    write_rows(folder, Preference, rows)
    return [row.value for row in main_rows(PreferenceAccuracy(rows=str(folder), **settings), model)]


def main_rows(strategy: Perplexity | PreferenceAccuracy, model: EvaluatedModel = MODEL) -> list[RowScore]:
    return [row for row in strategy.build().evaluate(model) if row.metric == next(iter(strategy.metrics))]


def test_bits_per_byte_by_hand(tmp_path: Path):
    # "üç" is two letters and an end of turn, so 3 bits, in 4 bytes of UTF-8.
    write_rows(tmp_path, Demonstration, [Demonstration(PROMPT, "üç")])
    (row,) = main_rows(Perplexity(rows=str(tmp_path)))
    assert row == RowScore("p", "tr", "bits_per_byte", pytest.approx(0.75), weight=4.0)


def test_weights_make_the_mean_a_ratio_of_sums(tmp_path: Path):
    texts = ["a", "bb", "cccccc"]
    rows = [Demonstration(user_prompt(f"p{n}", "en", "?"), text) for n, text in enumerate(texts)]
    write_rows(tmp_path, Demonstration, rows)
    scores = main_rows(Perplexity(rows=str(tmp_path)))
    mean = sum(row.value * row.weight for row in scores) / sum(row.weight for row in scores)
    assert mean == pytest.approx((9 + 3) / 9)  # 9 letters and 3 ends of turn, in 9 bytes


def test_an_empty_answer_has_no_bits_per_byte(tmp_path: Path):
    write_rows(tmp_path, Demonstration, [Demonstration(PROMPT, "")])
    with pytest.raises(DataError, match="the answer to 'p' is empty"):
        list(Perplexity(rows=str(tmp_path)).build().evaluate(MODEL))


def test_a_pair_counts_one_zero_or_a_half_for_a_tie(tmp_path: Path):
    assert compare(tmp_path, ("a", "aa"), ("aa", "a"), ("ab", "ba")) == [1.0, 0.0, 0.5]


def test_swapping_a_pair_swaps_its_score(tmp_path: Path):
    pairs = [("a", "bb"), ("ccc", "d"), ("e", "f")]
    there = compare(tmp_path, *pairs)
    back = compare(tmp_path, *((rejected, chosen) for chosen, rejected in pairs))
    assert [one + other for one, other in zip(there, back, strict=True)] == [1, 1, 1]


def test_by_length_every_answer_of_this_model_is_equally_likely(tmp_path: Path):
    assert compare(tmp_path, ("a", "aa"), ("aaa", "a"), normalize_by_length=True) == [0.5, 0.5]


def test_a_model_that_is_its_own_reference_prefers_nothing(tmp_path: Path):
    assert compare(tmp_path, ("a", "aa"), ("aaa", "a"), reference=Letters()) == [0.5, 0.5]


def test_with_a_reference_only_the_difference_to_it_counts(tmp_path: Path):
    def likes_long(pairs: Sequence[tuple[Prompt, str]]) -> list[LogLikelihood]:
        return [LogLikelihood(-0.1 * (len(text) + 1), len(text) + 1) for _, text in pairs]

    model = EvaluatedModel("model", (), (), (), likes_long)
    assert compare(tmp_path, ("aa", "a"), model=model) == [0.0]
    assert compare(tmp_path, ("aa", "a"), model=model, reference=Letters()) == [1.0]


def test_a_reference_that_gives_no_likelihoods_is_an_error(tmp_path: Path):
    with pytest.raises(PluginError, match="the reference gives no log-likelihoods"):
        compare(tmp_path, ("a", "b"), reference=Mute())


def test_signatures_name_reference_and_normalization(tmp_path: Path):
    plain = PreferenceAccuracy(rows=str(tmp_path)).build().signature()
    referred = PreferenceAccuracy(rows=str(tmp_path), reference=Letters(), normalize_by_length=True).build().signature()
    assert (plain["reference"], plain["normalize_by_length"]) == ("none", "false")
    assert (referred["reference"], referred["normalize_by_length"]) == ("Letters {}", "true")
    assert "end of turn included" in Perplexity(rows=str(tmp_path)).build().signature()["unit"]


@pytest.mark.parametrize("kind", [Perplexity, PreferenceAccuracy])
def test_what_the_model_cannot_read_whole_is_unscored_and_not_wrong(kind: type, tmp_path: Path):
    record = Demonstration(PROMPT, "long") if kind is Perplexity else Preference(PROMPT, "long", "longer")
    write_rows(tmp_path, type(record), [record])
    deaf = replace(MODEL, log_likelihoods=lambda pairs: [LogLikelihood(float("nan"), 1) for _ in pairs])
    (row,) = kind(rows=str(tmp_path)).build().evaluate(deaf)
    assert (row.metric, row.value) == ("unscored", 1.0)
