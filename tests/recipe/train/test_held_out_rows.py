"""Rows that a training stage holds out, and modules that some settings need."""

import json

import pytest

from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe


def stage(raw, name):
    return next(stage for stage in raw["stages"] if stage["name"] == name)


def test_a_cluster_is_measured_on_held_out_rows_in_its_languages(edit, aya, tmp_path):
    def change(raw):
        held_out = {**stage(raw, "arbitrage"), "name": "held-out", "prompts": {"use": "sums", "count": 4}}
        offline = {**stage(raw, "offline"), "validation": "held-out.pairs"}
        raw["stages"] = [*raw["stages"][:5], held_out, offline]

    aya("run", edit(change), "--out", tmp_path / "run", check=0)
    counts = {}
    for cluster in ("west", "east"):
        (manifest,) = (tmp_path / "run" / "artifacts" / f"offline@{cluster}").glob("*/artifact.json")
        measures = json.loads(manifest.read_text())["measures"]
        counts[cluster] = {name for name in measures if name.startswith("held_out/")}
    assert counts == {"west": {"held_out/de", "held_out/en"}, "east": {"held_out/en"}}  # no pair is Turkish


def test_held_out_rows_may_be_a_data_set_and_are_an_input_of_the_training(edit):
    def change(raw):
        raw["stages"] = [
            *raw["stages"][:1],
            {"name": "sft", "do": "train", "start": "base", "data": {"use": "sums", "demonstrations": True},
             "validation": {"use": "sums", "demonstrations": True, "count": 2}, "trainer": {"use": "sft"}},
        ]  # fmt: skip

    nodes = make_plan(load_recipe(edit(change))).nodes
    assert nodes["sft"].inputs["validation"] == "sft.validation"
    assert nodes["sft.validation"].kind == "demonstrations"


def test_a_trainer_that_reads_anything_has_nothing_to_measure_on(edit):
    with pytest.raises(RecipeError, match=r"stages.base.validation: this trainer learns from no row"):
        make_plan(load_recipe(edit(lambda raw: stage(raw, "base").update(validation={"use": "sums"}))))


def test_settings_that_need_a_module_ask_for_it_before_any_work_is_done(edit):
    def change(raw):
        stage(raw, "sft")["trainer"] = {"use": "sft", "optimizer": "adamw-8bit", "lora": {"rank": 2}}

    nodes = make_plan(load_recipe(edit(change))).nodes
    assert {"peft", "bitsandbytes"} <= set(nodes["sft@west"].needs)
    assert not {"peft", "bitsandbytes"} & set(nodes["base"].needs)
