"""Checkpoints along a run have names, by which merges and other stages find them."""

import json
import shutil
from pathlib import Path

import pytest

from aya_core.api import RecipeError, make_plan
from aya_core.planning.recipe import load_recipe
from aya_plugins.trainers.sft import Sft

HERE = Path(__file__).parent


@pytest.fixture
def along(edit, cheap):
    """Write a recipe of a training by cluster, and of a merge of what it leaves; returns the file."""
    shutil.copy(HERE / "along_plugin.py", cheap.parent)

    def write(models, **settings):
        def change(raw):
            raw["plugins"].append("along_plugin.py")
            data, trainer = {"use": "sums", "demonstrations": True}, {"use": "along", **settings}
            raw["stages"] = [
                {"name": "sft", "do": "train", "each": "cluster", "data": data, "trainer": trainer},
                {"name": "blend", "do": "merge", "models": models, "merge": {"use": "mean"}},
            ]

        return edit(change)

    return write


def test_a_merge_takes_checkpoints_along_a_run(along, tmp_path, aya_here):
    aya_here("run", along(["sft@west:step-2", "sft@west:step-4", "sft@west"]), "--out", "run", "-q")
    (made,) = (tmp_path / "run" / "artifacts" / "blend").iterdir()
    assert json.loads((made / "payload" / "model.json").read_text())["off"] == 4  # of 7, 5 and 0
    (one,) = (tmp_path / "run" / "artifacts" / "sft@west:step-2").iterdir()
    assert [path.name for path in (one / "payload").iterdir()] == ["model.json"]
    done = aya_here("run", tmp_path / "cheap.yaml", "--out", "run", "-q", "--json")
    assert "sft@east" in json.loads(done.stdout)["sections"]["sft"]["data"]


def test_the_checkpoints_of_all_clusters_have_one_name(along):
    plan = make_plan(load_recipe(along("sft:step-4")))
    assert plan.names["sft:step-4"] == {"west": "sft@west:step-4", "east": "sft@east:step-4"}
    node = plan.nodes["sft@east:step-4"]
    assert (node.inputs, node.subpaths) == ({"model": "sft@east"}, {"model": "checkpoint-4"})


def test_a_step_that_leaves_none_is_refused_with_those_that_do(along):
    with pytest.raises(RecipeError, match="nothing named 'sft:step-3'; did you mean 'sft:step-"):
        make_plan(load_recipe(along("sft:step-3")))


def test_a_run_that_ended_before_says_so(along, aya_here):
    ended = aya_here("run", along("sft:step-4", ends=3), "--out", "run", "-q", check=2)
    assert "ended before that step" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_bundled_trainers_name_theirs():
    assert Sft(steps=8, checkpoints={"every": 4}).checkpoint_steps == (4, 8)
