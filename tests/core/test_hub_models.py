"""Models of the Hugging Face hub, from an offline download cache: found by id and revision, and known by their commit."""

import json

import pytest

from aya_core.planning.hub import HubModel, hub_model

OLD, NEW = "a" * 40, "b" * 40
ID = "lab/tiny"


@pytest.fixture
def hub(tmp_path):
    """A download cache with two commits of a model, of which `main` is the first and the tag `v2` the second."""
    model = tmp_path / "home" / "hub" / "models--lab--tiny"
    for commit, off in ((OLD, 1), (NEW, 4)):
        (model / "snapshots" / commit).mkdir(parents=True)
        (model / "snapshots" / commit / "model.json").write_text(json.dumps({"off": off}))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(OLD)
    (model / "refs" / "v2").write_text(NEW)
    return model


@pytest.fixture
def offline(aya, hub, tmp_path):
    """Run the command with that cache and without a network."""

    def run(*words, check=0):
        return aya(*words, check=check, env={"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}, cwd=tmp_path)

    return run


@pytest.fixture
def recipe(edit):
    """Make the cheap recipe one of few stages; each reads a model of the hub."""

    def make(model, *stages):
        teacher = {"use": "adder", "model": model}
        arbitrage = {
            "name": "arbitrage", "do": "arbitrage", "prompts": {"use": "sums", "count": 2}, "teachers": {"hub": teacher},
            "router": {"use": "everyone"}, "arbiter": {"use": "nearness"},
        }  # fmt: skip

        def change(raw):
            raw["stages"] = [arbitrage, *stages]

        return edit(change)

    return make


def answers_of(folder, step="arbitrage.answers@hub"):
    return {
        artifact.parent.name: json.loads(artifact.read_text())
        for artifact in folder.glob(f"artifacts/{step}/*/artifact.json")
    }


def test_an_id_is_read_with_its_revision_and_a_path_is_none():
    assert hub_model("lab/tiny") == HubModel("lab/tiny", "main")
    assert hub_model("lab/tiny@v2") == HubModel("lab/tiny", "v2")
    assert hub_model("lab/tiny@refs/pr/3") == HubModel("lab/tiny", "refs/pr/3")
    for path in ("/lab/tiny", "./lab/tiny", "lab", "lab/tiny/more", "lab/tiny@", "lab/tiny@a@b"):
        assert hub_model(path) is None


@pytest.mark.parametrize(("model", "commit"), [(ID, OLD), (f"{ID}@v2", NEW), (f"{ID}@{NEW}", NEW), (f"{ID}@main", OLD)])
def test_the_commit_that_was_read_is_recorded(offline, recipe, tmp_path, model, commit):
    path = recipe(model)
    offline("run", path, "--out", "out", "-q")
    (made,) = answers_of(tmp_path / "out").values()
    assert made["inputs"]["teacher.model"] == commit


def test_a_moved_branch_is_noticed_and_nothing_of_the_old_weights_is_taken_over(offline, recipe, hub, tmp_path):
    path = recipe(ID)
    offline("run", path, "--out", "out", "-q")
    assert " 0 to do" in offline("plan", path, "--out", "out").stdout
    (hub / "refs" / "main").write_text(NEW)
    assert " 0 to do" not in offline("plan", path, "--out", "out").stdout
    why = offline("plan", path, "--out", "out", "--why").stdout
    assert f"arbitrage.answers@hub: content of teacher.model (lab/tiny): was {OLD[:12]}, is {NEW[:12]}" in why
    offline("run", path, "--out", "out", "-q")
    offline("run", path, "--out", "fresh", "-q")
    again, fresh = (answers_of(tmp_path / name) for name in ("out", "fresh"))
    assert len(again) == 2
    ((place, made),) = fresh.items()
    assert again[place]["content"] == made["content"]
    assert not again[place]["measures"].get("taken_over")


def test_the_same_commit_under_another_revision_stands(offline, recipe, tmp_path):
    offline("run", recipe(f"{ID}@v2"), "--out", "out", "-q")
    assert " 0 to do" in offline("plan", recipe(f"{ID}@{NEW}"), "--out", "out").stdout


def test_every_stage_reads_a_model_of_the_hub(offline, recipe, tmp_path):
    judge = {"arbiter": {"use": "nearness"}, "trainer": {"use": "pair-learner"}, "objective": {"use": "zero"}}
    sums = {"use": "sums", "count": 4}
    stages = [
        {"name": "sft", "do": "train", "start": f"{ID}@v2", "data": "arbitrage.best", "trainer": {"use": "learner"}},
        {"name": "blend", "do": "merge", "models": ["sft", f"{ID}@{NEW}"], "merge": {"use": "mean"}},
        {
            "name": "online", "do": "online", "start": f"{ID}@v2", "iterations": 1, "prompts": sums, "teacher": {"use": "adder"},
            "sampling": {"n": 4, "temperature": 1.0}, "guards": None, **judge,
        },
        {
            "name": "scores", "do": "evaluate", "models": [ID, f"{ID}@v2", "blend"], "prompts": sums, "teacher": {"use": "adder"},
            "evaluators": {"right": {"use": "right"}, "versus": {"use": "better", "against": ID}},
        },
    ]  # fmt: skip
    offline("run", recipe(ID, *stages), "--out", "out", "-q")

    def off(step):
        (file,) = (tmp_path / "out" / "artifacts" / step).glob("*/payload/model.json")
        return json.loads(file.read_text())["off"]

    assert (off("sft"), off("blend"), off("online.1")) == (3, 4, 3)
    commits = {}
    for file in (tmp_path / "out" / "artifacts").glob("*/*/artifact.json"):
        made = json.loads(file.read_text())
        commits.update(
            {(made["node"], role): content for role, content in made["inputs"].items() if content in (OLD, NEW)}
        )
    assert commits["scores.answers@lab/tiny", "teacher.model"] == OLD
    assert commits["scores.answers@lab/tiny@v2", "teacher.model"] == NEW
    assert commits["online.1.answers", "teacher.model"] == NEW
    assert commits["online.1", "start"] == NEW


def test_a_model_that_is_not_in_the_cache_stops_a_run_before_any_work(offline, recipe, tmp_path):
    path = recipe("lab/other@v1")
    done = offline("run", path, "--out", "out", "-q", check=2)
    assert "'lab/other' is neither a local folder nor a model of the hub whose revision 'v1' is known" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert "hf download lab/other --revision v1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_check_and_plan_go_on_without_it_and_say_so(offline, recipe):
    path = recipe("lab/other")
    checked = offline("check", path)
    assert "sound" in checked.stdout
    assert "not in the download cache, so not looked at: lab/other" in checked.stderr
    assert json.loads(offline("check", path, "--json").stdout)["not_cached"] == ["lab/other"]
    planned = offline("plan", path, "--out", "out")
    assert ", 0 stand" in planned.stdout
    assert "not known yet: 'lab/other'" in planned.stderr
    assert (
        "arbitrage.answers@hub: the commit of lab/other is not known"
        in offline("plan", path, "--out", "out", "--why").stdout
    )
    assert offline("check", recipe(ID)).stderr == ""


def test_a_revision_whose_files_are_not_there_is_not_known(offline, recipe, hub):
    (hub / "refs" / "broken").write_text("c" * 40)
    for model in (f"{ID}@broken", f"{ID}@{'c' * 40}", f"{ID}@v3"):
        assert "neither a local folder nor a model of the hub" in offline("run", recipe(model), "-q", check=2).stderr


def test_a_folder_that_is_not_there_is_refused_by_check(offline, recipe):
    for path in ("./lab/other", "lab/other/third", "lab/tiny@a@b"):
        assert (
            "expected a model there (relative to the recipe), or a hub id"
            in offline("check", recipe(path), check=2).stderr
        )


def test_a_folder_stands_for_a_model_where_the_recipe_or_a_file_says_so(aya, recipe, hub, tmp_path):
    """Without a network and without a cache."""
    path = recipe(ID)
    folder = hub / "snapshots" / NEW
    (path.parent / "here.yaml").write_text(f"{ID}: {folder}\nlab/another: ./nowhere\n")
    nowhere = {"HF_HOME": str(tmp_path / "empty"), "HF_HUB_OFFLINE": "1"}
    aya("run", path, "--set", f"models=@{path.parent / 'here.yaml'}", "--out", "out", "-q", env=nowhere, cwd=tmp_path)
    plain = recipe(str(folder))
    aya("run", plain, "--out", "plain", "-q", env=nowhere, cwd=tmp_path)
    mapped, named = (answers_of(tmp_path / name) for name in ("out", "plain"))
    assert [one["content"] for one in mapped.values()] == [one["content"] for one in named.values()]
    missing = aya("check", recipe(ID), "--set", f"models={{{ID}: ./nowhere}}", env=nowhere, cwd=tmp_path, check=2)
    assert f"models: {ID}: no folder" in missing.stderr


def test_a_file_of_settings_that_is_not_there_is_named(aya, recipe, tmp_path):
    done = aya("check", recipe(ID), "--set", "models=@here.yaml", cwd=tmp_path, check=2)
    assert "here.yaml" in done.stderr
    assert "Traceback" not in done.stderr
