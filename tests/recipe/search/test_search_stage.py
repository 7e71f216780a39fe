"""The stage `search`, run whole on models that are one number, and everything that it refuses."""

import json
import shutil

import pytest
from places import SHARED

from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_recipe.numbers.statistics import Estimate
from aya_recipe.search.report import sentences
from aya_recipe.search.search import beats

pytestmark = pytest.mark.exhaustive


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe with a search between the numbers 0 and 1; returns its path. change: edits it as data."""
    shutil.copy(SHARED / "search_plugin.py", tmp_path / "search_plugin.py")

    def write(change=lambda stages: None):
        rows = {"use": "near", "around": 0.3}
        point = {"use": "point"}
        stages = {
            "a": {"do": "train", "data": rows, "trainer": {**point, "value": 0.0}},
            "b": {"do": "train", "data": rows, "trainer": {**point, "value": 1.0}},
            "blend": {
                "do": "search",
                "models": ["a", "b"],
                "merge": {"use": "mix"},
                "prompts": {"use": "near", "around": 0.3, "first": 100},
                "teacher": {"use": "speaker"},
                "evaluator": {"use": "distance"},
                "budget": 20,
            },
            "scores": {
                "do": "evaluate",
                "models": ["a", "blend"],
                "prompts": {"use": "near", "around": 0.3, "first": 200},
                "teacher": {"use": "speaker"},
                "greedy": False,
                "evaluators": {"distance": {"use": "distance"}},
            },
        }
        change(stages)
        output = [{"name": name, **stage} for name, stage in stages.items()]
        path = tmp_path / "recipe.json"
        raw = {"name": "searching", "seed": 1, "languages": ["en"], "plugins": ["search_plugin.py"], "stages": output}
        path.write_text(json.dumps(raw))
        return path

    return write


def account(out):
    (file,) = out.glob("artifacts/blend/*/payload/search.json")
    return json.loads(file.read_text())


def model(out):
    (file,) = out.glob("artifacts/blend/*/payload/model.json")
    return json.loads(file.read_text())


def refusal(path):
    """What is said of a recipe that cannot be planned."""
    with pytest.raises(RecipeError) as error:
        make_plan(load_recipe(path))
    return str(error.value)


def set_in(stage, **values):
    return lambda stages: stages[stage].update(values)


def test_a_search_leaves_the_best_merge_and_tells_of_all(recipe, aya, tmp_path):
    output = aya("run", recipe(), "--out", tmp_path / "out", check=0)
    found = account(tmp_path / "out")
    candidates = found["candidates"]
    assert len(candidates) == 20 == found["tried"]
    assert candidates[0]["weights"] == {"a": 1.0, "b": 1.0}
    best = candidates[found["best"]]
    assert best["score"] == min(candidate["score"] for candidate in candidates) == found["score"]
    assert best["score"] < 0.1 < candidates[0]["score"] == found["uniform"]
    assert all(candidate["n"] == 8 and candidate["standard_error"] > 0 for candidate in candidates)
    assert model(tmp_path / "out")["weights"] == list(best["weights"].values())
    difference = found["difference"]
    assert difference["value"] == pytest.approx(found["score"] - found["uniform"])
    assert difference["low_of_best"] < difference["low"] < difference["high"] < difference["high_of_best"] < 0
    assert found["beats_uniform"] is True
    assert (found["goal"], found["metric"]) == ("min", "distance")
    assert found["optimizer"].startswith("CMA-ES")
    assert "blend: 20 merges: the best is number" in output.stdout
    assert "beats the uniform one by more than the paired interval" in output.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sections"]["blend"]["data"]["best"] == found["best"]
    for page in ("report.md", "report.html"):
        assert "by more than the paired interval" in (tmp_path / "out" / page).read_text()
    assert [row["name"] for row in report["sections"]["scores"]["data"]["stages"]] == ["a", "blend"]
    assert "blend: 20 merges: the best is number" in aya("report", tmp_path / "out", check=0).stdout


def test_the_same_seed_finds_the_same_and_a_second_run_does_nothing(recipe, aya, tmp_path):
    aya("run", recipe(), "--out", tmp_path / "one", "-q", check=0)
    aya("run", recipe(), "--out", tmp_path / "two", "-q", check=0)
    assert account(tmp_path / "one") == account(tmp_path / "two")
    assert "steps stood already" in aya("run", recipe(), "--out", tmp_path / "one", check=0).stderr
    aya("run", recipe(), "--out", tmp_path / "three", "-q", "--set", "seed=2", check=0)
    assert account(tmp_path / "one")["candidates"][1:] != account(tmp_path / "three")["candidates"][1:]


@pytest.mark.parametrize("survived", [0, 9])
def test_a_search_that_is_killed_goes_on_and_scores_nothing_twice(recipe, aya, tmp_path, survived):
    fuse, trace = tmp_path / "fuse", tmp_path / "trace"
    aya_recipe = recipe(lambda stages: stages["blend"]["evaluator"].update(die=str(fuse), trace=str(trace)))
    out, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    aya("run", aya_recipe, "--out", undisturbed, "-q", check=0)
    scorings = trace.read_text().splitlines()
    trace.unlink()
    fuse.write_text(str(survived))
    assert "was killed (SIGKILL)" in aya("run", aya_recipe, "--out", out, "-q", check=2).stderr
    (partial,) = out.glob("artifacts/blend/*.partial/work")
    assert len((partial / "search.jsonl").read_text().splitlines() if survived else []) == survived
    aya("run", aya_recipe, "--out", out, "-q", check=0)
    assert account(out) == account(undisturbed)
    assert model(out) == model(undisturbed)
    again = trace.read_text().splitlines()
    assert again == scorings[: survived + 1] + scorings[survived:]  # what was at work when it died, once more
    assert not list(out.glob("artifacts/**/*.partial"))


def test_a_search_that_died_after_its_best_was_moved_makes_it_again(recipe, aya, tmp_path):
    from aya_core.running.inventory import Inventory
    from aya_core.running.run_folder import Run
    from aya_core.running.worker import do
    from aya_recipe.search import trials as search_trials

    loaded = load_recipe(recipe())
    plan, inventory = make_plan(loaded), Inventory(Run(tmp_path / "out"))

    def make(id, folder):
        node = plan.nodes[id]
        record = {"fingerprint": "f", "contents": {}}
        inventory.standing[id] = do(node, loaded.registry, inventory.paths(node), folder, record, lambda *replied: None)
        return inventory.standing[id]

    for id in list(plan.nodes)[: list(plan.nodes).index("blend")]:
        make(id, tmp_path / id)
    whole = make("blend", tmp_path / "whole")

    class Killed(BaseException):
        pass

    finish = search_trials.MergeTrials.finish

    def dies(self, best):
        finish(self, best)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_trials.MergeTrials, "finish", dies)
        with pytest.raises(Killed):
            make("blend", tmp_path / "again")
    assert (tmp_path / "again.partial" / "payload" / "model.json").exists()
    assert make("blend", tmp_path / "again").content == whole.content


def test_settings_of_the_merge_are_searched_too(recipe, aya, tmp_path):
    over = {"weights": "simplex", "scale": [0.2, 2.0]}
    aya("run", recipe(set_in("blend", over=over, budget=40)), "--out", tmp_path / "out", "-q", check=0)
    found = account(tmp_path / "out")
    assert found["candidates"][0]["settings"] == {"scale": 1.0}
    assert all(0.2 <= candidate["settings"]["scale"] <= 2.0 for candidate in found["candidates"])
    assert len({candidate["settings"]["scale"] for candidate in found["candidates"]}) > 30
    weights, scale = found["weights"], found["settings"]["scale"]
    assert model(tmp_path / "out")["value"] == pytest.approx(scale * weights["b"] / 2, abs=1e-5)


def test_settings_alone_are_searched_with_all_weights_at_one(recipe, aya, tmp_path):
    aya("run", recipe(set_in("blend", over={"scale": [0.2, 2.0]})), "--out", tmp_path / "out", "-q", check=0)
    found = account(tmp_path / "out")
    assert found["weights"] == {}
    assert model(tmp_path / "out")["weights"] == [1.0, 1.0]
    assert found["settings"]["scale"] == pytest.approx(0.6, abs=0.1)


def test_a_generation_is_merged_before_it_is_scored_and_its_size_is_a_setting(recipe, aya, tmp_path):
    trace = tmp_path / "trace"

    def change(stages):
        stages["blend"].update(population=5, budget=11)
        stages["blend"]["merge"]["trace"] = stages["blend"]["evaluator"]["trace"] = str(trace)

    aya("run", recipe(change), "--out", tmp_path / "out", "-q", check=0)
    merged = [line.isdigit() for line in trace.read_text().splitlines()]
    assert merged == [True] * 6 + [False] * 6 + [True] * 5 + [False] * 5


@pytest.mark.parametrize(
    ("place", "setting", "limit", "message"),
    [
        ("merge", "refuses", 1.3, "is above 1.3"),
        ("evaluator", "nan_above", 0.52, "expected RowScore or CorpusScore with a finite value"),
        ("evaluator", "silent_above", 0.52, "1 of the 8 rows that the uniform merge scored have no score"),
    ],
)
def test_candidates_that_fail_are_named_and_never_best(recipe, aya, tmp_path, place, setting, limit, message):
    change = lambda stages: stages["blend"][place].update({setting: limit})  # noqa: E731
    run = aya("run", recipe(change), "--out", tmp_path / "out", check=0)
    found = account(tmp_path / "out")
    failed = [candidate for candidate in found["candidates"] if "failed" in candidate]
    assert 0 < len(failed) == found["failed"] < 20
    assert all(message in candidate["failed"] and candidate["score"] is None for candidate in failed)
    assert "failed" not in found["candidates"][found["best"]]
    assert f"20 merges, of which {len(failed)} failed" in run.stdout


@pytest.mark.parametrize(
    ("place", "values", "message"),
    [
        ("evaluator", {"nan_above": 0.1}, "the merge with uniform weights, which the search starts from, has no score: the evaluator"),
        ("merge", {"refuses": 0.0}, "the weight 1.00 is above 0.0"),
    ],
)  # fmt: skip
def test_a_search_whose_start_fails_ends_and_may_be_tried_again(recipe, aya, tmp_path, place, values, message):
    change = lambda stages: stages["blend"][place].update(values)  # noqa: E731
    for _ in range(2):
        replied = aya("run", recipe(change), "--out", tmp_path / "out", "-q", check=2).stderr
        assert f"stages.blend: step 'blend': {message}" in replied
    (scratch,) = (tmp_path / "out").glob("artifacts/blend/*.partial/work")
    assert not (scratch / "search.jsonl").exists()


def test_where_nothing_is_better_the_uniform_merge_stands(recipe, aya, tmp_path):
    def change(stages):
        stages["blend"]["prompts"]["around"] = 0.5

    output = aya("run", recipe(change), "--out", tmp_path / "out", check=0).stdout
    found = account(tmp_path / "out")
    assert found["beats_uniform"] is False
    assert found["best"] == 0
    assert "none scored better than the uniform one" in output


@pytest.mark.parametrize(("goal", "sign"), [("max", 1), ("min", -1)])
def test_a_difference_that_luck_explains_is_no_win(goal, sign):
    """Of zero differences with an error of 1, the largest of 19 is 2.5 often enough; 3.5 is not."""
    for value, wins in ((2.5, False), (3.5, True), (-3.5, False)):
        estimate = Estimate(sign * value, 1.0, 50)
        low, high = estimate.among(19)
        difference = {**estimate.as_row(), "low_of_best": low, "high_of_best": high}
        assert beats(difference, goal) is wins
        account = {
            "tried": 20, "failed": 0, "metric": "m", "score": 1.0, "uniform": 0.5, "n": 50, "best": 3, "weights": {"a": 1.2},
            "settings": {}, "difference": difference, "beats_uniform": wins,
        }  # fmt: skip
        assert ("It beats the uniform one" in sentences(account)) is wins
        assert ("It is not told apart from the uniform one" in sentences(account)) is not wins


def test_one_row_gives_no_interval_and_no_verdict(recipe, aya, tmp_path):
    def change(stages):
        stages["blend"]["prompts"]["count"] = 1

    output = aya("run", recipe(change), "--out", tmp_path / "out", check=0).stdout
    found = account(tmp_path / "out")
    assert found["best"] > 0
    assert found["beats_uniform"] is False
    assert found["difference"]["low"] is None
    assert "With so few rows the difference has no interval" in output


def test_running_until_the_search_stops_there(recipe, aya, tmp_path):
    aya("run", recipe(), "--out", tmp_path / "out", "-q", "--until", "blend", check=0)
    assert account(tmp_path / "out")
    assert not list((tmp_path / "out").glob("artifacts/scores.distance*"))


HUB = {"use": "hub", "name": "owner/set", "revision": "0" * 40}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("blend", models=["a"]), "blend.models: there is one model, so there is nothing to search"),
        (set_in("blend", models="a"), "blend.models: there is one model"),
        (set_in("blend", models=["a", "a"]), "blend.models: a model is listed twice"),
        (set_in("blend", budget=1), "blend.budget: input should be greater than or equal to 2"),
        (set_in("blend", population=2), "blend.population"),
        (set_in("blend", over="wieghts"), "blend.over: got 'wieghts'; expected `weights`, or"),
        (set_in("blend", over={}), "blend.over: got {}; expected"),
        (set_in("blend", over={"scale": [2.0, 0.5]}), "blend.over.scale: got [2.0, 0.5]; expected"),
        (set_in("blend", over={"scale": 1.0}), "blend.over.scale: got 1.0"),
        (set_in("blend", over={"weights": [0, 1]}), "blend.over.weights: got [0, 1]"),
        (set_in("blend", over={"scael": [0.5, 2.0]}), "over.scael: merge 'mix' has no such setting; did you mean 'scale'?"),
        (set_in("blend", over={"scale": [0.0, 2.0]}), "over.scale: at 0, merge 'mix' says: scale: input should be greater"),
        (set_in("blend", over={"scale": [1.5, 2.0]}), "`scale` is 1; that is outside 1.5 to 2"),
        (set_in("blend", over={"whole": [0.0, 1.0]}), "over.whole: at 0.618, merge 'mix' says"),
        (set_in("blend", goal="max"), "blend.goal: maximizing 'distance' makes models worse"),
        (set_in("blend", evaluator={"use": "senseless"}), "blend.goal: missing; expected max or min, as evaluator 'senseless'"),
        (set_in("blend", evaluator={"use": "rivalry"}), "'rivalry' compares a model with a rival"),
        (set_in("blend", prompts=None), "blend.prompts: missing; the evaluator here scores answers"),
        (set_in("blend", budgt=3), "unknown key 'budgt'; did you mean 'budget'?"),
        (set_in("blend", allow_test_sets=True), "unknown key 'allow_test_sets'"),
        (set_in("blend", prompts={"use": "near", "around": 0.3, "first": 200}), "blend.prompts: this data set is what 'scores'"),
        (set_in("blend", prompts={**HUB, "name": "CohereLabs/m-ArenaHard"}), "blend.prompts: this data set is m-ArenaHard, a test"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_when_the_recipe_is_planned(recipe, change, message):
    assert message in refusal(recipe(change))


def test_the_goal_of_an_evaluator_that_has_none_is_a_setting(recipe, aya, tmp_path):
    change = set_in("blend", evaluator={"use": "senseless"}, goal="max")
    aya("run", recipe(change), "--out", tmp_path / "out", "-q", check=0)
    found = account(tmp_path / "out")
    assert found["score"] == max(candidate["score"] for candidate in found["candidates"])


@pytest.mark.parametrize(
    ("name", "test_set"),
    [
        ("CohereLabs/m-ArenaHard-v2.0", "m-ArenaHard"), ("CohereLabs/aya_evaluation_suite", "the Aya evaluation suite"),
        ("cambridgeltl/xcopa", "XCOPA"), ("juletxara/xstory_cloze", "XStoryCloze"), ("Muennighoff/xwinograd", "XWinograd"),
        ("CohereLabs/Global-MMLU-Lite", "Global-MMLU"), ("juletxara/mgsm", "MGSM"), ("openlanguagedata/flores_plus", "FLORES-200"),
        ("facebook/flores", "FLORES-200"), ("CohereLabs/include-base-44", "INCLUDE"),
    ],
)  # fmt: skip
def test_published_test_sets_are_refused_by_name(recipe, name, test_set):
    prompts = {**HUB, "name": name, "split": "test"}
    replied = refusal(recipe(set_in("blend", prompts=prompts)))
    assert f"stages.blend.prompts: this data set is {test_set}, a test set on which models are reported" in replied
    assert "Make a validation split" in replied


@pytest.mark.parametrize("name", ["someone/floreshade", "someone/xcopaque", "someone/includes-base", "someone/prompts"])
def test_names_that_are_merely_alike_pass(recipe, name):
    make_plan(load_recipe(recipe(set_in("blend", prompts={**HUB, "name": name, "split": "test"}))))


def test_the_validation_split_of_a_published_set_passes(recipe):
    make_plan(
        load_recipe(recipe(set_in("blend", prompts={**HUB, "name": "cambridgeltl/xcopa", "split": "validation"})))
    )


def test_a_file_named_like_a_test_set_is_refused(recipe, tmp_path):
    (tmp_path / "mgsm_de.jsonl").touch()
    change = set_in("blend", prompts={"use": "jsonl", "path": "mgsm_de.jsonl"})
    assert "this data set is MGSM" in refusal(recipe(change))


def with_rows(blend, scores):
    def change(stages):
        rows = {"use": "near", "around": 0.3, "first": 300}
        before = {"dev": {"do": "data", "rows": rows, "kind": "demonstrations"}}
        before["far"] = {"do": "data", "rows": {**rows, "first": 400}, "kind": "demonstrations"}
        later = dict(stages)
        stages.clear()
        stages.update(before | later)
        stages["blend"]["evaluator"] = {"use": "known", "rows": blend}
        del stages["blend"]["prompts"]
        stages["scores"]["evaluators"] = {"known": {"use": "known", "rows": scores}}
        del stages["scores"]["prompts"]

    return change


def test_rows_that_an_evaluate_stage_reads_by_reference_are_refused(recipe):
    replied = refusal(recipe(with_rows("dev", "dev")))
    assert "stages.blend.evaluator.rows: 'dev' is what 'scores' reports on" in replied
    make_plan(load_recipe(recipe(with_rows("dev", "far"))))


def test_prompts_that_are_also_reported_on_are_found_by_their_text(recipe, aya, tmp_path):
    def change(stages):
        stages["blend"]["prompts"].update(first=198, split="dev")  # two other settings, six common questions

    replied = aya("run", recipe(change), "--out", tmp_path / "out", "-q", check=2).stderr
    assert "stages.blend: step 'blend.apart': 6 of 8 validation prompts of the search are among the prompts" in replied
    assert "such as 'question-200'" in replied
    assert "Make a validation split" in replied


def test_other_rows_to_report_on_do_not_redo_the_search(recipe, aya, tmp_path):
    trace = tmp_path / "trace"
    change = lambda stages: stages["blend"]["evaluator"].update(trace=str(trace))  # noqa: E731
    aya("run", recipe(change), "--out", tmp_path / "out", "-q", check=0)
    done = len(trace.read_text().splitlines())
    assert done == 20
    aya("run", recipe(change), "--out", tmp_path / "out", "-q", "--set", "stages.scores.prompts.first=250", check=0)
    assert len(trace.read_text().splitlines()) == done
    assert len(list((tmp_path / "out").glob("artifacts/blend.apart/*"))) == 2


def test_without_an_optimizer_a_recipe_with_a_search_is_refused(recipe, aya):
    replied = aya("check", recipe(), check=2, env={"AYA_DISABLE_PLUGINS": "aya-merges"}).stderr
    assert "stages.blend: no plugin offers an optimizer (hook aya_optimizer)" in replied


def test_another_optimizer_takes_its_place(recipe, aya, tmp_path):
    path = recipe()
    plugin = tmp_path / "search_plugin.py"
    plugin.write_text(
        plugin.read_text()
        + """

class Line:
    def __init__(self, dimensions, population, seed):
        self.place = 0

    def ask(self):
        return [[0.0, self.place + 1.0], [0.0, self.place + 2.0]]

    def tell(self, points, losses):
        self.place += 2

    def signature(self):
        return "a line"


@hookimpl
def aya_optimizer():
    return Line
"""
    )
    aya("run", path, "--out", tmp_path / "out", "-q", check=0)
    found = account(tmp_path / "out")
    assert found["optimizer"] == "a line"
    shares = [candidate["weights"]["b"] for candidate in found["candidates"]]
    assert shares == sorted(shares)
