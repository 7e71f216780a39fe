"""What a change redoes in a finished run, what `aya plan` says of it, and that nobody is asked again without a word."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from aya_recipe.arbitrage.stage import ArbitrageStage


@pytest.fixture
def run(finished, tmp_path, aya_here):
    """A copy of the finished run of the cheap recipe, in the folder `out` beside it."""
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    return Finished(tmp_path, aya_here)


class Finished:
    """A finished run whose plugin and recipe can be changed."""

    def __init__(self, folder, aya):
        self.folder = folder
        self.aya = aya

    def edit(self, *changes, file="cheap_plugin.py"):
        path = self.folder / file
        text = path.read_text()
        for before, after in changes:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        path.write_text(text)

    def command(self, name, *words, check=0):
        return self.aya(name, self.folder / "cheap.yaml", "--out", self.folder / "out", *words, check=check)

    def to_do(self):
        steps = json.loads(self.command("plan", "--json").stdout)
        return {step["step"] for step in steps if not step["stands"]}

    def why(self, *wanted):
        output = json.loads(self.command("plan", "--json", "--why", *wanted).stdout)
        return {step["step"]: step["because"] for step in output if not step["stands"]}

    def manifests(self, step):
        return [json.loads(path.read_text()) for path in self.folder.glob(f"out/artifacts/{step}/*/artifact.json")]


ADDER = ("str(int(prompt.reference) + self.off + noise)", "str(int(prompt.reference) + self.off + noise + 0)")
NEARNESS = ("right = int(case.prompt.reference)", "right = 0 + int(case.prompt.reference)")


def test_words_in_a_plugin_redo_nothing(run):
    run.edit(
        ('"""Average how far off."""', '"""Say what it does."""  # and why'),
        ('description="The answer."', 'description="What is answered."'),
        ("class Explosive(TrainerStrategy):", "def unused():\n    return 1\n\n\nclass Explosive(TrainerStrategy):"),
        ('raise RuntimeError("the engine is on fire")', 'raise RuntimeError("there is smoke")'),  # used by no step
    )
    assert not run.to_do()
    output = run.command("plan", "--why").stdout
    assert "all 72 steps stand" in output


def test_code_of_an_evaluator_redoes_what_it_scores(run):
    run.edit(("(answer.text == prompt.reference)", "(prompt.reference == answer.text)"))
    assert run.to_do() == {step for step in run.to_do() if step.startswith(("scores.right@", "scores.versus@"))}
    assert len(run.to_do()) == 14  # `better` is made of `right`, for seven models each
    output = run.why("scores.right@blend")["scores.right@blend"]
    assert output.startswith("code of evaluator right: was 1+")
    assert ", is 1+" in output


def test_an_artifact_that_comes_out_the_same_lets_stand_what_follows(run):
    run.edit(("off = round(sum(w * o", "off = 0 + round(sum(w * o"))
    before = run.to_do()
    assert {"blend", "offline-blend", "online.1", "online.2", "online.3"} <= before
    assert run.why("offline.data@west") == {}
    assert run.why("offline@west") == {"offline@west": "waits for blend"}
    run.command("run", "-q")
    assert not run.to_do()
    assert len(run.manifests("blend")) == 2
    assert len(run.manifests("offline@west")) == 1


def test_every_ingredient_is_told_by_name_with_both_values(run):
    cheap = run.folder / "cheap.yaml"
    text = cheap.read_text()
    cheap.write_text(text.replace("{use: learner, off: 9}", "{use: learner, off: 8}"))
    assert run.why("base") == {"base": "setting trainer.off: was 9, is 8"}
    assert run.why("sft@west") == {"sft@west": "waits for base"}
    cheap.write_text(text.replace("seed: 3", "seed: 4"))
    assert run.why("base.data")["base.data"].startswith(f"seed: was {run.manifests('base.data')[0]['seed']}, is ")
    cheap.write_text(text.replace("name: sft,", "name: tuned,").replace("models: sft", "models: tuned"))
    assert run.why("tuned") == {
        "tuned.data@west": "never made",
        "tuned@west": "waits for tuned.data@west",
        "tuned.data@east": "never made",
        "tuned@east": "waits for tuned.data@east",
    }
    cheap.write_text(text)
    assert "did you mean 'base'" in run.command("plan", "--why", "bsae", check=2).stderr


def test_an_input_with_other_content_is_told_by_its_role(run):
    (before,) = run.manifests("blend")
    run.edit(("round(sum(w * o", "3 + round(sum(w * o"))
    run.command("run", "-q", "--until", "blend")
    (after,) = [one for one in run.manifests("blend") if one["code"] != before["code"]]
    output = f"content of start (blend): was {before['content'][:12]}, is {after['content'][:12]}"
    assert run.why("offline@west") == {"offline@west": output}


def test_a_plan_is_summed_up_by_stage_and_shown_whole_on_demand(run):
    run.edit(("(answer.text == prompt.reference)", "(prompt.reference == answer.text)"))
    output = run.command("plan").stdout.splitlines()
    assert output[0].split() == ["stage", "steps", "stand", "to", "do"]
    assert ["online", "28", "28", "0"] in [line.split() for line in output]
    assert ["scores", "23", "9", "14"] in [line.split() for line in output]
    assert output[-1] == "72 steps, 58 stand, 14 to do"
    assert "stands    blend: merge checkpoint from" in run.command("plan", "--all").stdout


def test_a_manifest_holds_all_that_its_fingerprint_is_of(run):
    (manifest,) = run.manifests("blend")
    assert manifest["identity"]["merge"] == {"use": "mean"}
    assert set(manifest["code"]) == {"action merge", "merge mean", "aya_merge_engine of aya-merges"}
    assert set(manifest["inputs"]) == {"model.west", "model.east"}
    assert manifest["plugins"] == {"aya_core": "0.1.0", "cheap_plugin.py": manifest["plugins"]["cheap_plugin.py"]}


def test_only_those_whose_own_code_has_changed_are_told(run):
    run.edit(('yield Completion(prompt.id, "?", 0, self.text)', "yield Completion(prompt.id, '?', 0, str(self.text))"))
    output = run.command("run", check=2).stderr
    assert "teacher constant (1+" in output
    assert "teacher adder" not in output
    assert "24 answers" in output  # `seven` is asked in two languages of three
    assert len(run.manifests("arbitrage.answers@clever")) == 1


@pytest.mark.parametrize(
    ("change", "who", "step"),
    [
        (ADDER, "teacher adder", "arbitrage.answers@clever"),
        (NEARNESS, "arbiter nearness", "arbitrage.verdicts"),
    ],
)
def test_changed_code_of_who_is_asked_stops_the_run_until_it_is_said_what_to_do(run, change, who, step):
    run.edit(change)
    before = sorted(run.folder.rglob("out/artifacts/*/*/artifact.json"))
    output = run.command("run", check=2).stderr
    assert f"the code of {who} (1+" in output
    assert "has changed since it gave" in output
    assert "--keep" in output
    assert "--redo" in output
    assert sorted(run.folder.rglob("out/artifacts/*/*/artifact.json")) == before
    run.command("run", "-q", "--keep")
    (old, new) = sorted(run.manifests(step), key=lambda manifest: "kept" in manifest["measures"])
    assert new["content"] == old["content"]
    assert new["measures"]["kept"] == {f"{who} {old['code'][who]}": new["measures"]["taken_over"]}
    assert new["code"][who] != old["code"][who]
    assert not run.to_do()
    run.command("run", "-q")  # what was kept stands


def test_redo_asks_anew(run):
    run.edit(ADDER)
    run.command("run", "-q", "--redo", "--until", "arbitrage")
    measures = [one["measures"] for one in run.manifests("arbitrage.answers@clever")]
    assert [one["taken_over"] for one in measures] == [0, 0]
    assert not any("kept" in one for one in measures)


def test_other_code_of_the_step_asks_nobody_again(run, monkeypatch):
    """Here that of the action, as a new release of ours may bring it."""
    actions = ArbitrageStage.actions
    monkeypatch.setitem(actions, "sample", replace(actions["sample"], version=2))
    monkeypatch.setitem(actions, "judge", replace(actions["judge"], version=2))
    before = run.manifests("arbitrage.answers@clever") + run.manifests("arbitrage.verdicts")
    assert {"arbitrage.answers@clever", "arbitrage.verdicts"} <= run.to_do()
    assert run.why("arbitrage.verdicts")["arbitrage.verdicts"].startswith("code of action judge: was 1, is 2+")
    run.command("run", "-q", "--until", "arbitrage")
    after = run.manifests("arbitrage.answers@clever") + run.manifests("arbitrage.verdicts")
    assert len(after) == 4
    for new in [one for one in after if one not in before]:
        assert new["measures"]["taken_over"] in (36, 60)  # everything: answers, verdicts
        assert "kept" not in new["measures"]


PLANNED = """
import json, sys
from dataclasses import asdict
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.planning.registry import Registry

nodes = make_plan(load_recipe(Registry().recipes["micro"], ())).nodes
print(json.dumps({id: asdict(node) for id, node in nodes.items()}))
"""


@pytest.mark.slow
def test_a_run_from_a_checkout_stands_for_the_installed_wheel(finished, strangers):
    command = ("-m", "aya_core", "plan", finished.parent / "cheap.yaml", "--out", finished)
    output = strangers(*command).stdout
    assert output.endswith("72 steps, 72 stand, 0 to do\n")


@pytest.mark.slow
def test_the_installed_wheel_plans_the_steps_of_the_bundled_recipe_as_the_checkout_does(strangers):
    here = subprocess.run([sys.executable, "-P", "-c", PLANNED], capture_output=True, text=True, check=True)
    there = strangers("-P", "-c", PLANNED)
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert len(json.loads(there.stdout)) == 260
