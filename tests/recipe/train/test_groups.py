"""Rows of the kind `groups` on their way to a trainer, and objectives that need no reference."""

import json
import shutil
from pathlib import Path

import pytest

from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe

HERE = Path(__file__).parent


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe of some stages; `model` is a folder of it."""
    shutil.copy(HERE / "groups_plugin.py", tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    def write(*stages, **more):
        raw = {
            "name": "groups",
            "seed": 0,
            "languages": ["en", "de"],
            "plugins": ["groups_plugin.py"],
            "stages": list(stages),
            **more,
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(raw))
        return tmp_path / "recipe.yaml"

    return write


def learn(name="learn", beta=1.0, **more):
    return {
        "name": name, "do": "train", "start": "./model", "data": {"use": "scored"}, "trainer": {"use": "noter"},
        "objective": {"use": "anchored", "beta": beta}, **more,
    }  # fmt: skip


def noted(recipe, name):
    (found,) = [path for path in (recipe.parent / "run").rglob("noted.json") if name in str(path)]
    return json.loads(found.read_text())


def test_groups_reach_a_trainer_whole_and_by_language(recipe, aya):
    rows = {"name": "rows", "do": "data", "rows": {"use": "scored"}, "kind": "groups"}
    path = recipe(
        rows, learn(data="rows"), learn("free", beta=0, limit=3),
        learn("parts", data="rows", each="cluster", own=0.7), clusters={"shared": [], "west": ["en"], "east": ["de"]},
    )  # fmt: skip
    aya("run", path, "--out", path.parent / "run", check=0)
    whole = noted(path, "learn")
    assert [id for id, _ in whole["rows"]] == [
        f"{language}/{prompt}" for language in ("en", "de") for prompt in range(4) for _ in range(3)
    ]
    assert [score for _, score in whole["rows"]] == [0.0, 1.0, 2.0] * 8
    assert (whole["needs_reference"], whole["has_reference"]) == (True, True)
    free = noted(path, "free")
    assert (free["needs_reference"], free["has_reference"]) == (False, False)
    assert [score for _, score in free["rows"]] == [0.0, 1.0, 2.0] * 3  # a limit of three prompts, each whole
    part = noted(path, "parts@west")["rows"]
    assert [id[:2] for id, _ in part] == ["en"] * 12 + ["de"] * 6  # 4 of 0.7 in all, rounded
    assert [score for _, score in part] == [0.0, 1.0, 2.0] * 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"use": "scored", "apart": True},
            "has the id 'en/0' twice; the answers to a prompt must come one after the other",
        ),
        ({"use": "scored", "scored": False}, "an answer to 'en/0' has no score"),
    ],
)
def test_rows_that_are_no_groups_are_told_why(recipe, aya, data, message):
    path = recipe(learn(data=data))
    done = aya("run", path, "--out", path.parent / "run")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_an_id_of_another_kind_may_still_not_come_twice(recipe, aya):
    path = recipe({"name": "rows", "do": "data", "rows": {"use": "scored"}, "kind": "demonstrations"})
    done = aya("run", path, "--out", path.parent / "run")
    assert "has the id 'en/0' twice; ids must differ" in done.stdout + done.stderr


def refusal(path):
    with pytest.raises(RecipeError) as caught:
        make_plan(load_recipe(path))
    return str(caught.value)


def test_an_objective_without_reference_depends_on_none_and_is_given_none(recipe):
    plan = make_plan(load_recipe(recipe(learn(), learn("free", beta=0))))
    assert plan.nodes["learn"].settings["reference"] is not None
    assert plan.nodes["free"].settings["reference"] is None
    assert "reference" not in {*plan.nodes["free"].inputs, *plan.nodes["free"].external}
    replied = refusal(recipe(learn(beta=0, reference="./model")))
    assert "stages.learn.reference: objective 'anchored' compares the policy with none; remove it" in replied


def test_an_objective_over_pairs_is_refused_by_a_trainer_of_groups(recipe):
    replied = refusal(recipe(learn() | {"objective": {"use": "of-pairs"}}))
    assert "'of-pairs' is a loss over pairs, trainer 'noter' takes one over groups" in replied
