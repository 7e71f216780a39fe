import json
from functools import cache

import jsonschema
import pytest
from places import ROOT, SHARED

from aya_core.planning import yaml12
from aya_core.planning.registry import Registry
from aya_core.planning.schema import recipe_schema

RECIPES = [*Registry().recipes.values(), *sorted((ROOT / "examples" / "recipes").glob("*.yaml"))]


@cache
def validator(*plugins):
    schema = recipe_schema(Registry(plugins))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_that_run_fit_the_schema(path):
    recipe = json.loads(json.dumps(yaml12.parse(path.read_text(), str(path))))
    plugins = [path.parent / file for file in recipe.get("plugins", [])]
    assert [error.message for error in validator(*plugins).iter_errors(recipe)] == []


def test_a_misspelled_key_and_strategy_do_not_fit():
    def stage(**changes):
        return {
            "name": "x",
            "stages": [{"name": "m", "do": "merge", "models": "a", "merge": {"use": "slerp"}, **changes}],
        }

    fits = validator().is_valid
    assert fits(stage())
    assert not fits(stage(modles="a"))
    assert not fits(stage(merge={"use": "slrep"}))
    assert not fits(stage(merge={"use": "ties", "desnity": 0.2}))


def test_what_a_search_is_over_is_part_of_the_schema():
    def stage(**changes):
        search = {"name": "m", "do": "search", "models": "a", "merge": {"use": "ties"}, **changes}
        return {"name": "x", "stages": [{**search, "evaluator": {"use": "perplexity", "rows": "dev"}}]}

    fits = validator().is_valid
    assert fits(stage())
    assert fits(stage(over="weights"))
    assert fits(stage(over={"weights": "simplex", "density": [0.1, 1]}))
    assert not fits(stage(over="density"))
    assert not fits(stage(over={"density": 0.5}))
    assert not fits(stage(over={"density": [0.1]}))


def test_plugins_are_part_of_the_schema(tmp_path):
    plugin = SHARED / "cheap_plugin.py"
    schema = recipe_schema(Registry([plugin]))
    assert "mean" in [s["properties"]["use"]["const"] for s in schema["$defs"]["merge"]["anyOf"]]
