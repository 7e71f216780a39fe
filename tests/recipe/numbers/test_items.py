"""Rows that are the same item in several languages: they are drawn together, and errors know it."""

import contextlib
import json
import math
import random

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from aya_core.contract.artifacts import read_rows
from aya_core.contract.errors import AyaError
from aya_core.contract.records import CorpusScore, Prompt, RowScore, user_prompt
from aya_plugins.corpus_chrf import CorpusChrf
from aya_recipe.evaluate.scores import group_mean
from aya_recipe.evaluate.winrate import command
from aya_recipe.numbers import bootstrap, statistics
from aya_recipe.numbers.statistics import Estimate
from aya_recipe.numbers.winrates.battles import Battle, Battles
from aya_recipe.numbers.winrates.rates import mean_of, rates
from aya_recipe.numbers.winrates.reading import read_battles

LANGUAGES = ("de", "en", "ja", "sw", "tr")


def parallel(items=40, *, seed=0, shared=0.8, named=True, languages=LANGUAGES, more=0.0):
    """Rows of the same items in several languages; an item is as hard in all, by the share that is shared."""
    draw = random.Random(seed)
    rows = []
    for item in range(items):
        ease = draw.gauss(0, 1)
        for code in languages:
            value = shared * ease + math.sqrt(1 - shared**2) * draw.gauss(0, 1) + more
            rows.append(RowScore(f"{code}/{item}", code, "m", value, 1.0, f"{item}" if named else None))
    return rows


def matrix(rows):
    """Values by item and language."""
    items = sorted({row.item for row in rows})
    found = {(row.item, row.language): row.value for row in rows}
    return np.array([[found[item, code] for code in LANGUAGES] for item in items])


def mean(rows):
    return statistics.mean(statistics.sums(rows))


def test_in_one_language_items_change_nothing():
    named, plain = (mean(parallel(languages=("de",), named=named)) for named in (True, False))
    assert (named.value, named.standard_error, named.n) == (plain.value, plain.standard_error, plain.n)


def test_the_error_of_complete_parallel_data_is_that_of_the_means_of_items():
    rows = parallel()
    of_items = matrix(rows).mean(axis=1)
    assert mean(rows).standard_error == pytest.approx(of_items.std(ddof=1) / math.sqrt(len(of_items)))
    assert mean(rows).items == 40


def test_the_error_of_rows_without_items_is_that_of_independent_languages():
    rows = parallel(named=False)
    parts = statistics.by_language(statistics.sums(rows)).values()
    assert mean(rows).standard_error == pytest.approx(
        math.sqrt(sum(part.standard_error**2 for part in parts)) / len(parts)
    )
    assert mean(parallel()).standard_error > 1.5 * mean(rows).standard_error


def test_the_same_rows_in_every_language_are_no_more_than_those_of_one():
    draw = random.Random(0)
    values = [draw.random() for _ in range(30)]
    rows = [
        RowScore(f"{code}/{n}", code, "m", value, 1.0, f"{n}") for code in LANGUAGES for n, value in enumerate(values)
    ]
    one = [row for row in rows if row.language == "de"]
    assert mean(rows).standard_error == pytest.approx(mean(one).standard_error)


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_name_of_an_item_is_no_more_than_a_name(seed):
    draw = random.Random(seed)
    rows = [row for row in parallel(12, seed=seed) if draw.random() < 0.8]
    renamed = [RowScore(row.prompt_id, row.language, "m", row.value, 1.0, f"x{row.item}") for row in rows]
    assert mean(renamed).standard_error == pytest.approx(mean(rows).standard_error)


def test_both_directions_of_a_line_in_one_language_are_one_observation():
    once = [RowScore(f"a/{n}", "de", "m", float(n % 3), 1.0, f"{n}") for n in range(20)]
    twice = once + [RowScore(f"b/{n}", "de", "m", float(n % 3), 1.0, f"{n}") for n in range(20)]
    assert mean(twice).standard_error == pytest.approx(mean(once).standard_error)
    assert (mean(twice).n, mean(twice).items) == (40, 20)


@pytest.mark.parametrize(("named", "low", "high"), [(True, 0.92, 0.98), (False, 0.0, 0.85)])
def test_only_errors_that_know_items_cover_the_truth_as_often_as_they_say(named, low, high):
    covered = 0
    for seed in range(400):
        found = mean(parallel(seed=seed, named=named))
        covered += found.low <= 0 <= found.high
    assert low <= covered / 400 <= high


def test_a_gain_is_paired_by_item():
    before = statistics.sums(parallel(seed=1))
    draw = random.Random(9)
    shift = {f"{n}": draw.gauss(0.3, 0.5) for n in range(40)}  # some items gain more, in all languages
    rows = parallel(seed=1)
    after = statistics.sums(
        RowScore(row.prompt_id, row.language, "m", row.value + shift[row.item], 1.0, row.item) for row in rows
    )
    gain = statistics.gain(before, after)
    assert gain.standard_error == pytest.approx(np.std(list(shift.values()), ddof=1) / math.sqrt(40))
    without = {code: {id: part._replace(item=None) for id, part in ids.items()} for code, ids in after.items()}
    assert statistics.gain(before, without).standard_error == pytest.approx(gain.standard_error)  # one side knows
    assert statistics.gain(before, before).standard_error == 0


def direct_bootstrap(values, resamples=4000, seed=3):
    """Draw items; means over languages of the means over items."""
    source = np.random.default_rng(seed)
    drawn = source.integers(0, len(values), (resamples, len(values)))
    return np.array([values[places].mean(axis=0).mean() for places in drawn])


def test_the_bootstrap_is_a_direct_bootstrap_of_items():
    rows = parallel()
    drawn = bootstrap.draws(statistics.sums(rows), resamples=4000)
    ours, direct = np.mean(list(drawn.values()), axis=0), direct_bootstrap(matrix(rows))
    assert ours.std() == pytest.approx(direct.std(), rel=0.05)
    assert ours.std() == pytest.approx(mean(rows).standard_error, rel=0.05)
    assert np.corrcoef(drawn["de"], drawn["tr"])[0, 1] > 0.4  # drawn together


def test_a_language_that_lacks_items_still_has_its_own_mean():
    rows = [row for row in parallel() if row.language != "sw" or int(row.item) < 15]
    drawn = bootstrap.draws(statistics.sums(rows), resamples=2000)
    alone = statistics.by_language(statistics.sums(rows))["sw"]
    assert drawn["sw"].mean() == pytest.approx(alone.value, abs=0.05)
    assert drawn["sw"].std() == pytest.approx(alone.standard_error, rel=0.15)


def test_members_of_a_group_on_the_same_rows_move_together():
    one, other = mean(parallel(seed=1)), mean(parallel(seed=1, more=0.5))
    apart = group_mean([("a", one), ("b", other)]).standard_error
    together = group_mean([("a", one), ("a", other)]).standard_error
    assert apart == pytest.approx(one.standard_error / math.sqrt(2))
    assert together == pytest.approx(one.standard_error)


def test_the_jackknife_of_a_corpus_agrees_with_its_bootstrap():
    draw = random.Random(4)
    words = [f"w{n}" for n in range(30)]
    references = [" ".join(draw.choices(words, k=12)) for _ in range(150)]
    answers = [
        " ".join(word if draw.random() < 0.6 else draw.choice(words) for word in one.split()) for one in references
    ]
    chrf = CorpusChrf()
    found = chrf.statistics(answers, references)
    moved = {(statistics.ITEMS, f"{n}"): value for n, value in enumerate(chrf.influences(found).tolist())}
    assert sum(moved.values()) == pytest.approx(0, abs=1e-9)
    error = chrf.resampled(found, 2000).std(ddof=1)
    estimate = Estimate(chrf.score(found), error, 150, moved)
    same = statistics.mean_of({"de": estimate, "tr": estimate})  # equal sentences say nothing new
    assert same.standard_error == pytest.approx(error, rel=0.1)
    assert statistics.gain_of_corpora({"de": estimate}, {"de": estimate}).standard_error == 0
    assert statistics.gain_of_corpora({"de": Estimate(1.0, 0.1, 5)}, {"de": Estimate(1.0, 0.1, 5)}) is None


# Win rates ----------------------------------------------------------------------------------------------------------


def verdicts(items=50, seed=0, models=("m",)):
    """Verdicts on the same questions in every language, of which some are easier to win in all."""
    draw = random.Random(seed)
    for item in range(items):
        for model in models:
            chance = min(max(draw.gauss(0.5, 0.35), 0), 1)
            for code in LANGUAGES:
                winner = "model_a" if draw.random() < chance else "model_b"
                yield {
                    "question_id": f"q{item}",
                    "language": code,
                    "model_a": model,
                    "model_b": "base",
                    "winner": winner,
                }


def rated(tmp_path, rows, *words):
    file = tmp_path / "v.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CliRunner().invoke(command, [str(file), "--json", *words])
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def test_win_rates_draw_questions_across_languages(tmp_path):
    rows = list(verdicts())
    points = {(row["question_id"], row["language"]): float(row["winner"] == "model_a") for row in rows}
    items = sorted({item for item, _ in points})
    values = np.array([[points[item, code] for code in LANGUAGES] for item in items])
    expected = 100 * values.mean(axis=1).std(ddof=1) / math.sqrt(len(items))
    found = rated(tmp_path, rows, "--by-language", "--baseline", "base")
    assert found["items"] == 50
    assert found["mean_over_languages"][0]["standard_error"] == pytest.approx(expected)
    assert found["models"][0]["standard_error"] == pytest.approx(expected)
    width = found["models"][0]["high"] - found["models"][0]["low"]
    assert width == pytest.approx(2 * 1.96 * expected, rel=0.1)  # the bootstrap's own interval agrees


def test_questions_of_one_language_each_are_drawn_as_ever(tmp_path):
    rows = [{**row, "question_id": f"{row['language']}/{row['question_id']}"} for row in verdicts()]
    found = rated(tmp_path, rows, "--by-language", "--baseline", "base")
    assert "items" not in found
    parts = [part[0]["standard_error"] for part in found["languages"].values()]
    assert found["mean_over_languages"][0]["standard_error"] == pytest.approx(
        math.sqrt(sum(part**2 for part in parts)) / len(parts)
    )


def test_fitted_ratings_draw_questions_across_languages_too():
    source = random.Random(2)
    rows = []
    for item in range(60):
        chance = source.random()
        for code in LANGUAGES:
            for one, other in (("a", "b"), ("b", "c"), ("a", "c")):
                won = float(source.random() < chance)
                rows.append(Battle("", f"{code}/{item}", code, one, other, won, item=f"{item}"))
    errors = []
    for named in (True, False):
        battles = Battles("x", [row if named else row._replace(item=None) for row in rows]).against(None)
        found = mean_of([rates(part, resamples=200) for part in battles.by_language().values()])
        errors.append({one.model: one.standard_error for one in found}["a"])
    assert errors[0] > 1.3 * errors[1]


# Rows on disk -------------------------------------------------------------------------------------------------------


def test_rows_that_were_written_without_items_are_read(tmp_path):
    import pyarrow
    import pyarrow.parquet

    old = [{"prompt_id": "p", "language": "de", "metric": "m", "value": 1.0, "weight": 1.0}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(old), tmp_path / "rows.parquet")
    assert list(read_rows(tmp_path, RowScore)) == [RowScore("p", "de", "m", 1.0)]
    assert RowScore.from_row(old[0]).item is None


def test_items_and_influences_survive_the_disk():
    score = CorpusScore("de", "chrf++", 50.0, 0.5, 9, {"1": 0.25, "2": -0.25})
    assert CorpusScore.from_row(score.to_row()) == score
    prompt = user_prompt("de/1", "de", "?", item="1")
    assert Prompt.from_row(prompt.to_row()).item == "1"


# Odd files ----------------------------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**300, 10**330), st.floats(), st.text(max_size=5),
    st.sampled_from(["A>B", "tie", "model_a", "win", "scored", "nan", "1e999"]),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.lists(st.integers(), max_size=2)), max_size=2),
    st.dictionaries(st.sampled_from(["score", "a"]), st.one_of(st.none(), st.text(max_size=3), st.lists(st.text(max_size=2))), max_size=2),
)  # fmt: skip
"""What JSON can hold."""

KINDS = [
    {"model_a": "a", "model_b": "b", "winner": "model_a", "question_id": "q", "language": "de", "count": 2},
    {"generator_1": "a", "generator_2": "b", "preference": 1.5, "instruction": "i", "output_1": "x", "output_2": "y"},
    {"question_id": "q", "model": "m", "baseline": "b", "games": [{"score": "A>B"}, {"score": "B>A"}]},
    {"prompt_id": "p", "language": "de", "metric": "win", "value": 1.0, "item": "p"},
    {"prompt_id": "p", "teacher": "t", "index": 0, "score": 1.0, "status": "scored"},
    {"m": 1.5, "n": 1.2, "index": 3},
]
"""A row of each kind of file."""


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_an_odd_value_is_rated_or_told_and_is_never_a_fault_of_ours(tmp_path_factory, data):
    row = data.draw(st.sampled_from(KINDS))
    odd = {**row, data.draw(st.sampled_from([*row, "item", "lang", "uid", "conv_metadata", "weight"])): data.draw(ODD)}
    missing = {name: value for name, value in row.items() if name != data.draw(st.sampled_from(list(row)))}
    rows = data.draw(st.permutations([row, odd, missing]))
    file = tmp_path_factory.mktemp("odd") / "v.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows[: data.draw(st.integers(1, 3))]))
    is_styled = data.draw(st.booleans())
    with contextlib.suppress(AyaError):  # a mistake of the user's, which is told without a traceback
        json.dumps(rates(read_battles(file).against(None), style=is_styled, resamples=3).as_json())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question_id": "q", "model": "m", "games": [{"score": ["A>B"]}]}], r"v.jsonl:1: the score of a game is \['A>B'\]; expected"),
        ([{"question_id": "q", "model": "m", "games": "A>B"}], r"v.jsonl:1: 'games' holds 'A>B'; expected a list of games"),
        ([{**KINDS[0], "question_id": ["q"]}], r"v.jsonl:1: 'question_id' holds \['q'\]; expected an id"),
        ([KINDS[4], {**KINDS[4], "teacher": ["t"]}], r"v.jsonl:2: 'teacher' is \['t'\]; expected the name of a model"),
        ([{**KINDS[4], "score": None}], r"v.jsonl:1: 'score' holds None; expected a number"),
        ([{**KINDS[3], "value": "much"}], r"v.jsonl:1: 'value' holds 'much'; expected a number from 0 to 1"),
        ([KINDS[3]], r"the prompt 'p' has 1 rows of win and 0 of tie"),
        ([{**KINDS[0], "language": {}}], r"v.jsonl:1: 'language' holds {}; expected the code of a language"),
    ],
)  # fmt: skip
def test_odd_rows_are_told_with_line_and_what_was_expected(tmp_path, rows, message):
    file = tmp_path / "v.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(AyaError, match=message):
        read_battles(file)


@pytest.mark.parametrize("questions", [1, 2])
def test_one_item_in_several_languages_has_no_interval(tmp_path, questions):
    rows = [
        {"model_a": "x", "model_b": "y", "question_id": f"{n}", "language": code, "winner": "model_a"}
        for n in range(questions) for code in ("de", "en")
    ]  # fmt: skip
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [rate] = rates(read_battles(tmp_path / "v.jsonl").against("x")).models
    assert (rate.n, math.isnan(rate.low), math.isnan(rate.high)) == (2 * questions, questions == 1, questions == 1)
