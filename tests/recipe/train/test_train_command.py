"""`aya train`: one train stage, from options or of a recipe."""

import json
import shutil

import pytest
from places import SHARED

from aya_core.contract.durable import write_sealed
from aya_core.planning import yaml12
from aya_recipe.train.options import stage_from_options

PLUGINS = ("--set", "plugins=[cheap_plugin.py]")


@pytest.fixture
def rows(tmp_path):
    """A file of rows, a model and the plugin, in the folder of the test."""
    shutil.copy(SHARED / "cheap_plugin.py", tmp_path)
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "model.json").write_text('{"off": 5}')
    lines = [{"id": f"{n}", "language": "en", "prompt": "1 + 1?", "completion": "2"} for n in range(4)]
    lines.append({"id": "sw", "language": "sw", "prompt": "1 + 1?", "completion": "2"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "rows.jsonl"


def train(aya_here, *words, trainer="learner", **more):
    return aya_here("train", "--data", "rows.jsonl", "--trainer", trainer, *PLUGINS, *words, **more)


def test_a_stage_made_of_options_leaves_a_checkpoint_and_says_what_was_gained(rows, tmp_path, aya_here):
    done = train(aya_here, "--start", "start", "--out", "out")
    assert json.loads((tmp_path / "out" / "checkpoint" / "model.json").read_text())["off"] == 4
    assert "4 rows" not in done.stdout  # the trainer does not count them; the reading step does
    assert "4 rows, prompt from 'prompt', completion from 'completion'" in done.stderr
    assert "1 left out in other languages (sw 1)" in done.stdout
    assert "4 → 4" in done.stdout
    assert "checkpoint: out/checkpoint" in done.stderr
    again = train(aya_here, "--start", "start", "--out", "out", "--json")
    account = json.loads(again.stdout)["train"]
    assert account["checkpoint"] == "out/checkpoint"
    assert account["measures"] == {"loss": 4.0}
    assert "2 of 2 steps stood already" in again.stderr
    train(aya_here, "--out", "out", "-q", trainer="learner,off=8")
    assert json.loads((tmp_path / "out" / "checkpoint" / "model.json").read_text())["off"] == 8  # the link follows


def test_a_run_that_was_stopped_goes_on(rows, tmp_path, aya_here):
    (tmp_path / "die").touch()
    settings = f"learner,off=3,die={tmp_path / 'die'},trace={tmp_path / 'trace'}"
    train(aya_here, "--out", "out", "-q", trainer=settings, check=2)
    assert not (tmp_path / "out" / "checkpoint").exists()
    train(aya_here, "--out", "out", "-q", trainer=settings)
    train(aya_here, "--out", "out", "-q", trainer=settings)
    assert len((tmp_path / "trace").read_text().splitlines()) == 2
    assert (tmp_path / "out" / "checkpoint" / "model.json").is_file()


def test_a_stage_of_a_recipe_is_trained_with_what_it_needs(cheap, tmp_path, aya_here):
    output = aya_here("train", cheap, "--stage", "sft", "--out", "out", "-q", "--json")
    assert set(json.loads(output.stdout)) == {"sft@west", "sft@east"}
    for cluster in ("west", "east"):
        assert json.loads((tmp_path / "out" / f"checkpoint@{cluster}" / "model.json").read_text())["off"] == 8
    assert not list((tmp_path / "out" / "artifacts").glob("blend*"))
    assert "say which with --stage" in aya_here("train", cheap, check=2).stderr
    assert "did you mean 'sft'" in aya_here("train", cheap, "--stage", "stf", check=2).stderr
    assert "no train stage of that name" in aya_here("train", cheap, "--stage", "arbitrage", check=2).stderr


def test_rows_of_a_run_can_be_named_by_their_folder(cheap, rows, tmp_path, aya_here):
    aya_here("run", cheap, "--until", "arbitrage", "--out", "out", "-q")
    (best,) = (tmp_path / "out" / "artifacts" / "arbitrage.best").iterdir()
    for name, folder in (("whole", best), ("payload", best / "payload")):
        words = ("--data", folder, "--trainer", "learner,off=2", *PLUGINS, "--out", name, "-q")
        aya_here("train", *words)
        assert json.loads((tmp_path / name / "checkpoint" / "model.json").read_text())["rows"] > 0


def test_mistakes_are_named(rows, tmp_path, aya_here):
    assert "--trainer is missing" in aya_here("train", "--data", "rows.jsonl", check=2).stderr
    assert "--data is missing" in aya_here("train", "--trainer", "learner", check=2).stderr
    assert "leave out RECIPE" in train(aya_here, "micro", check=2).stderr
    assert "no trainer named 'learnr'; did you mean 'learner'?" in train(aya_here, trainer="learnr", check=2).stderr
    (tmp_path / "out" / "checkpoint").mkdir(parents=True)
    write_sealed(tmp_path / "out" / "run.json", {"recipe": "train", "folder": "."})
    assert "out/checkpoint: is in the way" in train(aya_here, "--out", "out", "-q", check=2).stderr


def test_every_option_becomes_a_setting(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = stage_from_options(
        "start", "rows.jsonl", "pair-learner", ["plugins=[cheap_plugin.py]", "stages.train.limit=3"], command="train",
        objective="zero", reference="my-lab/base", validation="{use: sums, count: 2}",
    )  # fmt: skip
    (stage,) = loaded.recipe.stages
    assert (stage.start, stage.reference, stage.limit) == (str(tmp_path / "start"), "my-lab/base", 3)
    assert stage.validation.count == 2
    assert loaded.raw["stages"][0]["data"] == {"use": "jsonl", "path": "rows.jsonl"}
    yaml12.dump(dict(loaded.raw))


def test_a_limit_trains_on_a_part_of_the_rows_and_says_so(rows, tmp_path, aya_here):
    done = train(aya_here, "--start", "start", "--out", "out", "--limit", 2)
    assert "made with a limit: 2 of 4 rows, drawn by hash" in done.stdout
    account = json.loads(train(aya_here, "--start", "start", "--out", "out", "--limit", 2, "--json").stdout)["train"]
    assert account["read"]["rows"] == 2
