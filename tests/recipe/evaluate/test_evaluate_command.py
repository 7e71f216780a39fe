"""`aya evaluate` and what it writes: tables in four formats, figures, and what of a suite is left out."""

import json
import re

import pytest
import yaml

from aya_core.api import SHARE, Metric
from aya_core.contract.errors import RecipeError
from aya_core.planning.registry import Registry
from aya_recipe.evaluate import tables
from aya_recipe.evaluate.report import of_rivals
from aya_recipe.evaluate.suite import _Fitting, load_suite
from aya_recipe.report import latex


def test_every_number_has_n_error_interval_and_signature(evaluated):
    run, printed = evaluated
    assert json.loads((run / "tables" / "evaluate.json").read_text())["table"] == printed["evaluate"]
    account = printed["evaluate"]
    assert account["evaluators"]["quiz"]["signature"] == {"quiz": "1"}
    for scores in account["scores"].values():
        for models in scores.values():
            assert len(models) == 2
            for scored in models.values():
                for row in (scored["mean"], *scored["languages"].values()):
                    assert row.keys() == {"value", "standard_error", "low", "high", "n"}


def test_a_group_is_the_mean_of_its_evaluators_with_their_joint_error(evaluated):
    _, printed = evaluated
    account = printed["evaluate"]
    for model, row in account["groups"]["both"]["models"].items():
        means = [account["scores"][label]["accuracy"][model]["mean"] for label in ("quiz", "long")]
        assert row["value"] == pytest.approx(sum(mean["value"] for mean in means) / 2)
        assert row["standard_error"] == pytest.approx(sum(mean["standard_error"] ** 2 for mean in means) ** 0.5 / 2)
        assert row["n"] == 4 + 6


def test_tables_say_the_same_in_every_format(evaluated):
    run, printed = evaluated
    table = tables.models_by_tasks(printed)
    assert table.header == ["model", "both, %"]
    assert [row[0] for row in table.rows] == ["ana", "bo", "n"]
    cells = [cell for row in table.rows for cell in row]
    assert all(cell in (run / "tables" / "evaluate.md").read_text() for cell in cells)
    assert all(latex.escape(cell) in (run / "tables" / "evaluate.tex").read_text() for cell in cells)
    assert all(cell in (run / "tables" / "evaluate.html").read_text() for cell in cells)
    assert "quiz: 1" in (run / "tables" / "evaluate.md").read_text()


def test_latex_tables_are_whole(evaluated):
    text = (evaluated[0] / "tables" / "evaluate.tex").read_text()
    for thing in ("table", "tabular"):
        assert text.count(rf"\begin{{{thing}}}") == text.count(rf"\end{{{thing}}}") > 3
    for tabular in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL):
        for line in tabular[1].splitlines():
            if "&" in line:
                assert len(re.findall(r"(?<!\\)&", line)) == len(tabular[0]) - 1


def test_a_recipe_is_evaluated_and_a_report_gathers_the_same(evaluated, aya_here):
    run, printed = evaluated
    raw = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe = run.parent.parent / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    again = aya_here("evaluate", recipe, "--out", run, "--json", "-q")
    assert json.loads(again.stdout) == printed
    sections = json.loads(aya_here("report", run, "--json").stdout)["sections"]
    assert sections["evaluate"]["data"]["table"] == printed["evaluate"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no model is named"),
        (("./m",), "--evaluator is missing"),
        (("./m", "--suite", "expanse", "--evaluator", "quiz"), "both say what to measure"),
        (("a.yaml", "--evaluator", "quiz"), "goes with MODEL"),
        (("./m", "--evaluator", "chrf", "--evaluator", "chrf"), "a name is given twice"),
        (("./m", "--suite", "expanze"), "did you mean 'expanse'"),
        (("./m", "--suite", "expanse", "--data", "nowhere"), "no such folder"),
        (("./m", "--suite", "expanse"), "name the folder of data with --data"),
    ],
)
def test_bad_words_are_told_what_was_expected(aya_here, words, message):
    done = aya_here("evaluate", *words, check=2)
    assert message in " ".join((done.stdout + done.stderr).split())


def test_sets_that_the_data_folder_lacks_are_left_out_and_told(tmp_path):
    for name in ("xcopa", "xwinograd", "m-arenahard"):
        (tmp_path / name).mkdir()
    (tmp_path / "m-arenahard" / "de.jsonl").write_text("")
    loaded, left_out = load_suite("expanse", ["owner/a"], tmp_path, against="owner/b", judge="length")
    stages = {stage.name: stage for stage in loaded.recipe.stages}
    assert {"xcopa", "xwinograd"} <= stages["academic"].evaluators.keys()
    assert stages["academic"].groups == {}
    assert "win-rate" in stages["m-arenahard"].evaluators
    assert [str(model) for model in stages["m-arenahard"].models] == ["owner/a", "owner/b"]
    assert stages.keys() == {"academic", "m-arenahard"}
    lines = {line.split(": ")[2] if "academic" in line else line.split(": ")[1]: line for line in left_out}
    assert {"xstorycloze", "global-mmlu", "perplexity", "dolly-human-edited"} <= lines.keys()
    assert "CC-BY-SA-4.0" in lines["xstorycloze"]
    assert "https://" in lines["dolly-human-edited"]


def test_the_suite_measures_all_that_the_paper_does(tmp_path):
    files = ("known-answers", "m-arenahard", "dolly-human-edited", "dolly-machine-translated")
    benchmarks = ("xcopa", "xstorycloze", "xwinograd", "global-mmlu", "mgsm", "flores", "include")
    for name in (*files, *benchmarks):
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name / "de.jsonl").write_text("")
    loaded, left_out = load_suite("expanse", ["owner/a"], tmp_path, against="owner/b", judge="length")
    _, academic, *open_ended = loaded.recipe.stages
    assert set(academic.evaluators) == {*benchmarks, "perplexity"}
    assert academic.groups["discriminative"] == ("xcopa", "xstorycloze", "xwinograd")
    assert (academic.evaluators["global-mmlu"].shots, academic.evaluators["mgsm"].shots) == (5, 5)
    assert [stage.name for stage in open_ended] == list(files[1:])
    assert all(list(stage.evaluators) == ["win-rate", "language-fidelity"] for stage in open_ended)
    assert [line.split(": ")[3] for line in left_out] == ["comet"]


def test_a_scorer_that_is_missing_is_left_out_of_its_evaluator_alone(tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "{name: mine, stages: [{name: one, do: evaluate, evaluators: "
        "{x: {use: verifier, check: exact, comet: {path: $data/xcomet}}}}]}"
    )
    fitting = _Fitting(suite, yaml.safe_load(suite.read_text()), tmp_path, True)
    (stage,) = fitting.stages()
    assert stage["evaluators"]["x"] == {"use": "verifier", "check": "exact"}
    assert fitting.left_out[0].startswith(f"left out: one: x: comet: it reads {tmp_path}/xcomet")
    assert "CC-BY-NC-SA-4.0" in fitting.left_out[0]


def test_win_rates_without_a_rival_are_left_out_and_told(tmp_path):
    (tmp_path / "xcopa").mkdir()
    (tmp_path / "m-arenahard").mkdir()
    (tmp_path / "m-arenahard" / "de.parquet").write_text("")
    _, left_out = load_suite("expanse", ["owner/a"], tmp_path)
    assert any("m-arenahard: win-rate" in line and "--against" in line for line in left_out)


def test_a_rival_may_be_a_teacher_who_is_no_model_of_the_suite(tmp_path):
    (tmp_path / "m-arenahard").mkdir()
    (tmp_path / "m-arenahard" / "de.jsonl").write_text("")
    rival = "recorded,path=rival.jsonl,model=rival"
    loaded, _ = load_suite("expanse", ["owner/a"], tmp_path, against=rival, judge="length")
    (stage,) = loaded.recipe.stages
    assert stage.models == ("owner/a",)
    assert stage.evaluators["win-rate"].against.path == "rival.jsonl"


def test_a_suite_of_ones_own_is_a_file(tmp_path):
    assert list(Registry().suites) == ["expanse"]
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, stages: [{name: one, do: evaluate, evaluators: {x: {use: xcopa, data: $data/x}}}]}"
    )
    with pytest.raises(RecipeError, match="nothing is left"):
        load_suite(str(tmp_path / "mine.yaml"), ["owner/a"], tmp_path)
    (tmp_path / "x").mkdir()
    loaded, left_out = load_suite(str(tmp_path / "mine.yaml"), ["owner/a"], tmp_path)
    assert not left_out
    assert loaded.recipe.stages[0].evaluators["x"].data == str(tmp_path / "x")


def estimate(value, n=10):
    return {"value": value, "standard_error": 0.01, "low": value - 0.02, "high": value + 0.02, "n": n}


def scored(**languages):
    return {"mean": estimate(sum(languages.values()) / len(languages)), "languages": dict_of(languages)}


def dict_of(languages):
    return {code: estimate(value) for code, value in languages.items()}


def account(label, scores, metric=SHARE, **facts):
    metrics = dict.fromkeys(scores, metric.as_row())
    evaluator = {"headline": next(iter(scores)), "metrics": metrics, "against": None, "signature": {"v": "1"}, **facts}
    models = list(next(iter(scores.values())))
    return {
        "models": models, "controls": [], "evaluators": {label: evaluator}, "groups": {}, "sampling": None, "contamination": None,
        "scores": {label: scores},
    }  # fmt: skip


def test_stages_with_the_same_models_share_a_table():
    one = account("a", {"accuracy": {"m": scored(en=0.5), "n": scored(en=0.25)}})
    two = account("a", {"bits": {"m": scored(en=1.5), "n": scored(en=0.5)}}, metric=Metric("bits", better="min"))
    table = tables.models_by_tasks({"one": one, "two": two})
    assert table.header == ["model", "one: a, %", "two: a, bits (lower is better)"]
    assert table.rows == [["m", "50.0 ± 2.0", "1.500 ± 0.020"], ["n", "25.0 ± 2.0", "0.500 ± 0.020"], ["n", "10", "10"]]


def test_contamination_is_told_by_evaluator_and_where_there_is_some_by_language():
    output = account("a", {"accuracy": {"m": scored(en=0.5)}})
    counts = {"de": {"rows": 10, "exact": 1, "overlapping": 2}, "en": {"rows": 30, "exact": 0, "overlapping": 0}}
    output["contamination"] = {"training_rows": 7, "evaluators": {"a": counts}}
    (table,) = tables.contamination({"one": output})
    assert table.rows == [["a", "40", "1 (2.5%)", "2 (5.0%)"], ["a, de", "10", "1 (10.0%)", "2 (20.0%)"]]
    assert list(tables.contamination({"one": account("a", {"accuracy": {"m": scored(en=0.5)}})})) == []


def test_another_metric_of_an_evaluator_can_have_a_column():
    output = account("flores", {"chrf++": {"m": scored(de=50.0)}, "xcomet": {"m": scored(de=0.9)}})
    output["evaluators"]["flores"]["metrics"]["chrf++"] = Metric(low=0, high=100, better="max").as_row()
    mean = {"m": output["scores"]["flores"]["xcomet"]["m"]["mean"]}
    output["groups"] = {"xCOMET": {"of": [["flores", "xcomet"]], "in_place_of": [], "models": mean, "missing": {}}}
    table = tables.models_by_tasks({"one": output})
    assert table.header == ["model", "flores", "xCOMET, %"]
    assert table.rows[0] == ["m", "50.0 ± 0.0", "90.0 ± 2.0"]


def test_a_language_that_a_model_lacks_is_empty():
    output = account("a", {"accuracy": {"m": scored(en=0.5, de=0.5), "n": scored(en=0.25)}})
    table = tables.languages_by_models(output, "a", "a")
    assert table.rows[0] == ["de", "50.0 ± 2.0", "", "10"]


def test_models_are_called_by_as_much_of_their_path_as_tells_them_apart():
    models = ["/x/a/last", "/x/b/last", "/x/c", "owner/name", "sft"]
    assert tables.names(models) == dict(zip(models, ["a/last", "b/last", "c", "owner/name", "sft"], strict=True))


def test_win_rates_are_drawn_by_pair_and_by_language():
    parts = {"win": 0.544, "loss": 0.428, "tie": 0.028}
    scores = {name: {"m": scored(en=v, ar=v), "rival": scored(en=v, ar=v)} for name, v in parts.items()}
    drawn = {picture.name: picture.svg for picture in of_rivals("arena", account("win-rate", scores, against="rival"))}
    assert drawn.keys() == {"arena.win-rate", "arena.win-rate@m"}
    whole = drawn["arena.win-rate"]
    assert "m vs rival" in whole
    widths = [float(width) for width in re.findall(r'<rect x="[\d.]+" y="\d+" width="([\d.]+)" height="16"', whole)]
    assert widths == pytest.approx([640 * share for share in parts.values()], abs=0.1)
    assert ">54.4<" in whole
    assert ">ar<" in drawn["arena.win-rate@m"]
