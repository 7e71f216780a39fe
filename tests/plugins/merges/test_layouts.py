"""One architecture as several versions of transformers stored it."""

import pytest
import torch
from checkpoints import load, merge, same_bits

from aya_core.api import DataError, LayerSlice
from aya_plugins.merges import Passthrough, Slerp, Weighted


def tensors(seed, layers=2, front="model."):
    generator = torch.Generator().manual_seed(seed)
    made = {
        f"{front}layers.{layer}.self_attn.q_proj.weight": torch.randn(4, 4, generator=generator)
        for layer in range(layers)
    }
    made |= {f"{front}layers.{layer}.mlp.bias": torch.randn(4, generator=generator) for layer in range(layers)}
    return made | {
        f"{front}norm.weight": torch.randn(4, generator=generator),
        "lm_head.weight": torch.randn(6, 4, generator=generator),
    }


def renamed(made, **fronts):
    for before, after in fronts.items():
        made = {
            name.replace(before, after, 1) if name.startswith(before) else name: value for name, value in made.items()
        }
    return made


BUFFERS = {
    "frequencies": {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.rand(2) for layer in range(2)},
    "masks": {f"model.layers.{layer}.attn.bias": torch.ones(1, 1, 8, 8) for layer in range(2)},
    "masks and their values": {
        "model.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        "model.layers.0.attention.masked_bias": torch.tensor(-1e9),
    },
    "positions": {"model.embeddings.position_ids": torch.arange(8)[None]},
}


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("first", [True, False])
def test_a_buffer_that_only_one_model_stores_is_left_out(kind, first, write_model, tmp_path):
    plain, other = (write_model(name, tensors(seed)) for seed, name in enumerate(("plain", "other")))
    old = write_model("old", {**tensors(1), **BUFFERS[kind]})
    account = merge(Weighted(), [old, plain] if first else [plain, old], tmp_path / "out")
    merge(Weighted(), [plain, other], tmp_path / "expected")
    assert same_bits(load(tmp_path / "out"), load(tmp_path / "expected"))
    (note,) = account["notes"]
    assert note.startswith("Left out, as only some models store them and each computes them: ")
    assert "Left out, as only some" in (tmp_path / "out" / "README.md").read_text()


def test_buffers_that_all_models_store_are_kept(write_model, out):
    models = [write_model(name, {**tensors(seed), **BUFFERS["frequencies"]}) for seed, name in enumerate("ab")]
    account = merge(Weighted(), models, out)
    assert load(out).keys() == {**tensors(0), **BUFFERS["frequencies"]}.keys()
    assert account["notes"] == []


def test_a_bias_that_is_no_mask_is_no_buffer(write_model, out):
    models = [write_model("a", tensors(0)), write_model("b", {**tensors(1), "model.layers.0.attn.bias": torch.ones(4)})]
    with pytest.raises(DataError, match=r"only 'b' has 'model\.layers\.0\.attn\.bias'"):
        merge(Weighted(), models, out)


FRONTS = [
    {"model.": ""},
    {"model.": "transformer."},
    {"model.": "language_model.model.", "lm_head": "language_model.lm_head"},
]


@pytest.mark.parametrize("fronts", FRONTS)
@pytest.mark.parametrize("settings", [Weighted(), Slerp(t=0.3)])
def test_other_components_in_front_are_the_same_tensors(fronts, settings, write_model, tmp_path):
    a, b = write_model("a", tensors(0)), write_model("b", tensors(1))
    moved = write_model("moved", renamed(tensors(1), **fronts))
    account = merge(settings, [a, moved], tmp_path / "out")
    merge(settings, [a, b], tmp_path / "expected")
    assert same_bits(load(tmp_path / "out"), load(tmp_path / "expected"))
    (note,) = account["notes"]
    assert "'moved' has" in note
    assert "tensors under other names" in note


def test_layers_of_a_deeper_model_are_found_under_their_names(write_model, tmp_path):
    a = write_model("a", tensors(0), config={"num_hidden_layers": 2})
    deep = write_model("deep", tensors(1, layers=4), config={"num_hidden_layers": 4})
    moved = write_model(
        "moved", renamed(tensors(1, layers=4), **{"model.": "transformer."}), config={"num_hidden_layers": 4}
    )
    slices = (LayerSlice((0, None), 2), LayerSlice((None, 2), 2))
    for model, out in ((deep, "expected"), (moved, "out")):
        merge(Weighted(), [a, model], tmp_path / out, slices=slices)
    assert same_bits(load(tmp_path / "out"), load(tmp_path / "expected"))
    assert sum("q_proj" in name for name in load(tmp_path / "out")) == 4


def test_what_could_be_two_tensors_is_none_of_them(write_model, out):
    both = {"model.norm.weight": torch.ones(4), "language_model.norm.weight": torch.zeros(4)}
    models = [write_model("a", both), write_model("b", {"norm.weight": torch.ones(4), "x.weight": torch.ones(4)})]
    with pytest.raises(DataError, match="do not have the same tensors"):
        merge(Weighted(), models, out)


def test_slices_without_any_layer_are_told(tmp_path, write_model):
    model = write_model("a", tensors(0), config={"num_hidden_layers": 2})
    with pytest.raises(DataError, match="the slices hold no layer at all"):
        merge(Passthrough(), [model], tmp_path / "out", slices=(LayerSlice((0,), 0),))
