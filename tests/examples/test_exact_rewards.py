"""The recipe that looks for where preference training beats imitation: it is planned, its pairs of stages differ in what they say."""

import pytest
from places import ROOT

from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe

RECIPE = ROOT / "examples" / "recipes" / "exact-rewards.yaml"


@pytest.fixture(scope="module")
def loaded():
    return load_recipe(RECIPE)


def test_it_is_planned(loaded):
    nodes = make_plan(loaded).nodes
    assert {node.action for node in nodes.values()} >= {"train", "merge", "judge", "pick-groups", "evaluate"}


@pytest.mark.parametrize("arbiter", ["rm", "ver"])
def test_all_ways_of_learning_start_alike_and_take_as_many_steps(loaded, arbiter):
    ways = [
        stage
        for stage in loaded.recipe.stages
        if stage.name in {f"{way}-{arbiter}" for way in ("sft", "dpo", "rloo", "grpo")}
    ]
    assert len(ways) == 4
    same = ("start", "prompts", "sampling", "arbiter", "iterations", "each", "own", "merge")
    assert all(getattr(way, field) == getattr(ways[0], field) for way in ways for field in same)
    assert {way.trainer.steps for way in ways} == {100}
    assert [way.data for way in ways] == ["best", "pairs", "groups", "groups"]
