"""What bundled strategies say of a machine that they cannot work on."""

import json

import pytest
from pydantic import ValidationError

from aya_core.api import ModelRef, Surroundings
from aya_plugins.arbiters.reward_model import RewardModel
from aya_plugins.datasets.hub import Hub
from aya_plugins.datasets.save_to_disk import SaveToDisk
from aya_plugins.routers.learned import Learned
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.teachers.vllm import Vllm
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.sft import Sft

NO_GPUS, EIGHT = Surroundings(gpus=()), Surroundings(gpus=(80 * 10**9,) * 8)
M = ModelRef("./m")


def said(strategy, here):
    return " ".join(strategy.obstacles(here))


@pytest.mark.parametrize("trainer", [Sft, PreferenceTraining])
@pytest.mark.parametrize("profile", ["fsdp2", "multi-gpu", "zero2", "zero3"])
def test_a_launch_on_gpus_that_are_not_there(trainer, profile):
    many = trainer(launch={"profile": profile, "processes": 64})
    assert f"launch profile '{profile}' wants 64 GPUs, and none is visible here; lower `launch.processes`" in said(
        many, NO_GPUS
    )
    assert "wants 64 GPUs, and 8 are visible here" in said(many, EIGHT)
    every = trainer(launch={"profile": profile})
    assert "wants 1 GPU, and none is visible here" in said(every, NO_GPUS)
    assert said(every, EIGHT) == said(every, Surroundings()) == ""


def test_a_launch_without_gpus_needs_none():
    for launch in ({"profile": "single"}, {"profile": "cpu", "processes": 4}):
        assert said(Sft(launch=launch), NO_GPUS) == ""
    assert "attention 'flash_attention_2' wants 1 GPU" in said(Sft(attention="flash_attention_2"), NO_GPUS)


def test_steps_at_the_same_time_that_each_take_all_gpus():
    crowded = Surroundings(gpus=EIGHT.gpus, jobs=8)
    for strategy in (
        Vllm(model=M, tensor_parallel_size=8),
        Sft(launch={"profile": "fsdp2"}),
        Sft(launch={"profile": "zero3"}),
    ):
        assert "takes 8 GPUs, and with `machine: {jobs: 8}`" in said(strategy, crowded)
        assert said(strategy, EIGHT) == ""


def test_an_engine_over_gpus_that_are_not_there():
    assert "wants 8 GPUs, and none is visible here; lower tensor_parallel_size" in said(
        Vllm(model=M, tensor_parallel_size=8), NO_GPUS
    )
    assert "wants 16 GPUs, and 8 are" in said(Vllm(model=M, tensor_parallel_size=8, pipeline_parallel_size=2), EIGHT)
    assert said(Vllm(model=M), NO_GPUS) == ""


def test_a_model_on_one_device_that_is_too_small_or_not_there(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(140 * 10**9)
    here = Surroundings(gpus=EIGHT.gpus, models={"./m": tmp_path})
    for strategy in (RewardModel(model=M), Transformers(model=M)):
        assert "the weights of './m' are 140 GB, and one GPU here has 80 GB, and it is run on one device" in said(
            strategy, here
        )
        assert said(strategy, Surroundings(gpus=(), models=here.models)) == ""
    assert "raise tensor_parallel_size" in said(Vllm(model=M), here)
    assert said(Vllm(model=M, tensor_parallel_size=2), here) == ""
    assert "device 'cuda' wants 1 GPU, and none is visible here; set device to auto" in said(
        RewardModel(model=M, device="cuda"), NO_GPUS
    )


def test_a_router_that_is_no_classifier(tmp_path):
    here = Surroundings(gpus=(), models={"./m": tmp_path})
    for made, fits in (("LlamaForCausalLM", False), ("LlamaForSequenceClassification", True)):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [made]}))
        assert (said(Learned(model=M), here) == "") is fits
    assert said(Learned(model=M), NO_GPUS) == ""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    assert "router 'learned': './m' is no classifier, so it has no label for each teacher" in said(
        Learned(model=M), here
    )


def test_a_teacher_that_writes_nothing(tmp_path):
    here = Surroundings(gpus=(), models={"./m": tmp_path})
    for made, fits in (
        ("LlamaForCausalLM", True),
        ("LlamaForSequenceClassification", False),
        ("Gemma3ForConditionalGeneration", True),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [made]}))
        for teacher in (Transformers(model=M), Vllm(model=M)):
            assert (said(teacher, here) == "") is fits


@pytest.mark.parametrize("split", ["train[:10%]", "train[5:]", "train+test", "train[:1]+test"])
def test_a_slice_of_a_split_is_refused_before_it_is_read(split, tmp_path):
    with pytest.raises(ValidationError, match=r"a slice or several splits.*take its first rows with `limit`"):
        Hub(path=str(tmp_path), split=split)
    with pytest.raises(ValidationError, match="a slice or several splits"):
        SaveToDisk(path=str(tmp_path), split=split)
    assert Hub(path=str(tmp_path), split="train_sft").split == "train_sft"
