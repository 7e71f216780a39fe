"""Models whose language model lies inside: settings in text_config, a vision tower beside it, files of a processor."""

import json

import pytest
import torch
from checkpoints import load, merge
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from aya_core.api import LayerSlice, Vocabulary
from aya_plugins.merges import Passthrough, Weighted

TEXT = {
    "model_type": "gemma3_text",
    "vocab_size": 48,
    "num_hidden_layers": 2,
    "layer_types": ["full_attention", "sliding_attention"],
}
VISION = {"model_type": "siglip_vision_model", "num_hidden_layers": 2, "hidden_size": 8}


@pytest.fixture
def write(write_model, random_tensors):
    def made(name, seed, **text):
        tensors = {f"language_model.{key}": value for key, value in random_tensors(seed).items() if ".10." not in key}
        tensors |= {f"vision_tower.layers.{layer}.fc.weight": torch.full((8, 8), float(seed)) for layer in range(2)}
        config = {"model_type": "gemma3", "text_config": {**TEXT, **text}, "vision_config": VISION}
        folder = write_model(name, tensors, config=config)
        written = json.loads((folder / "config.json").read_text())
        del written["vocab_size"]
        (folder / "config.json").write_text(json.dumps(written))
        return folder

    return made


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def test_the_text_may_be_stored_in_another_dtype_and_the_merge_says_its_own_everywhere(write, out):
    models = [write("a", 0, torch_dtype="float32"), write("b", 1, torch_dtype="bfloat16")]
    merge(Weighted(), models, out, dtype="bfloat16")
    config = config_of(out)
    assert (config["dtype"], config["text_config"]["torch_dtype"]) == ("bfloat16", "bfloat16")
    assert {value.dtype for value in load(out).values()} == {torch.bfloat16}
    assert "dtype" not in config["vision_config"]


def test_layers_of_the_language_model_are_stacked_and_its_configuration_counts_them(write, out):
    models = [write("a", 0), write("b", 1)]
    merge(Passthrough(), models, out, slices=(LayerSlice((0, None), 2), LayerSlice((None, 1), 1)))
    text = config_of(out)["text_config"]
    assert text["num_hidden_layers"] == 3
    assert text["layer_types"] == ["full_attention", "sliding_attention", "sliding_attention"]
    assert config_of(out)["vision_config"] == VISION
    merged, a, b = load(out), load(models[0]), load(models[1])
    stack = "language_model.model.layers"
    for layer, (source, from_layer) in enumerate([(a, 0), (a, 1), (b, 1)]):
        assert torch.equal(merged[f"{stack}.{layer}.mlp.weight"], source[f"{stack}.{from_layer}.mlp.weight"])


def test_files_of_the_processor_come_along(write, out):
    models = [write("a", 0), write("b", 1)]
    names = ["preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"]
    for name in names:
        (models[0] / name).write_text(json.dumps({"from": "a"}))
    account = merge(Weighted(), models, out)
    assert set(names) <= set(account["copied"])
    assert all(json.loads((out / name).read_text()) == {"from": "a"} for name in names)


def test_tokens_are_united_and_the_text_counts_them(write, out):
    models = [write("a", 0), write("b", 1, vocab_size=50)]
    tensors = load_file(models[1] / "model.safetensors")
    tensors["language_model.model.embed_tokens.weight"] = torch.ones(50, 8)
    save_file(tensors, models[1] / "model.safetensors")
    for folder, more in zip(models, ((), ("x", "y")), strict=True):
        words = {word: index for index, word in enumerate([*(f"t{index}" for index in range(48)), *more])}
        Tokenizer(WordLevel(words, unk_token="t0")).save(str(folder / "tokenizer.json"))
    merge(Weighted(), models, out, vocabulary=Vocabulary(source="union"))
    assert config_of(out)["text_config"]["vocab_size"] == 50
    assert load(out)["language_model.model.embed_tokens.weight"].shape == (50, 8)
