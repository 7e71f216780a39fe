"""Models that are evaluated without a recipe: by the names that were typed, against a rival, over the languages that they have."""

import json

import pytest
from rivals import evaluate_rivals

from aya_core.api import SHARE, EvaluatedModel, EvaluatorStrategy, Field, PluginError, RowScore
from aya_recipe.evaluate import evaluation, tables


@pytest.fixture(scope="module")
def rivals(tmp_path_factory):
    """A run of a suite in which two models met a rival, with the prompts' items in three languages."""
    return evaluate_rivals(tmp_path_factory.mktemp("rivals"))


@pytest.fixture
def section(rivals):
    report = json.loads((rivals / "runs" / "suite" / "report.json").read_text())
    return report["sections"]["arena"]


def test_a_report_of_models_speaks_of_models_and_by_the_names_that_were_typed(rivals, section):
    page = (rivals / "runs" / "suite" / "report.html").read_text()
    assert section["title"] == "arena: what each model scored"
    assert "each stage" not in page
    assert "row above" not in page
    main = next(block for block in section["blocks"] if block["block"] == "table")
    assert [row[0] for row in main["rows"]] == ["ana", "bo", "rival"]
    assert "change from ana" in main["header"]
    pictures = [block["svg"] for block in section["blocks"] if block["block"] == "picture"]
    assert pictures
    assert not any(str(rivals) in svg for svg in pictures)


def test_nobody_is_compared_with_himself(section):
    account = section["data"]["table"]
    rival = account["evaluators"]["win-rate"]["against"]
    assert rival.endswith("rival")
    assert rival in account["models"]
    assert all(rival not in models for models in account["scores"]["win-rate"].values())
    main = next(block for block in section["blocks"] if block["block"] == "table")
    assert main["rows"][2][1] == "the rival"
    assert "score" not in section["data"]["stages"][2]


def test_a_model_is_compared_with_its_rival_in_all_else(rivals, aya_here):
    run = rivals / "runs" / "suite"
    shown = aya_here("compare", f"{run}:ana", f"{run}:rival").stdout
    assert "win-rate: B is its rival, and is not compared with itself: left out." in shown
    assert "fidelity: in_language" in shown
    (found,) = json.loads(aya_here("compare", f"{run}:ana", f"{run}:rival", "--json").stdout)
    assert found["rivals"] == {"win-rate": "B"}
    assert found["evaluators"].keys() == {"fidelity"}
    assert found["evaluators"]["fidelity"]["differs"] == []


def test_a_mean_over_fewer_languages_says_over_how_many(section):
    account = section["data"]["table"]
    table = tables.models_by_tasks({"arena": account})
    column = table.header.index("fidelity, %")
    cells = {row[0]: row[column] for row in table.rows}
    assert cells["bo"].endswith("(2 of 3 languages)")
    assert "languages)" not in cells["ana"]
    assert "fidelity: the mean of bo is without tr, which others have." in table.notes
    last = tables.languages_by_models(account, "fidelity", "fidelity").rows[-1]
    assert any(cell.endswith("(2 of 3 languages)") for cell in last)


def test_the_signature_says_how_errors_take_the_rows(section, rivals, aya_here):
    account = section["data"]["table"]
    evaluator = account["evaluators"]["fidelity"]
    assert (evaluator["items"], evaluator["languages"]) == (8, 3)
    notes = tables.models_by_tasks({"arena": account}).notes
    assert any("errors: items: 8 across 3 languages" in note for note in notes)
    shown = aya_here("compare", f"{rivals}/runs/suite:ana", f"{rivals}/runs/suite:bo").stdout
    assert "fidelity: 8 items across 3 languages" in shown
    (scores,) = (rivals / "runs" / "suite" / "artifacts").glob("arena.win-rate@*ana/*/payload")
    assert json.loads(aya_here("winrate", scores, "--json").stdout)["items"] == 8


def test_signatures_name_a_rival_alike_for_all(rivals, section):
    against = section["data"]["table"]["evaluators"]["win-rate"]["signature"]["against"]
    assert against == str((rivals / "models" / "rival").resolve())


class Surprising(EvaluatorStrategy):
    """Yield what was not declared."""

    metrics = {"accuracy": SHARE}
    metric: str = Field("accuracy", description="What to yield.")

    def build(self):
        return self

    def evaluate(self, evaluated):
        yield RowScore("p", "de", self.metric, 1.5)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("points", "the evaluator Surprising yielded the metric 'points', which it does not declare"),
        ("accuracy", "yielded 1.5 for 'accuracy', whose range it declares as 0 to 1"),
    ],
)
def test_a_metric_that_is_not_as_declared_ends_the_step(metric, message):
    strategy = Surprising(metric=metric)
    with pytest.raises(PluginError, match=message):
        list(evaluation.score(strategy, strategy, EvaluatedModel("m", [], [], [], lambda pairs: [])))


def test_a_run_of_an_earlier_version_is_read(rivals, aya_here, tmp_path):
    import shutil

    import pyarrow.parquet

    from aya_core.contract.durable import read_sealed, write_sealed

    old = tmp_path / "old"
    shutil.copytree(rivals / "runs" / "suite", old)
    for manifest in old.glob("artifacts/arena.*@*/*/artifact.json"):
        facts = read_sealed(manifest)
        if facts["kind"] != "scores":
            continue
        del facts["measures"]["metrics"]
        facts["measures"]["goal"] = "max"
        write_sealed(manifest, facts)
        rows = manifest.parent / "payload" / "rows.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(rows).drop(["item"]), rows)
    shown = aya_here("report", old).stdout
    assert "100.0" not in shown  # its unit is not known, so it is given as it stands
    assert "1.000" in shown
    assert "errors: rows are independent" in shown
