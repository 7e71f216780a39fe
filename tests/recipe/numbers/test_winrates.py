"""Win rates from files: published numbers, laws of the estimators, and what every bad file is told."""

import csv
import json
import math
import sys
from itertools import permutations

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from aya_core.contract.artifacts import write_rows
from aya_core.contract.errors import AyaError, DataError
from aya_core.contract.records import Completion, Judged, RowScore, Verdict
from aya_recipe.evaluate.winrate import command
from aya_recipe.numbers import bootstrap
from aya_recipe.numbers.statistics import Part, by_language
from aya_recipe.numbers.winrates import bradley_terry
from aya_recipe.numbers.winrates.battles import Battle, Battles
from aya_recipe.numbers.winrates.rates import rates
from aya_recipe.numbers.winrates.reading import read_battles
from aya_recipe.numbers.winrates.style import Style, covariates, style_of


def write(path, rows):
    """Write rows in the format that the file's ending says."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def winrate(*words, code=0):
    done = CliRunner().invoke(command, [*map(str, words), "--json"])
    if code == 0:
        assert done.exception is None, done.exception
        return json.loads(done.stdout)
    assert isinstance(done.exception, DataError)
    return str(done.exception)


def by_model(output):
    return {row["model"]: row for row in output["models"]}


def battles(*rows, **options):
    """Battles of (one, other, points[, weight[, prompt[, language]]])."""
    filled = [(*row, *(1.0, f"p{place}", "en")[len(row) - 3 :]) for place, row in enumerate(rows)]
    return Battles(
        "here", [Battle(f"here:{n}", row[4], row[5], row[0], row[1], row[2], row[3]) for n, row in enumerate(filled)], **options
    )  # fmt: skip


def test_alpaca_evals_published_win_rates_and_errors_of_every_model(shared_data):
    found = by_model(winrate(shared_data / "alpaca_eval" / "preferences.tsv"))
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open() as file:
        published = {row[""]: row for row in csv.DictReader(file)}
    assert found.keys() == published.keys()
    for model, row in published.items():
        assert found[model]["win_rate"] == pytest.approx(float(row["win_rate"]), abs=1e-6)
        assert found[model]["standard_error"] == pytest.approx(float(row["standard_error"]), abs=1e-6)
        assert (found[model]["n"], found[model]["wins"], found[model]["losses"], found[model]["ties"]) == tuple(
            int(row[name]) for name in ("n_total", "n_wins", "n_wins_base", "n_draws")
        )
        half = 1.96 * found[model]["standard_error"]
        assert found[model]["high"] - found[model]["low"] == pytest.approx(2 * half, rel=0.12)


def test_arena_hards_published_win_rate(shared_data):
    output = winrate(shared_data / "arena_hard" / "verdicts.jsonl")
    assert output["baseline"] == "gpt-4-0314"
    assert round(by_model(output)["gpt-4-0613"]["win_rate"], 2) == 37.90
    assert by_model(output)["gpt-4-0613"]["n"] == 500


def test_against_another_baseline_a_win_rate_is_what_bradley_and_terry_say(shared_data):
    file = shared_data / "arena_hard" / "verdicts.jsonl"
    ours = by_model(winrate(file, "--resamples", 200))["gpt-4-0613"]
    turned = by_model(winrate(file, "--baseline", "gpt-4-0613", "--resamples", 200))
    assert turned["gpt-4-0314"]["win_rate"] == pytest.approx(100 - ours["win_rate"], abs=1e-6)
    assert turned["gpt-4-0314"]["standard_error"] == pytest.approx(ours["standard_error"], rel=1e-4)
    odds = math.prod(row["win_rate"] / (100 - row["win_rate"]) for row in by_model(winrate(file)).values()) / (
        (ours["win_rate"] / (100 - ours["win_rate"])) ** 2
    )
    assert turned["mistralai__Mistral-Large-Instruct-2407"]["win_rate"] == pytest.approx(
        100 * odds / (1 + odds), abs=1e-5
    )


WINNERS = ("model_a", "tie", "model_b", "tie (bothbad)")
ROWS = [
    {"question_id": f"q{n}", "model_a": a, "model_b": b, "winner": WINNERS[n % 4], "count": 1 + n % 3}
    for n, (a, b) in enumerate([*permutations(("x", "y", "z"), 2)] * 4)
]  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_every_format_says_the_same(tmp_path, ending):
    output = winrate(write(tmp_path / f"v.{ending}", ROWS), "--resamples", 20)
    assert output == winrate(write(tmp_path / "other.jsonl", ROWS), "--resamples", 20)
    assert (output["baseline"], output["method"]) == (None, "bradley-terry")
    assert sum(row["win_rate"] for row in output["models"]) == pytest.approx(150)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_annotations_of_alpaca_eval_are_the_columns_of_its_table(tmp_path, ending):
    preferences = {"good": [1.9, 2.0, 1.5, None, 0], "bad": [1.0, 1.25, 1.0, 1.1, 1.4]}
    annotations = [
        {"instruction": "same for all", "dataset": "d", "generator_1": "gpt", "generator_2": model, "preference": value}
        for model, values in preferences.items()
        for value in values
    ]
    table = [{"index": n, "dataset": "d", **{model: preferences[model][n] for model in preferences}} for n in range(5)]
    output = winrate(write(tmp_path / f"a.{ending}", annotations))
    other = winrate(write(tmp_path / "t.tsv", table))
    assert by_model(output).keys() == {"good", "bad"}
    assert output["left_out"] == other["left_out"] == {"good": 1}
    for model, row in by_model(output).items():
        for key in ("win_rate", "standard_error", "n", "wins", "losses", "ties"):
            assert row[key] == pytest.approx(by_model(other)[model][key])
    assert by_model(output)["good"]["win_rate"] == pytest.approx(100 * (0.9 + 1 + 0.5 + 0.5) / 4)  # 0 was once a draw


def test_of_two_models_the_one_always_named_first_is_the_baseline(tmp_path):
    rows = [{"model_a": "b", "model_b": "m", "winner": "model_b"}] * 3
    output = winrate(write(tmp_path / "v.csv", rows))
    assert (output["baseline"], by_model(output)["m"]["win_rate"]) == ("b", 100)
    swapped = [{"model_a": "m", "model_b": "b", "winner": "model_a"}, *rows]
    output = winrate(write(tmp_path / "w.csv", swapped), "--resamples", 20)
    assert output["baseline"] is None
    assert by_model(output)["m"]["win_rate"] == pytest.approx(100, abs=1e-3)  # won every game: no finite strength
    assert by_model(output)["b"]["win_rate"] == pytest.approx(0, abs=1e-3)


def test_each_language_counts_by_itself_and_alike_in_the_mean(tmp_path):
    rows = [{"language": "en", "m": 2}] * 6 + [{"language": "tr", "m": 1}] * 2
    output = winrate(write(tmp_path / "t.jsonl", rows), "--by-language")
    assert by_model(output)["m"]["win_rate"] == 75
    assert {name: part[0]["win_rate"] for name, part in output["languages"].items()} == {"en": 100, "tr": 0}
    assert output["mean_over_languages"][0]["win_rate"] == 50
    assert (
        by_model(output)["m"]["low"] == by_model(output)["m"]["high"] == 75
    )  # each language keeps its share in every draw


def test_the_table_is_shown(tmp_path):
    file = write(tmp_path / "t.jsonl", [{"lang": ("en", "tr")[n % 2], "m": 1 + n % 3 / 2, "k": 1.5} for n in range(12)])
    shown = CliRunner().invoke(command, [str(file), "--by-language"]).stdout
    assert "against baseline" in shown
    assert "mean over languages" in shown
    assert shown.count("50.00") >= 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{**ROWS[0], "winner": "the first"}], r"v.jsonl:1: the winner is 'the first'; expected one of model_a, model_b"),
        ([ROWS[0], {**ROWS[0], "winner": None}], r"v.jsonl:2: the winner is None"),
        ([{**ROWS[0], "model_b": "x"}], r"v.jsonl:1: 'x' meets itself; expected two different models"),
        ([{**ROWS[0], "model_b": ""}], r"v.jsonl:1: 'model_b' is ''; expected the name of a model"),
        ([{**ROWS[0], "count": "many"}], r"'count' holds 'many'; expected how many games"),
        ([{**ROWS[0], "count": 0}], r"'count' holds 0; expected how many games it counts for, a number above 0"),
        ([{"m": 1.5}, {"m": 2.5}], r"v.jsonl:2: 'm' holds 2.5; expected a preference from 1 .* to 2"),
        ([{"m": 1.5}, {"m": "better"}], r"v.jsonl:2: 'm' holds 'better'"),
        ([{"m": None}], r"expected model_a, model_b and winner; .*; model and games; or a column for each"),
        ([{"model_a": "x", "winner": "tie"}], r"v.jsonl:1: the columns are model_a, winner; expected model_a, model_b and"),
        ([{"generator_1": "x", "generator_2": "y", "preference": None}], r"no verdict in it"),
        ([], r"the file is empty; expected at least one row"),
        ([{"model_a": a, "model_b": b, "winner": "tie"} for a, b in ("xy", "yz", "uv")], r"no battles link 'x' and '[uv]'"),
    ],
)  # fmt: skip
def test_bad_files_are_told_what_was_expected(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        rates(read_battles(write(tmp_path / "v.jsonl", rows)).against(None))


def test_bad_options_and_files(tmp_path):
    file = write(tmp_path / "v.jsonl", ROWS)
    assert "no model 'w' for --baseline" in winrate(file, "--baseline", "w", code=2)
    assert "no style of the answers; expected their texts" in winrate(file, "--style", code=2)
    assert "no such file" in winrate(tmp_path / "absent.csv", code=2)
    (tmp_path / "v.txt").write_text("x")
    assert "expected one of these endings" in winrate(tmp_path / "v.txt", code=2)
    (tmp_path / "v.tsv").write_text("m\tn\n1\t2\n1\n")
    assert "v.tsv:3: 1 cells; expected 2, as in the header" in winrate(tmp_path / "v.tsv", code=2)
    (tmp_path / "w.tsv").write_text("m\tm\n1\t2\n")
    assert "w.tsv:1: the header names 'm' twice" in winrate(tmp_path / "w.tsv", code=2)


def random_battles(seed, models=5, games=300, covariates=0):
    source = np.random.default_rng(seed)
    one, other = source.integers(0, models, games), source.integers(1, models, games)
    other = (one + other) % models
    style = source.normal(size=(games, covariates))
    strength, slope = source.normal(size=models), source.normal(size=covariates)
    chance = 1 / (1 + np.exp(strength[other] - strength[one] - style @ slope))
    points = np.where(source.random(games) < 0.2, 0.5, source.random(games) < chance)
    return one, other, points, source.integers(1, 4, games).astype(float), style


@pytest.mark.parametrize("covariates", [0, 4])
def test_bradley_terry_equals_a_logistic_regression(covariates):
    from sklearn.linear_model import LogisticRegression  # slow to import

    one, other, points, weight, style = random_battles(3, covariates=covariates)
    found = bradley_terry.fit(one, other, points, weight, 5, style if covariates else None)
    x = np.zeros((len(one), 5))
    x[np.arange(len(one)), one], x[np.arange(len(one)), other] = 1, -1
    x = np.hstack([x[:, 1:], style])  # all strengths may grow alike, so the first is held at 0
    twice = np.vstack([x, x])  # a tie is half a game won and half a game lost
    model = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    won = np.repeat([1, 0], len(one))
    model.fit(twice, won, sample_weight=np.concatenate([weight * points, weight * (1 - points)]))
    theirs = np.concatenate([[0.0], model.coef_[0]])
    theirs[:5] -= theirs[:5].mean()
    assert found == pytest.approx(theirs, abs=1e-6)
    assert found[:5].sum() == pytest.approx(0, abs=1e-9)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 50))
@settings(deadline=None, max_examples=25)
def test_two_models_have_the_odds_of_their_wins(wins, losses, ties):
    points = np.array([1.0, 0.0, 0.5])
    weight = np.array([wins, losses, ties], dtype=float)
    first, second = bradley_terry.fit(np.zeros(3, int), np.ones(3, int), points, weight, 2)
    assert first - second == pytest.approx(math.log((wins + ties / 2) / (losses + ties / 2)), abs=1e-6)


def test_a_swap_of_the_sides_changes_nothing():
    one, other, points, weight, _ = random_battles(5)
    styles = [
        (Style(*map(float, a)), Style(*map(float, b))) for a, b in np.random.default_rng(0).integers(0, 99, (300, 2, 4))
    ]
    ahead = covariates(styles)
    back = covariates([(b, a) for a, b in styles])
    assert back == pytest.approx(-ahead)
    found = bradley_terry.fit(one, other, points, weight, 5, ahead)
    assert bradley_terry.fit(other, one, 1 - points, weight, 5, back) == pytest.approx(found, abs=1e-8)


def test_style_is_counted_as_arena_hard_counts_it():
    answer = (
        "# A\n## B\n#no\n\n- one\n  * two\n3. three\n**bold** and __too__ and **not\nthis**\n```\n# code\n- code\n```"
    )
    assert style_of(answer) == Style(len(answer), 2, 3, 2)
    assert style_of("") == Style(0, 0, 0, 0)


def styled(n, says=lambda a, b: "model_a" if len(a) > len(b) else "model_b"):
    """Two models that answer alike, of which one writes more in two of three; the judge likes what is longer."""
    for i in range(n):
        a, b = ("word " * (10 + i % 7), "word " * 9) if i % 3 else ("word " * 8, "word " * (9 + i % 5))
        kind = says(a, b) if i % 4 else ("model_b" if i % 8 else "model_a")
        yield {"question_id": i, "model_a": "long", "model_b": "short", "winner": kind, "answer_a": a, "answer_b": b}


def test_style_control_takes_back_what_length_won(tmp_path):
    rows = list(styled(120))
    file = write(tmp_path / "v.jsonl", rows)
    plain, controlled = (
        by_model(winrate(file, "--baseline", "short", "--resamples", 20, *more)) for more in ([], ["--style"])
    )
    assert plain["long"]["win_rate"] > 60
    assert controlled["long"]["win_rate"] < plain["long"]["win_rate"] - 10
    output = winrate(file, "--style", "--resamples", 20)
    assert output["style"]["length"] > 0.5
    assert output["style"]["headers"] == 0


def test_the_style_is_taken_from_wherever_a_file_tells_it(tmp_path):
    rows = list(styled(40))
    expected = winrate(write(tmp_path / "v.jsonl", rows), "--style", "--resamples", 5)
    conversations, metadata = [], []
    for row in rows:
        bare = {name: row[name] for name in ("question_id", "model_a", "model_b", "winner")}
        turns = {
            f"conversation_{side}": [
                {"role": "user", "content": "?"}, {"role": "assistant", "content": row[f"answer_{side}"]},
            ]
            for side in "ab"
        }  # fmt: skip
        conversations.append({**bare, **turns})
        counts = {
            name: value
            for side in "ab"
            for name, value in {
                f"sum_assistant_{side}_tokens": len(row[f"answer_{side}"]), f"header_count_{side}": {"h1": 0, "h2": 0},
                f"list_count_{side}": {"ordered": 0, "unordered": 0}, f"bold_count_{side}": {"**": 0, "__": 0},
            }.items()
        }  # fmt: skip
        metadata.append({**bare, "conv_metadata": counts})
    flat = [{**row, "conv_metadata": json.dumps(row["conv_metadata"])} for row in metadata]
    for name, output in (("c.parquet", conversations), ("m.jsonl", metadata), ("f.csv", flat)):
        assert winrate(write(tmp_path / name, output), "--style", "--resamples", 5) == expected


def sums(languages, prompts, seed=0):
    source = np.random.default_rng(seed)
    return {
        f"l{number}": {f"p{p}": Part(float(source.random() < 0.4), 1.0) for p in range(prompts)}
        for number in range(languages)
    }


def test_the_bootstrap_agrees_with_the_normal_interval():
    added = sums(5, 400)
    parts = by_language(added)
    drawn = bootstrap.draws(added, resamples=2000)
    for language, part in parts.items():
        assert drawn[language].mean() == pytest.approx(part.value, abs=0.003)
        assert drawn[language].std() == pytest.approx(part.standard_error, rel=0.06)
        assert bootstrap.interval(drawn[language]) == pytest.approx((part.low, part.high), abs=0.01)


def test_the_bootstrap_depends_on_the_seed_and_on_nothing_else(monkeypatch):
    added = sums(3, 50)
    first = bootstrap.mean_interval(added)
    assert bootstrap.mean_interval(added) == first
    assert bootstrap.mean_interval(added, seed=1) != first
    monkeypatch.setattr(bootstrap, "COUNTS", 977)  # other blocks
    assert bootstrap.mean_interval(added) == first


def test_models_with_the_same_prompts_meet_the_same_draws():
    added = sums(2, 60)
    shifted = {name: {p: Part(v + 0.25, w) for p, (v, w, _) in prompts.items()} for name, prompts in added.items()}
    one, other = bootstrap.draws(added, resamples=50), bootstrap.draws(shifted, resamples=50)
    for language in added:
        assert other[language] - one[language] == pytest.approx(0.25)


def test_both_orders_of_a_prompt_are_drawn_together():
    """Games that repeat a prompt say nothing new, so that the error does not shrink with them."""
    rows = [("m", "base", float(n % 3 == 0), 1.0, f"p{n}") for n in range(90)]
    once = rates(battles(*rows, baseline="base")).models[0]
    twice = rates(battles(*rows, *rows, baseline="base")).models[0]
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert (twice.n, twice.wins) == (90, 2 * once.wins)


def test_one_prompt_has_a_win_rate_and_no_error():
    row = rates(battles(("m", "base", 1.0), baseline="base")).models[0].as_row()
    assert (row["win_rate"], row["n"], row["standard_error"], row["low"]) == (100, 1, None, None)


def test_scores_and_verdicts_of_our_runs_are_read(tmp_path):
    scores = [
        RowScore(f"p{n}", ("en", "tr")[n % 2], metric, float(value))
        for n in range(8)
        for metric, value in (
            ("unjudged", 0),
            ("win", n % 4 == 0),
            ("loss", n % 4 == 1),
            ("tie", n % 4 > 1),
            ("length", 9),
        )
    ]
    (tmp_path / "scores" / "payload").mkdir(parents=True)
    write_rows(tmp_path / "scores" / "payload", RowScore, scores)
    row = by_model(winrate(tmp_path / "scores", "--resamples", 20))["model"]
    assert (row["win_rate"], row["wins"], row["losses"], row["ties"], row["n"]) == (50, 2, 2, 4, 8)
    judged = [
        Judged(Completion(f"p{n}", name, 0, name), Verdict(float(len(name))) if n else Verdict.fail("no"))
        for n in range(4)
        for name in ("a", "bb", "cc")
    ]
    (tmp_path / "judged").mkdir()
    write_rows(tmp_path / "judged", Judged, judged)
    output = winrate(tmp_path / "judged", "--resamples", 20)
    found = by_model(output)
    assert found["a"]["win_rate"] == pytest.approx(0, abs=1e-3)
    assert found["bb"]["win_rate"] == pytest.approx(75, abs=1e-3)
    assert (found["bb"]["ties"], found["bb"]["n"]) == (3, 3)
    (tmp_path / "empty").mkdir()
    assert "no .parquet file in this folder" in winrate(tmp_path / "empty", code=2)


def test_arena_hards_judgments_are_games_in_both_orders(tmp_path):
    games = [("A>>B", "B>A"), ("A=B", "A>B"), (None, "B>>A"), (None, None)]
    rows = [
        {"question_id": f"q{n}", "model": "m", "judge": "j", "games": [{"score": score} for score in scores]}
        for n, scores in enumerate(games)
    ]
    output = winrate(write(tmp_path / "m.jsonl", rows))
    row = by_model(output)["m"]
    assert (output["baseline"], output["left_out"]) == ("baseline", {"m": 1})
    assert (row["wins"], row["losses"], row["ties"], row["n"]) == (1, 3 + 1 + 3, 1, 3)
    assert row["win_rate"] == pytest.approx(100 * 1.5 / 9)
    named = winrate(write(tmp_path / "n.jsonl", [{**row, "baseline": "gpt"} for row in rows[:3]]))
    assert (named["baseline"], by_model(named)["m"]["win_rate"]) == ("gpt", row["win_rate"])
    newer = [
        {**{"uid" if key == "question_id" else key: value for key, value in row.items()}, "baseline": "gpt"}
        for row in rows
    ]
    newer[3]["games"] = [{"score": ""}, {"score": None}]
    assert winrate(write(tmp_path / "v2.jsonl", newer))["models"] == named["models"]
    rows[1]["games"][0]["score"] = "A is better"
    assert "m.jsonl:2: the score of a game is 'A is better'; expected one of A>>B" in winrate(
        write(tmp_path / "m.jsonl", rows), code=2
    )


def test_without_numpy_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    done = CliRunner().invoke(command, [str(write(tmp_path / "v.jsonl", ROWS))])
    assert isinstance(done.exception, AyaError)
    assert 'pip install "aya-core[eval]"' in str(done.exception)


def test_languages_are_named_in_any_way_and_a_map_says_the_rest(tmp_path):
    codes = ("English", "eng", "zho_Hans", "unknown", "Denglish")
    rows = [{"model_a": "x", "model_b": "y", "winner": "model_a", "language": code} for code in codes]
    file = write(tmp_path / "v.jsonl", rows)
    assert "v.jsonl:5: the language is 'Denglish'" in winrate(file, "--by-language", code=1)
    found = winrate(file, "--by-language", "--languages", "{Denglish: de}")
    counts = {language: models[0]["n"] for language, models in found["languages"].items()}
    assert counts == {"en": 2, "zh": 1, "und": 1, "de": 1}
    assert winrate(file)["models"]
