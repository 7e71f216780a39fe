"""What is bundled can be blocked: a recipe that names none of it runs all the same, and one that needs it says so."""

import json
import shutil
from importlib.metadata import entry_points

import pytest
from places import ROOT, SHARED

TRANSLATE = ROOT / "examples" / "third_party_stage" / "aya_translate.py"

BUNDLED = sorted(point.name for point in entry_points(group="aya") if point.dist.name == "aya-core")
RECIPE = "aya-recipe"
STRATEGIES = [name for name in BUNDLED if name != RECIPE]


def blocking(*names):
    return {"AYA_DISABLE_PLUGINS": ",".join(names)}


@pytest.fixture
def nameless(edit):
    """The cheap recipe, whose strategies are a plugin's of its own, with the defaults of what it need not name."""

    def leave_out(raw):
        for stage in raw["stages"]:
            stage.pop("router", None)
            stage.pop("guards", None)

    return edit(leave_out)


def test_each_kind_arrives_by_an_entry_point_of_its_own():
    assert {"aya-routers", "aya-teachers", "aya-evaluators", "aya-merges", "aya-trackers"} < set(STRATEGIES)
    assert RECIPE in BUNDLED


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_recipe_that_names_nothing_of_a_bundled_plugin_is_sound_without_it(nameless, aya_here, name):
    aya_here("check", nameless, env=blocking(name))


def test_a_recipe_runs_whole_without_any_bundled_strategy(nameless, aya, tmp_path):
    aya("run", nameless, "--out", tmp_path / "out", "-q", env=blocking(*STRATEGIES), check=0)


def test_a_stage_of_a_strangers_runs_without_the_bundled_recipe(aya, tmp_path):
    for file in (TRANSLATE, SHARED / "noting_plugin.py"):
        shutil.copy(file, tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"id": "p", "language": "en", "prompt": "Good morning"}\n')
    stage = {
        "name": "many",
        "do": "translate",
        "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
        "teacher": {"use": "noting", "notes": str(tmp_path / "notes")},
        "into": ["de"],
    }
    plugins = [TRANSLATE.name, "noting_plugin.py"]
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "many", "plugins": plugins, "stages": [stage]}))
    others = [name for name in STRATEGIES if name != "aya-datasets"]
    aya("run", tmp_path / "recipe.json", "--out", tmp_path / "out", env=blocking(RECIPE, *others), check=0)
    assert (tmp_path / "notes").read_text() == "p@de\n"


def test_models_are_scored_without_a_teacher_where_no_evaluator_needs_one(edit, aya_here):
    def score_alone(raw):
        scores = raw["stages"][-1]
        del scores["teacher"], scores["prompts"], scores["sampling"]
        scores["evaluators"] = {"made-up": {"use": "made-up"}}

    recipe = edit(score_alone)
    plugin = recipe.parent / "cheap_plugin.py"
    plugin.write_text(
        plugin.read_text().replace('return {"right": Right', 'return {"made-up": MadeUp, "right": Right')
        + "\n\nclass MadeUp(Right):\n    '''Ask nothing.'''\n\n    needs_answers = False\n"
    )
    aya_here("check", recipe, env=blocking("aya-teachers"))


def test_a_stage_that_needs_the_default_teacher_says_so_where_it_is_blocked(edit, aya_here):
    recipe = edit(lambda raw: raw["stages"][-1].pop("teacher"))
    replied = aya_here("check", recipe, env=blocking("aya-teachers"), check=2).stderr
    assert "stages.scores.teacher: missing; expected a teacher that runs a model" in replied


def test_guards_that_need_the_default_arbiter_say_so_where_it_is_blocked(edit, aya_here):
    def limit(raw):
        online = next(stage for stage in raw["stages"] if stage["name"] == "online")
        online["guards"] = {"stop": {"mismatch": 0.1}}

    replied = aya_here("check", edit(limit), env=blocking("aya-arbiters"), check=2).stderr
    assert "missing; stop.mismatch needs an arbiter" in replied
