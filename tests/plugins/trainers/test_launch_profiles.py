"""Training on several processes, as a recipe asks for it."""

import json
import signal

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from pydantic import ValidationError
from safetensors.torch import load_file

from aya_core.api import AyaError, Completion, Judged, Verdict
from aya_plugins.trainers.runtime.settings import PROFILES, Launch
from aya_plugins.trainers.sft import Sft

pytestmark = pytest.mark.exhaustive

STEPS = 40
ONE = {"profile": "single"}
TWO = {"profile": "cpu", "processes": 2}
LOOP = {
    "batch_rows": 8, "learning_rate": 1e-3, "forward_tokens": 60, "log_every": 1, "checkpoint_seconds": 0,
}  # fmt: skip
MEASURED = ("loss", "grad_norm", "rewards/margins", "logps/chosen", "accuracy", "regret")

KILLER = """
import os, signal
from pathlib import Path
from aya_core.api import hookimpl


def saved():
    saves = Path(os.environ["KILLED"]).glob("artifacts/sft/*.partial/work/step-*[0-9]")
    return max((save.name for save in saves), default="")

found = saved()

@hookimpl
def aya_progress(node, done, total, measures):
    if node == "sft" and done < total:
        while saved() == found:
            pass
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Kills the run once it has saved something more."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, checkpoint, counting, pairs, rows_folder):
    """Write a recipe of all trainers that are launched in some way; returns the file."""
    folder = tmp_path_factory.mktemp("recipe")
    verdicts = [
        Judged(Completion(row.prompt.id, teacher, 0, "!"), Verdict(float(teacher < row.prompt.id)))
        for row in counting
        for teacher in ("2", "6")
    ]
    prompts, demonstrations, preferences, judged = (
        str(rows_folder(rows)) for rows in ([row.prompt for row in counting], counting, pairs, verdicts)
    )
    start, classifier = str(checkpoint()), str(checkpoint("llama", tie_word_embeddings=False))
    (folder / "killer.py").write_text(KILLER)

    def write(launch, *, plugins=(), **settings):
        loop = {**LOOP, "steps": STEPS, "launch": launch, **settings}
        raw = {
            "name": "launched", "languages": ["en"], "machine": {"threads": 1}, "plugins": list(plugins),
            "stages": [
                {"name": "sft", "do": "train", "start": start, "data": demonstrations, "trainer": {"use": "sft", **loop}},
                {"name": "dpo", "do": "train", "start": "sft", "data": preferences, "objective": {"use": "dpo"},
                 "trainer": {"use": "preference", **loop}},
                {"name": "reward", "do": "train", "start": classifier, "data": preferences,
                 "trainer": {"use": "reward", **loop}},
                {"name": "router", "do": "train", "start": classifier, "data": judged,
                 "trainer": {"use": "router", "prompts": prompts, **loop}},
            ],
        }  # fmt: skip
        if not plugins:
            del raw["plugins"]
        file = folder / "recipe.yaml"
        file.write_text(yaml.safe_dump(raw))
        return file

    return write


@pytest.fixture(scope="module")
def run(aya_command):
    """Run a recipe; returns the finished process."""

    def run(recipe, out, *words, code=0):
        ended = aya_command("run", recipe, "--out", out, *words, env={"KILLED": str(out)})
        assert ended.returncode == code, ended.stderr[-3000:] + "".join(
            p.read_text()[-3000:] for p in out.glob("logs/*")
        )
        return ended

    return run


def artifact(out, node):
    (manifest,) = (out / "artifacts" / node).glob("*/artifact.json")
    return manifest.parent


def logged(out, node):
    """What the steps of a training reported, by step; of a step that was done again after a kill, the last."""
    lines = (artifact(out, node) / "log.jsonl").read_text().splitlines()
    return {line["done"]: line for line in map(json.loads, lines) if "loss" in line}


def assert_alike(one, other, node):
    output, also = logged(one, node), logged(other, node)
    assert output.keys() == also.keys()
    for done, line in output.items():
        for name in MEASURED:
            if name in line:
                assert also[done][name] == pytest.approx(line[name], rel=1e-4, abs=1e-5), (node, done, name)
    files = (artifact(folder, node) / "payload" / "model.safetensors" for folder in (one, other))
    weights, same = map(load_file, files)
    for name, tensor in weights.items():
        torch.testing.assert_close(same[name], tensor, rtol=1e-3, atol=2e-5)


@pytest.fixture
def alone(recipe, run, tmp_path):
    """The run of one process."""
    out = tmp_path / "alone"
    run(recipe(ONE), out)
    return out


@pytest.mark.slow
def test_one_process_and_two_make_the_same_and_take_up_what_the_other_has_saved(alone, recipe, run, tmp_path):
    """Two processes begin with sft and are killed, one goes on and is killed, two end it and do the other stages."""
    out, reached = tmp_path / "out", 0
    for launch in (TWO, ONE):
        run(recipe(launch, plugins=["killer.py"]), out, "--until", "sft", code=-signal.SIGKILL)
        (partial,) = (out / "artifacts" / "sft").glob("*")
        saves = [int(save.name.removeprefix("step-")) for save in partial.glob("work/step-*") if not save.suffix]
        assert reached < max(saves) < STEPS
        reached = max(saves)
    run(recipe(TWO), out)
    for node in ("sft", "dpo", "reward", "router"):
        assert len(logged(out, node)) == STEPS
        assert_alike(alone, out, node)
    # by its fingerprint: a profile makes no other result
    assert artifact(alone, "sft").name == artifact(out, "sft").name


def test_rows_that_cannot_be_shared_evenly_are_refused_with_the_recipe():
    with pytest.raises(
        ValidationError, match=r"`batch_rows` 9 cannot be shared by `launch.processes` 2; make it a multiple"
    ):
        Sft(batch_rows=9, launch=TWO)


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"profile": "single", "processes": 2}, "profile 'single' is one process"),
        ({"profile": "cpu"}, "profile 'cpu' cannot count GPUs; set `processes`"),
    ],
)
def test_a_profile_that_does_not_go_with_its_processes_is_refused(launch, message):
    with pytest.raises(ValidationError, match=message):
        Launch(**launch)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_profile_for_gpus_says_that_none_is_visible():
    with pytest.raises(
        AyaError, match=r"launch profile 'multi-gpu' wants 2 GPUs and 0 are visible; lower `launch.proc"
    ):
        _ = Sft(launch={"profile": "multi-gpu", "processes": 2}).launcher


def test_deepspeed_is_asked_for_before_any_work_is_done():
    assert Sft(launch={"profile": "zero3"}).needs_of_settings == ("deepspeed",)


def test_every_profile_of_accelerate_is_one_that_it_reads():
    for profile in ("multi-gpu", "fsdp2", "zero2", "zero3"):
        config = load_config_from_file(str(PROFILES / f"{profile}.yaml"))
        assert config.num_machines == 1
