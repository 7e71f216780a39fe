"""Merges whose head is no copy of their embeddings, though that of a model is."""

import json

import pytest
import torch
from checkpoints import load, merge

from aya_core.api import DataError, LayerSlice
from aya_plugins.merges import DareTies, Passthrough, Weighted

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"


@pytest.fixture
def model(write_model, random_tensors):
    """Write a model, with its head as asked: None leaves it out, `copy` stores a copy of the embeddings, `own` another."""

    def write(name, seed, head, tied, **config):
        tensors = random_tensors(seed)
        if head:
            tensors[HEAD] = tensors[TABLE].clone() if head == "copy" else random_tensors(seed + 10)[TABLE]
        return write_model(name, tensors, config={**({} if tied is None else {"tie_word_embeddings": tied}), **config})

    return write


def says_tied(out):
    return json.loads((out / "config.json").read_text()).get("tie_word_embeddings")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("head", ["copy", None])
def test_a_tied_and_an_untied_model_make_an_untied_one(order, head, model, out):
    models = [model("a", 0, head, tied=True), model("b", 1, "own", tied=False)][::order]
    account = merge(Weighted(), models, out)
    a, b, merged = load(models[0]), load(models[1]), load(out)
    torch.testing.assert_close(merged[HEAD], (a.get(HEAD, a[TABLE]) + b.get(HEAD, b[TABLE])) / 2)
    torch.testing.assert_close(merged[TABLE], (a[TABLE] + b[TABLE]) / 2)
    assert says_tied(out) is False
    assert bool(account["notes"]) is (order == 1)  # where the first model is untied, its config.json says so already


@pytest.mark.parametrize("heads", [("copy", "copy"), (None, "copy"), ("copy", None), (None, None)])
def test_tied_models_make_a_tied_one(heads, model, out):
    models = [model(name, seed, head, tied=True) for seed, (name, head) in enumerate(zip("ab", heads, strict=True))]
    merge(DareTies(density=0.5), models[1:], out, base=models[0])
    merged = load(out)
    assert (HEAD in merged) is (heads[0] == "copy")
    assert torch.equal(merged.get(HEAD, merged[TABLE]), merged[TABLE])
    assert says_tied(out) is True


def test_three_models_may_have_their_heads_in_three_ways(model, out):
    models = [model("a", 0, None, tied=True), model("b", 1, "copy", tied=True), model("c", 2, "own", tied=False)]
    merge(Weighted(), models, out)
    a, b, c = map(load, models)
    torch.testing.assert_close(load(out)[HEAD], (a[TABLE] + b[TABLE] + c[HEAD]) / 3)
    assert says_tied(out) is False


def test_a_model_that_ties_by_the_default_of_its_architecture_needs_no_head(model, out):
    cohere = {"model_type": "cohere", "architectures": ["CohereForCausalLM"]}
    models = [model("a", 0, None, tied=None, **cohere), model("b", 1, "own", tied=False, **cohere)]
    merge(Weighted(), models, out)
    assert HEAD in load(out)
    assert says_tied(out) is False


@pytest.mark.parametrize("order", [1, -1])
def test_a_head_that_is_missing_and_not_tied_is_refused(order, model, out):
    models = [model("a", 0, None, tied=False), model("b", 1, "own", tied=False)][::order]
    with pytest.raises(DataError, match=r"only 'b' has 'lm_head.weight'"):
        merge(Weighted(), models, out)


def test_a_third_model_without_a_head_that_nothing_ties_is_refused(model, out):
    models = [model("a", 0, None, tied=True), model("b", 1, "own", tied=True), model("c", 2, None, tied=False)]
    with pytest.raises(DataError, match=r"'c' has no tensor 'lm_head.weight', and its config.json does not tie"):
        merge(Weighted(), models, out)


def test_the_setting_of_the_text_part_is_untied_too(model, out):
    both = {"text_config": {"tie_word_embeddings": True, "vocab_size": 48}}
    merge(Weighted(), [model("a", 0, None, True, **both), model("b", 1, "own", False, **both)], out)
    config = json.loads((out / "config.json").read_text())
    assert config["tie_word_embeddings"] is config["text_config"]["tie_word_embeddings"] is False


def stacked(*firsts):
    """Slices of one layer each, the first of a model, or none of it."""
    return tuple(LayerSlice(first, 1) for first in firsts)


@pytest.mark.parametrize("head", ["copy", None])
def test_layers_of_a_tied_model_under_those_of_an_untied_one_keep_the_head_of_the_last(head, model, out):
    models = [model("a", 0, head, True, num_hidden_layers=2), model("b", 1, "own", False, num_hidden_layers=2)]
    for folder in models:  # layer 10 is not in a row with the others
        rename_layer_10(folder)
    merge(Passthrough(), models, out, slices=stacked((0, None), (None, 1)))
    a, b, merged = load(models[0]), load(models[1]), load(out)
    assert torch.equal(merged[TABLE], a[TABLE])
    assert torch.equal(merged[HEAD], b[HEAD])
    assert says_tied(out) is False


def rename_layer_10(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.10.mlp.weight"]
    save_file(tensors, folder / "model.safetensors")
