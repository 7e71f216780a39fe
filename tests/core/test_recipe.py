"""What bad recipes get: one message each, with the path, what was expected, and the nearest known name."""

import pytest

from aya_core.contract.errors import PluginError, RecipeError
from aya_core.planning import yaml12
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe, validate_recipe


def stage(raw, name):
    return next(stage for stage in raw["stages"] if stage["name"] == name)


def refuse(edit, change, *parts):
    with pytest.raises((RecipeError, PluginError)) as caught:
        make_plan(load_recipe(edit(change)))
    for part in parts:
        assert part in str(caught.value), caught.value
    return str(caught.value)


ROUTER = {"data": "arbitrage.verdicts", "trainer": {"use": "router", "prompts": "arbitrage.prompts"}}
BAD = {
    "misspelled key": (
        lambda raw: stage(raw, "sft").update(trainr=1),
        ["stages.sft", "unknown key 'trainr'", "did you mean 'trainer'?"],
    ),
    "misspelled key of a strategy": (
        lambda raw: stage(raw, "base")["trainer"].update(offf=2),
        ["stages.base.trainer", "unknown key 'offf'", "did you mean 'off'?"],
    ),
    "misspelled key of a group of settings": (
        lambda raw: stage(raw, "online")["sampling"].update(temprature=2),
        ["stages.online.sampling", "did you mean 'temperature'?"],
    ),
    "misspelled strategy": (
        lambda raw: stage(raw, "blend")["merge"].update(use="meen"),
        ["stages.blend.merge", "no merge named 'meen'", "did you mean 'mean'?"],
    ),
    "strategy without use": (
        lambda raw: stage(raw, "blend").update(merge={"weights": 1}),
        ["stages.blend.merge", "expected a merge as {use: name, ...}"],
    ),
    "unknown kind of stage": (
        lambda raw: stage(raw, "blend").update(do="merg"),
        ["stages.blend.do", "no stage does 'merg'", "did you mean 'merge'?"],
    ),
    "misspelled stage": (
        lambda raw: stage(raw, "offline").update(start="blnd"),
        ["stages.offline.start", "nothing named 'blnd'", "did you mean 'blend'?"],
    ),
    "later stage": (
        lambda raw: stage(raw, "sft").update(start="offline-blend"),
        ["stages.sft.start", "made by a later stage"],
    ),
    "itself": (lambda raw: stage(raw, "blend").update(models="blend"), ["stages.blend.models", "later stage"]),
    "wrong kind of artifact": (
        lambda raw: stage(raw, "sft").update(data="base"),
        ["stages.sft.data", "'base' is a checkpoint", "expected"],
    ),
    "pairs where answers are wanted": (
        lambda raw: stage(raw, "offline").update(data="arbitrage.best"),
        ["stages.offline.data", "'arbitrage.best' is demonstrations; expected preferences"],
    ),
    "one model where there is one per cluster": (
        lambda raw: stage(raw, "online").update(start="sft"),
        ["stages.online.start", "one result per cluster", "sft@west", "merge them"],
    ),
    "missing objective": (
        lambda raw: stage(raw, "offline").pop("objective"),
        ["stages.offline.objective", "trainer 'pair-learner' needs one"],
    ),
    "useless objective": (
        lambda raw: stage(raw, "sft").update(objective={"use": "zero"}),
        ["stages.sft.objective", "uses none"],
    ),
    "missing setting": (
        lambda raw: stage(raw, "arbitrage")["teachers"].update(clever={"use": "adder"}),
        ["stages.arbitrage.teachers.clever", "'model' is missing"],
    ),
    "unknown language": (
        lambda raw: raw.update(languages=["en", "xx"]),
        ["languages.1", "unknown language code 'xx'"],
    ),
    "cluster language that the recipe lacks": (
        lambda raw: raw["clusters"].update(north=["fi"]),
        ["clusters.north", "'fi' is not one of the recipe's languages"],
    ),
    "same name twice": (lambda raw: stage(raw, "sft").update(name="base"), ["stages.base", "names must differ"]),
    "weights for other models": (
        lambda raw: stage(raw, "blend").update(weights={"west": 1, "nord": 2}),
        ["stages.blend.weights", "expected one weight for each of west, east"],
    ),
    "unknown rival": (
        lambda raw: stage(raw, "scores")["evaluators"]["versus"].update(against="bse"),
        ["stages.scores.evaluators.versus.against", "did you mean 'base'?"],
    ),
    "missing file": (
        lambda raw: stage(raw, "scores")["evaluators"]["versus"].update(file="no/such.txt"),
        ["stages.scores", "no file or folder"],
    ),
    "missing model folder": (
        lambda raw: stage(raw, "sft").update(start="./nowhere"),
        ["stages.sft.start", "no folder"],
    ),
    "missing plugin file": (lambda raw: raw.update(plugins=["nope.py"]), ["plugins: no file"]),
    "a number out of range": (
        lambda raw: raw["machine"].update(jobs=0),
        ["machine.jobs", "greater than or equal to 1", "got 0"],
    ),
    "own without clusters": (
        lambda raw: stage(raw, "base").update(own=0.5),
        ["stages.base", "goes with `each: cluster`"],
    ),
    "one sample where pairs are wanted": (
        lambda raw: stage(raw, "online").update(sampling={"max_tokens": 64}),
        ["stages.online", "sampling.n is 1"],
    ),
    "a model merged with itself": (
        lambda raw: stage(raw, "blend").update(models=["sft@west", "sft@west"]),
        ["stages.blend.models", "listed twice"],
    ),
    "rows on a hub": (lambda raw: stage(raw, "sft").update(data="org/rows"), ["stages.sft.data", "no folder"]),
    "reuse and ask at once": (
        lambda raw: stage(raw, "arbitrage").update(answers="earlier"),
        ["stages.arbitrage", "expected either `prompts` and `teachers`, or `answers`"],
    ),
    "verdicts by cluster": (
        lambda raw: stage(raw, "sft").update(ROUTER, own=1.0),
        ["stages.sft.data", "verdicts cannot be chosen from by row or language"],
    ),
    "verdicts of a data set": (
        lambda raw: stage(raw, "sft").update(ROUTER, own=1.0, each=None, data={"use": "sums"}),
        ["stages.sft.data", "a data set yields no judged rows", "name what an earlier stage makes"],
    ),
    "no stages": (lambda raw: raw.update(stages=[]), ["stages"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recipe_gets_a_message_that_helps(name, edit):
    change, parts = BAD[name]
    refuse(edit, change, *parts)


def test_every_problem_is_told_at_once(edit):
    def change(raw):
        stage(raw, "sft").update(trainr=1)
        stage(raw, "blend")["merge"].update(use="meen")

    output = refuse(edit, change, "trainr", "meen")
    assert len(output.splitlines()) == 2


def test_the_only_stage_being_wrong_is_told_once(edit):
    output = refuse(edit, lambda raw: raw.update(stages=[{**raw["stages"][0], "do": "trian"}]), "did you mean 'train'")
    assert len(output.splitlines()) == 1


def test_overrides_reach_stages_by_name(cheap):
    loaded = load_recipe(cheap, ["stages.base.trainer.off=4", "seed=8", "stages.online.sampling.n=2"])
    assert loaded.recipe.seed == 8
    assert loaded.recipe.stages[0].trainer.off == 4
    assert loaded.recipe.stages[7].sampling.n == 2


def test_an_override_leaves_a_stage_that_shares_settings_by_an_alias(cheap):
    raw = yaml12.parse(cheap.read_text(), "cheap.yaml")
    stage(raw, "offline")["trainer"] = stage(raw, "online")["trainer"]  # one object, as an alias makes
    overrides = ["stages.offline.trainer.off=4"]
    loaded = validate_recipe(raw, source="cheap.yaml", folder=cheap.parent, overrides=overrides)
    trainers = {each.name: each.trainer for each in loaded.recipe.stages if each.name in ("offline", "online")}
    assert trainers["offline"].off == 4
    assert trainers["online"].off != 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.bse.trainer.off=4", "did you mean 'base'"),
        ("seed", "expected path.to.setting=value"),
        ("stages.base=4", "is a list"),
        ("seed.x=4", "has no settings"),
    ],
)
def test_bad_overrides_are_refused(cheap, override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(cheap, [override])


def test_norway_is_a_language(edit):
    def change(raw):
        raw["languages"].append("no")

    assert "no" in load_recipe(edit(change)).recipe.languages


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "r.yaml")


def test_a_cluster_stage_takes_the_start_of_its_own_cluster(edit):
    def change(raw):
        stage(raw, "offline").update(start="sft")

    plan = make_plan(load_recipe(edit(change)))
    assert plan.nodes["offline@west"].inputs["start"] == "sft@west"
    assert plan.nodes["offline@west"].inputs["reference"] == "sft@west"


def test_rounds_use_the_reference_that_the_recipe_names(edit):
    previous = make_plan(load_recipe(edit(lambda raw: None)))
    initial = make_plan(load_recipe(edit(lambda raw: stage(raw, "online").update(reference="initial"))))
    assert previous.nodes["online.3@east"].inputs["reference"] == "online.2"
    assert initial.nodes["online.3@east"].inputs["reference"] == "offline-blend"
    assert (
        previous.nodes["online.3@east"].inputs["start"] == initial.nodes["online.3@east"].inputs["start"] == "online.2"
    )


def test_each_round_asks_other_prompts(cheap):
    plan = make_plan(load_recipe(cheap))
    splits = [plan.nodes[f"online.{round}.answers"].settings["split"] for round in (1, 2, 3)]
    assert splits == [(0, 3), (1, 3), (2, 3)]


def test_a_limit_holds_without_clusters(edit):
    plan = make_plan(load_recipe(edit(lambda raw: stage(raw, "base").update(limit=5))))
    assert plan.nodes["base"].inputs["rows"] == "base.chosen"
    assert plan.nodes["base.chosen"].settings["limit"] == 5


def test_rows_of_a_folder_can_be_trained_on_and_asked(edit, tmp_path):
    (tmp_path / "rows").mkdir()

    def change(raw):
        stage(raw, "offline").update(data="./rows")
        stage(raw, "arbitrage").update(prompts="./rows")

    plan = make_plan(load_recipe(edit(change)))
    assert plan.nodes["offline.data@west"].external == {"rows": str(tmp_path / "rows")}
    assert plan.nodes["arbitrage.routes"].external == {"prompts": str(tmp_path / "rows")}
