"""The account of training: from artifacts and logs alone."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from aya_core.report.terminal import show_training
from aya_core.report.training import gather

LOG = [
    {"done": 0, "validation/loss": 3.0, "validation/loss/de": 4.0, "validation/loss/zh-Hant": 2.0},
    {"done": 10, "loss": 2.5, "rewards/margins": 0.0, "rewards/accuracies": 0.5, "tokens_per_second": 100.0},
    {"done": 20, "loss": 1.0, "rewards/margins": 1.25, "rewards/accuracies": 0.9, "tokens_per_second": 300.0},
    {"done": 20, "validation/loss": 1.5, "validation/loss/de": 1.75, "validation/loss/zh-Hant": 1.25},
    {"done": 30, "loss": 0.5, "rewards/margins": 2.0, "rewards/accuracies": 1.0, "tokens_per_second": 200.0},
]
MEASURES = {
    **{name: value for name, value in (LOG[3] | LOG[4]).items() if name != "done"},
    "rows": 1234,
    "steps": 30,
    "truncated_rows": 3,
    "dropped_rows": 2,
    "dropped/chosen equals rejected": 2,
}


@pytest.fixture
def accounts(tmp_path):
    nodes = {
        "dpo.data": SimpleNamespace(id="dpo.data", stage="dpo", action="read", inputs={}),
        "dpo@west": SimpleNamespace(id="dpo@west", stage="dpo", action="train", inputs={"rows": "dpo.data"}),
        "dpo@east": SimpleNamespace(id="dpo@east", stage="dpo", action="train", inputs={"rows": "dpo.data"}),
        "sft": SimpleNamespace(id="sft", stage="sft", action="train", inputs={}),
    }
    lines = [json.dumps({"total": 30, "time": 1.0, **line}) for line in LOG]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:2], '{"done": 1', *lines[2:]]))
    artifact = SimpleNamespace(folder=tmp_path, seconds=12.34, measures=MEASURES)
    data = SimpleNamespace(
        folder=tmp_path / "none", seconds=0.1, measures={"rows": 1234, "left_out": {"sw": 7, "und": 1}}
    )
    bare = SimpleNamespace(folder=tmp_path / "none", seconds=1.0, measures={"loss": 1.0})
    return gather(
        "dpo", SimpleNamespace(nodes=nodes), {"dpo.data": data, "dpo@west": artifact, "dpo@east": bare, "sft": bare}
    )


def said(accounts):
    console = Console(file=io.StringIO(), width=60)
    show_training(accounts, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()], console.file.getvalue()


def test_only_the_runs_of_the_stage_are_accounted_for(accounts):
    assert list(accounts) == ["dpo@west", "dpo@east"]
    west = accounts["dpo@west"]
    assert west["first"]["loss"] == 2.5
    assert west["first"]["validation/loss/de"] == 4.0
    assert west["measures"]["loss"] == 0.5
    assert west["tokens_per_second"] == 200.0
    assert west["read"]["left_out"] == {"sw": 7, "und": 1}
    assert accounts["dpo@east"]["first"] == {}
    json.dumps(accounts)


def test_each_measure_is_told_from_its_first_report_to_the_last(accounts):
    lines, _ = said(accounts)
    assert "dpo@west 2.5 → 0.5 0 → 2 50% → 100% 30 200 12.3" in lines
    assert "dpo@east 1 0 1.0" in lines  # without a log, the last values alone


def test_held_out_measures_are_told_by_language(accounts):
    lines, _ = said({"dpo@west": accounts["dpo@west"]})
    assert "all 3 → 1.5" in lines
    assert "de 4 → 1.75" in lines
    assert "zh-Hant 2 → 1.25" in lines
    lines, _ = said(accounts)
    assert "dpo@west de 4 → 1.75" in lines


def test_rows_are_counted_by_what_became_of_them(accounts):
    _, text = said(accounts)
    assert (
        "dpo@west: 1,234 rows; 8 left out in other languages (sw 7, und 1); 3 truncated; 2 dropped; 2 dropped as chosen equals rejected"
        in text
    )
