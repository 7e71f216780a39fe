"""The account of training: from artifacts and logs alone."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from aya_core.running.record import RecordedStage, RecordedStep, RunRecord
from aya_recipe.report import terminal
from aya_recipe.train.report import gather, section

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
def stage(tmp_path):
    def step(id, stage, action, **inputs):
        return RecordedStep(id=id, stage=stage, action=action, kind="", inputs=inputs)

    steps = [
        step("dpo.data", "dpo", "read"), step("dpo@west", "dpo", "train", rows="dpo.data"),
        step("dpo@east", "dpo", "train", rows="dpo.data"), step("sft", "sft", "train"),
    ]  # fmt: skip
    lines = [json.dumps({"total": 30, "time": 1.0, **line}) for line in LOG]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:2], '{"done": 1', *lines[2:]]))
    made = {
        "dpo.data": {"seconds": 0.1, "measures": {"rows": 1234, "left_out": {"sw": 7, "und": 1}}},
        "dpo@west": {"folder": tmp_path, "seconds": 12.34, "measures": MEASURES},
        "dpo@east": {"seconds": 1.0, "measures": {"loss": 1.0}},
        "sft": {"seconds": 1.0, "measures": {"loss": 1.0}},
    }
    standing = {id: SimpleNamespace(node=id, **{"folder": tmp_path / "none", **facts}) for id, facts in made.items()}
    stages = {name: RecordedStage(name=name, do="train") for name in ("dpo", "sft")}
    run = RunRecord(tmp_path, "r", 0, "1", 0.0, stages, {step.id: step for step in steps}, {}, standing)
    return run.stage("dpo")


@pytest.fixture
def accounts(stage):
    return gather(stage)


def replied(stage):
    console = Console(file=io.StringIO(), width=60)
    terminal.show("dpo", section(stage), console, "report")
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


def test_each_measure_is_told_from_its_first_report_to_the_last(stage):
    lines, _ = replied(stage)
    assert "dpo@west de 4 → 1.75" in lines
    assert "dpo@west 2.5 → 0.5 0 → 2 50% → 100% 30 200 12.3" in lines
    assert "dpo@east 1 0 1.0" in lines  # without a log, the last values alone


def test_held_out_measures_are_told_by_language(stage):
    del stage.run.standing["dpo@east"]
    lines, _ = replied(stage)
    assert "all 3 → 1.5" in lines
    assert "de 4 → 1.75" in lines
    assert "zh-Hant 2 → 1.25" in lines


def test_rows_are_counted_by_what_became_of_them(stage):
    _, text = replied(stage)
    assert (
        "dpo@west: 1,234 rows; 8 left out in other languages (sw 7, und 1); 3 truncated; 2 dropped; 2 dropped as chosen equals rejected"
        in text
    )
