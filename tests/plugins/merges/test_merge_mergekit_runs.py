"""Whole runs of mergekit 0.1.5 and of `aya merge` on the same configuration files."""

import pytest
import torch
import yaml
from mergekit_runs import assert_same, mergekit_run, our_run, relatives

FAMILIES = {
    "llama": {},
    "qwen2": {},
    "mistral": {},
    "gemma2": {"head_dim": 8, "query_pre_attn_scalar": 8},
}

GRADED = {"weight": [0.2, 0.9], "density": [{"filter": "mlp", "value": [0.3, 0.8]}, {"value": 0.5}]}

METHODS = {
    "linear": {"parameters": {"weight": 0.5}},
    "linear by filter": {
        "merge_method": "linear",
        "parameters": {"weight": [{"filter": "mlp", "value": 0.3}, {"value": [0.1, 1]}]},
    },
    "slerp": {"base_model": 0, "models": 2, "parameters": {"t": [0.2, 0.8]}},
    "multislerp": {"parameters": {"weight": 0.5}},
    "multislerp from a base": {"merge_method": "multislerp", "base_model": 0, "parameters": {"weight": 0.5}},
    "task_arithmetic": {"base_model": 0, "parameters": {"weight": [0.2, 0.9], "lambda": 0.7}},
    "ties": {"base_model": 0, "parameters": GRADED},
    "dare_ties": {"base_model": 0, "parameters": {"weight": 0.7}},
    "dare_linear": {"base_model": 0, "parameters": {"weight": [0.2, 0.9]}},
    "della": {"base_model": 0, "parameters": {"weight": 0.7}},
    "breadcrumbs": {"base_model": 0, "parameters": {"weight": 0.7, "density": 0.8, "gamma": 0.1}},
    "breadcrumbs_ties": {"base_model": 0, "parameters": {"weight": 0.7, "density": 0.8, "gamma": 0.1}},
    "model_stock": {"base_model": 0},
    "model_stock by filter": {"merge_method": "model_stock", "base_model": 0, "parameters": {"filter_wise": True}},
    "nearswap": {"base_model": 0, "models": 2, "parameters": {"t": 0.05}},
    "sce": {"base_model": 0, "parameters": {"select_topk": 0.4}},
    "karcher": {},
    "nuslerp": {"models": 2, "parameters": {"weight": 0.4}},
    "arcee_fusion": {"base_model": 0, "models": 2},
}
"""Configurations without models; `base_model` is an index. Methods that draw are held to their density of 1."""


def complete(name, config, folders, dtype="float32"):
    """Fill in the models of a configuration."""
    count = config.get("models", len(folders))
    made = {"merge_method": name, **config, "dtype": "float32", "out_dtype": dtype}
    made["models"] = [{"model": str(folder)} for folder in folders[:count]]
    if "base_model" in config:
        made["base_model"] = str(folders[config["base_model"]])
    return made


@pytest.fixture(scope="module")
def llamas(tmp_path_factory):
    return relatives(tmp_path_factory.mktemp("llamas"), "llama", num_hidden_layers=3)


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_one_file_gives_the_same_llama(name, dtype, llamas, tmp_path):
    config = complete(name, METHODS[name], llamas, dtype)
    assert_same(our_run(config, tmp_path), mergekit_run(config, tmp_path / "theirs"))


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_one_file_gives_the_same_model_of_every_family(family, tmp_path):
    folders = relatives(tmp_path / "models", family, **FAMILIES[family])
    config = complete("ties", METHODS["ties"], folders)
    assert_same(our_run(config, tmp_path), mergekit_run(config, tmp_path / "theirs"))


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
def test_one_file_stacks_the_same_layers(llamas, tmp_path):
    a, b, _ = map(str, llamas)
    slices = [
        {"sources": [{"model": a, "layer_range": [0, 2]}]},
        {"sources": [{"model": b, "layer_range": [1, 3], "parameters": {"scale": 0.5}}]},
        {"sources": [{"model": a, "layer_range": [2, 3]}]},
    ]
    config = {"merge_method": "passthrough", "slices": slices, "dtype": "float32"}
    ours = our_run(config, tmp_path)
    assert_same(ours, mergekit_run(config, tmp_path / "theirs"))
    assert sum("input_layernorm" in name for name in ours) == 5
    assert yaml.safe_load((tmp_path / "ours" / "config.json").read_text())["num_hidden_layers"] == 5


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
def test_one_file_merges_the_same_slices(llamas, tmp_path):
    a, b, c = map(str, llamas)
    slices = [
        {
            "sources": [
                {"model": a, "layer_range": [0, 2], "parameters": {"weight": [0.1, 0.6]}},
                {"model": b, "layer_range": [1, 3], "parameters": {"weight": 0.7}},
            ]
        },
        {
            "sources": [{"model": c, "layer_range": [2, 3]}, {"model": a, "layer_range": [2, 3]}],
            "parameters": {"weight": [{"filter": "mlp", "value": 0.2}, {"value": 0.4}]},
        },
    ]
    config = {"merge_method": "linear", "slices": slices, "dtype": "float32"}
    assert_same(our_run(config, tmp_path), mergekit_run(config, tmp_path / "theirs"))


def test_a_stacked_model_loads_and_answers(llamas, tmp_path):
    from transformers import AutoModelForCausalLM

    slices = [{"sources": [{"model": str(llamas[index]), "layer_range": [0, 2]}]} for index in range(3)]
    our_run({"merge_method": "passthrough", "slices": slices}, tmp_path)
    model, report = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model(torch.arange(8)[None]).logits.isfinite().all()
