"""Comparisons of two models: paired, by language, the same each time, and refused where they were not measured alike."""

import json
import random
import shutil

import pytest

from aya_core.api import FAULTS
from aya_core.contract.artifacts import Artifact
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.records import RowScore
from aya_recipe.evaluate.comparison import Side, compare, compared_tables, differing, note, stands
from aya_recipe.evaluate.scores import Scores
from aya_recipe.numbers import statistics
from aya_recipe.numbers.statistics import Estimate


def side(model, rows=(), corpus=None, facts=None, texts=None, metric=None):
    """A model with the scores of its rows, each (prompt, language, value)."""
    headline = "accuracy" if rows else "chrf"
    measures = {"headline": headline, **({"metrics": {headline: metric.as_row()}} if metric else {})}
    artifact = Artifact(None, "", "", "", "", {}, {}, {}, 0, 0.0, measures, {})
    measured = Scores(stage=None, artifacts={"task": {model: artifact}})
    measured.sums["task"], measured.languages["task"] = {}, {}
    if rows:
        added = statistics.sums(RowScore(id, language, "accuracy", float(value)) for id, language, value in rows)
        measured.sums["task"]["accuracy"] = {model: added}
        measured.languages["task"]["accuracy"] = {model: statistics.by_language(added)}
    if corpus:
        measured.languages["task"]["chrf"] = {model: corpus}
    return Side(measured, model, {"task": facts or {}}, texts or {})


def answers(seed, share, languages=("de", "en"), count=200):
    draw = random.Random(seed)
    return [(f"{n}", code, draw.random() < share) for code in languages for n in range(count)]


def better(rows, seed, share):
    """The same answers, of which some wrong ones are right."""
    draw = random.Random(seed)
    return [(id, code, value or draw.random() < share) for id, code, value in rows]


def accuracy(comparison):
    return comparison["evaluators"]["task"]["metrics"]["accuracy"]


def test_a_model_is_not_told_apart_from_itself():
    rows = answers(0, 0.5)
    found = accuracy(compare(side("a", rows), side("b", rows)))
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
    assert stands(found, 1) == ""


def test_turned_around_the_difference_is_its_opposite():
    one, other = side("a", answers(0, 0.5)), side("b", answers(1, 0.6))
    there, back = accuracy(compare(one, other)), accuracy(compare(other, one))
    assert there["difference"] == pytest.approx(-back["difference"])
    assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))


def test_a_comparison_is_the_same_each_time_and_moves_with_the_seed():
    one, other = side("a", answers(0, 0.5)), side("b", answers(1, 0.6))
    assert compare(one, other) == compare(one, other)
    assert accuracy(compare(one, other, seed=1))["low"] != accuracy(compare(one, other))["low"]


def test_the_bootstrap_agrees_with_the_formula_for_paired_differences():
    rows = answers(0, 0.5, count=500)
    one, other = side("a", rows), side("b", better(rows, 1, 0.1))
    found = accuracy(compare(one, other, resamples=4000))
    sums = [side.scores.sums["task"]["accuracy"][side.model] for side in (one, other)]
    gain = statistics.gain(*sums)
    assert found["difference"] == pytest.approx(gain.value)
    assert found["standard_error"] == pytest.approx(gain.standard_error, rel=0.1)
    assert (found["low"], found["high"]) == pytest.approx((gain.low, gain.high), abs=0.005)
    unpaired = [statistics.mean(added).standard_error for added in sums]
    assert found["standard_error"] < 0.6 * (unpaired[0] ** 2 + unpaired[1] ** 2) ** 0.5


def test_rows_that_one_side_has_alone_are_counted_and_left_out():
    ours = answers(0, 0.5)
    theirs = [row for row in ours if int(row[0]) < 150]
    found = accuracy(compare(side("a", [*ours, ("x", "fr", 1)]), side("b", [*theirs, ("y", "de", 1)])))
    assert (found["n"], found["only_a"], found["only_b"], found["difference"]) == (300, 101, 1, 0)
    assert found["languages"].keys() == {"de", "en"}
    assert (found["languages"]["de"]["only_a"], found["languages"]["de"]["only_b"]) == (50, 1)


def test_metrics_of_whole_corpora_are_compared_as_independent_numbers():
    one = side("a", corpus={"en-de": Estimate(50.0, 0.3, 100), "en-xx": Estimate(1.0, 0.3, 7)})
    other = side("b", corpus={"en-de": Estimate(52.0, 0.4, 100)})
    found = compare(one, other)["evaluators"]["task"]["metrics"]["chrf"]
    assert (found["difference"], found["standard_error"], found["paired"]) == (2.0, 0.5, False)
    assert (found["n"], found["only_a"]) == (100, 7)


def test_a_difference_that_stands_alone_need_not_stand_among_many():
    row = {"difference": 0.023, "standard_error": 0.01, "low": 0.003, "high": 0.043, "n": 100}
    assert stands(row, 1) == "**"
    assert stands(row, 23) == "*"
    assert "5%/23" in note(23)


def test_signatures_that_differ_are_named():
    one = side("a", facts={"shots": "5", "data": "x"}, texts={"p": "1", "q": "2"})
    other = side("b", facts={"shots": "8", "data": "x", "new": "y"}, texts={"p": "1", "q": "3"})
    output = list(differing(one, other, "task"))
    assert output == [
        "shots is '5' for A and '8' for B", "new is not there for A and 'y' for B",
        "the prompt 'q' is another text for A than for B",
    ]  # fmt: skip
    assert not list(differing(one, one, "task"))


def test_23_languages_of_500_prompts_take_moments():
    import time

    codes = [f"l{n}" for n in range(23)]
    one, other = side("a", answers(0, 0.5, codes, 500)), side("b", answers(1, 0.5, codes, 500))
    start = time.process_time()
    compare(one, other)
    assert time.process_time() - start < 5  # about a fifth of it on an idle machine


def test_tables_have_the_main_metric_and_languages():
    rows = answers(0, 0.5)
    main, languages = compared_tables(compare(side("a", rows), side("b", better(rows, 1, 0.3))), ("old", "new"))
    assert "new (B) less old (A)" in main.title
    assert [row[0] for row in main.rows] == ["task: accuracy"]
    assert main.rows[0][5] == "**"
    assert [row[0] for row in languages.rows] == ["de", "en"]
    assert all(len(row) == len(table.header) for table in (main, languages) for row in table.rows)


def test_shares_are_in_percent_and_where_less_is_better_a_difference_says_so():
    rows = answers(0, 0.5)
    sides = side("a", rows, metric=FAULTS), side("b", better(rows, 1, 0.3), metric=FAULTS)
    main, _ = compared_tables(compare(*sides), ("old", "new"))
    row = main.rows[0]
    assert row[0] == "task: accuracy, % (lower is better)"
    assert 50 < float(row[2]) < 80
    assert row[5] == "** worse"
    back, _ = compared_tables(compare(*reversed(sides)), ("new", "old"))
    assert back.rows[0][5] == "** better"


def test_corpora_are_paired_by_item_where_their_influences_are_known():
    draw = random.Random(0)
    moved = {("", f"{n}"): draw.gauss(0, 0.1) for n in range(50)}
    one = side("a", corpus={"de": Estimate(50.0, 0.7, 50, moved), "tr": Estimate(40.0, 0.7, 50, moved)})
    other = side("b", corpus={"de": Estimate(52.0, 0.7, 50, moved), "tr": Estimate(41.0, 0.7, 50, moved)})
    found = compare(one, other)["evaluators"]["task"]["metrics"]["chrf"]
    assert (found["difference"], found["standard_error"], found["paired"]) == (1.5, 0, True)
    assert found["items"] == 50


def test_two_models_of_a_run_are_compared(evaluated, aya_here):
    run, _ = evaluated
    (found,) = json.loads(aya_here("compare", f"{run}:ana", f"{run}:bo", "--json").stdout)
    row = found["evaluators"]["long"]["metrics"]["accuracy"]
    assert (row["n"], row["difference"], row["languages"]["en"]["n"]) == (6, 0, 6)
    markdown = aya_here("compare", f"{run}:ana", f"{run}:bo", "--markdown").stdout
    assert "## bo (B) less ana (A)" in markdown
    assert "quiz: letters" in aya_here("compare", f"{run}:ana", f"{run}:bo").stdout


def test_what_was_not_measured_alike_is_refused_and_named(evaluated, aya_here, tmp_path):
    run, _ = evaluated
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for manifest in other.glob("artifacts/evaluate.quiz@*/*/artifact.json"):
        facts = read_sealed(manifest)
        facts["measures"]["signature"]["quiz"] = "2"
        write_sealed(manifest, facts)
    output = aya_here("compare", run, other, check=2).stderr
    assert "evaluate: quiz: quiz is '1' for A and '2' for B" in output
    shown = aya_here("compare", run, other, "--anyway", "--markdown").stdout
    assert "not the same measurement: quiz is '1' for A and '2' for B" in shown
    assert len(json.loads(aya_here("compare", run, other, "--anyway", "--json").stdout)) == 2


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("{run}:anna", "{run}:bo", "no model 'anna' there; did you mean 'ana'"),
        ("{run}:ana", "{run}", "several models; name one of ana, bo"),
        ("nowhere", "{run}", "no run.json here"),
    ],
)
def test_a_side_that_is_not_there_is_told_what_is(evaluated, aya_here, a, b, message):
    run, _ = evaluated
    done = aya_here("compare", a.format(run=run), b.format(run=run), check=2)
    assert message in done.stderr
