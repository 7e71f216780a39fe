import json
from pathlib import Path

import jsonschema
import pytest

from aya_core import yaml12
from aya_core.cli.recipe_argument import bundled_recipes
from aya_core.registry import Registry
from aya_core.schema import recipe_schema

ROOT = Path(__file__).parent.parent.parent
RECIPES = [*bundled_recipes().values(), *sorted((ROOT / "examples" / "recipes").glob("*.yaml"))]


@pytest.fixture(scope="module")
def validator():
    schema = recipe_schema(Registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_that_run_fit_the_schema(path, validator):
    recipe = json.loads(json.dumps(yaml12.parse(path.read_text(), str(path))))
    assert [error.message for error in validator.iter_errors(recipe)] == []


def test_a_misspelt_key_and_strategy_do_not_fit(validator):
    def stage(**changes):
        return {
            "name": "x",
            "stages": [{"name": "m", "do": "merge", "models": "a", "merge": {"use": "slerp"}, **changes}],
        }

    assert validator.is_valid(stage())
    assert not validator.is_valid(stage(modles="a"))
    assert not validator.is_valid(stage(merge={"use": "slrep"}))
    assert not validator.is_valid(stage(merge={"use": "ties", "desnity": 0.2}))


def test_plugins_are_part_of_the_schema(tmp_path):
    plugin = Path(__file__).parent / "cheap_plugin.py"
    schema = recipe_schema(Registry([plugin]))
    assert "mean" in [s["properties"]["use"]["const"] for s in schema["$defs"]["merge"]["anyOf"]]
