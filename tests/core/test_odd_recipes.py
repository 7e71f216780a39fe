"""Recipes and overrides that nobody would write on purpose: each gets a sentence."""

import pytest

from aya_core.contract.errors import AyaError, RecipeError
from aya_core.planning import yaml12
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe, validate_recipe
from aya_core.planning.registry import Registry

MERGE = "{name: m, do: merge, merge: {use: slerp}, models: [%s, ./b]}"

STAGES = {
    "a word": ("sft", "stages.0: expected a stage, a mapping with `name` and `do`"),
    "nothing": ("~", "stages.0: expected a stage"),
    "a list": ("[a]", "stages.0: expected a stage"),
    "a list to do": ("{do: [merge]}", "stages.0.do: no stage does ['merge']"),
    "a mapping to do": ("{do: {a: 1}}", "stages.0.do: no stage does"),
    "nothing to do": ("{name: m}", "stages.m: 'do' is missing"),
    "a key that is a type": ("{do: merge, name: m, int: 1}", "unknown key 'int'"),
    "a key that is none": ("{do: merge, name: m, none: 1}", "unknown key 'none'"),
    "a key with brackets": ('{do: merge, name: m, "seed[0]": 1}', "unknown key 'seed[0]'"),
    "a key that is a number": ("{do: merge, name: m, 1: 1}", "stages.m.1"),
    "a key that is null": ("{do: merge, name: m, ~: 1}", "stages.m.None"),
    "a user that is none": (MERGE % "~nosuchuser/x", "stages.m.models.0: '~nosuchuser/x': no path can be this"),
    "a null byte": (MERGE % '"./a\\0b"', "stages.m.models.0: './a\\x00b': no path can be this"),
    "a long name": (MERGE % ("./" + 300 * "a"), "no path can be this (File name too long)"),
    "a long path": (MERGE % ("./" + 3000 * "a/"), "no path can be this (File name too long)"),
    "half a character": (MERGE % '"./\\ud800"', "half a character"),
}

OVERRIDES = {
    "stages.².x=1": "no stage named '²'",
    "stages.١.x=1": "no stage named '١'",
    "stages.-1.x=1": "no stage named '-1'",
    "stages..x=1": "no stage named ''",
    f"stages.{5000 * '9'}.x=1": "no stage named '999",
    "stages.m.models.²=1": "is a list",
    "seed=!!int x": "'x' is no int",
    "seed=99999999999999999999": "expected one up to 9223372036854775807",
    "machine=1": "machine: ",
}


@pytest.fixture(scope="module")
def registry():
    return Registry()


@pytest.fixture
def refused(registry, tmp_path):
    def planned(text, overrides):
        raw = yaml12.parse(text, "r.yaml")
        return make_plan(validate_recipe(raw, source="r.yaml", folder=tmp_path, overrides=overrides, registry=registry))

    def refuse(text, *overrides):
        (tmp_path / "b").mkdir(exist_ok=True)
        with pytest.raises(AyaError) as caught:
            planned(text, overrides)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(("stage", "said"), STAGES.values(), ids=STAGES)
def test_an_odd_stage_is_told(refused, stage, said):
    assert said in refused(f"name: r\nstages:\n - {stage}\n")


@pytest.mark.parametrize(("override", "said"), OVERRIDES.items(), ids=[name[:30] for name in OVERRIDES])
def test_an_odd_override_is_told(refused, override, said):
    assert said in refused(f"name: r\nstages:\n - {MERGE % './b'}\n", override)


@pytest.mark.parametrize(
    "text", ["", "~", "[]", "1", "a", "{}", "{1: 2}", "name: x", "{stages: {}, int: 3}", "plugins: {}"]
)
def test_a_file_that_is_no_recipe_is_told(refused, text):
    assert refused(text).startswith("r.yaml: ")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("name: ä".encode("latin-1"), "not UTF-8 text .*; save the file as UTF-8"),
        ("name: a".encode("utf-16"), "it is UTF-16; save the file as UTF-8"),
        ("name: a".encode("utf-16-be"), "U\\+0000, which YAML does not allow"),
        (b"\x00", "U\\+0000"),
        (b"name: \x1b[31m", "U\\+001B"),
    ],
)
def test_a_recipe_in_another_encoding_is_told(tmp_path, written, said):
    (tmp_path / "r.yaml").write_bytes(written)
    with pytest.raises(RecipeError, match=said):
        load_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("name", ["a\0b.yaml", 300 * "a" + ".yaml", "folder"])
def test_a_recipe_under_a_name_of_no_file_is_told(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b.py", 300 * "a" + ".py", "~nosuchuser/x.py", "."])
def test_a_plugin_under_a_name_of_no_file_is_told(tmp_path, name):
    with pytest.raises(AyaError, match="plugins: no file"):
        validate_recipe({"name": "r", "plugins": [name], "stages": []}, source="r.yaml", folder=tmp_path)


def test_stages_whose_names_are_no_texts_are_told_when_an_override_looks_for_one(refused):
    """YAML reads `name: true` as no text, and `name: 1` as a number."""
    stages = "".join(f" - {{name: {name}, do: merge}}\n" for name in ("true", "1", "~", "[a]", "blend"))
    assert "no stage named 'blnd'; did you mean 'blend'?" in refused(f"name: r\nstages:\n{stages}", "stages.blnd.do=1")
