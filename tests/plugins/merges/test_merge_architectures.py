"""Models that no table of architectures has to know, and adapters, merged whole."""

import json
from dataclasses import replace

import pytest
import torch
from checkpoints import job, load, merge
from safetensors.torch import save_file

from aya_core.api import DataError, MergeInput
from aya_core.testing import tiny_causal_lm
from aya_plugins.merges import DareTies, Slerp, Ties, Weighted
from aya_plugins.merges.runtime.streaming import StreamingMerge

MIXTURE = {"num_local_experts": 4, "num_experts_per_tok": 2}
METHODS = [Weighted(), Slerp(t=0.4), Ties(density=0.4), DareTies(density=0.5)]


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: type(settings).__name__)
@pytest.mark.parametrize(("family", "more"), [("gemma2", {}), ("mixtral", MIXTURE), ("gpt_neox", {"rotary_pct": 1.0})])
def test_a_merge_of_any_family_loads_whole(family, more, settings, tmp_path, out):
    from transformers import AutoModelForCausalLM

    base, *models = (tiny_causal_lm(tmp_path / str(seed), family, seed=seed, **more) for seed in range(3))
    merge(settings, models, out, base=base)
    model, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model(torch.arange(8)[None]).logits.isfinite().all()
    assert load(out).keys() == load(base).keys()


def test_an_architecture_that_nobody_has_heard_of(write_model, out):
    tensors = [{"towers.0.alpha": torch.full((3, 2), float(v)), "omega": torch.full((5,), v / 2)} for v in (1, 3)]
    folders = [
        write_model(name, of, config={"model_type": "nobody", "architectures": ["NobodyKnows"]})
        for name, of in zip("ab", tensors, strict=True)
    ]
    merge(Weighted(), folders, out)
    assert {name: value.unique().tolist() for name, value in load(out).items()} == {
        "towers.0.alpha": [2.0],
        "omega": [1.0],
    }


@pytest.fixture
def adapted(tmp_path):
    """Write a base, two LoRA adapters of it, and what peft makes of each."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    base = tiny_causal_lm(tmp_path / "base", "llama", tie_word_embeddings=False)
    adapters, whole = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
        model.save_pretrained(tmp_path / f"adapter-{seed}")
        merged = tmp_path / f"whole-{seed}"
        model.merge_and_unload().save_pretrained(merged)
        adapters.append(tmp_path / f"adapter-{seed}")
        whole.append(merged)
    return base, adapters, whole


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: type(settings).__name__)
def test_adapters_merge_as_the_models_that_they_make(settings, adapted, tmp_path):
    base, adapters, whole = adapted
    for folder in whole:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).write_bytes((base / file).read_bytes())
    merge(settings, whole, tmp_path / "expected", base=base)
    given = tuple(MergeInput(folder.name, base, adapter) for folder, adapter in zip(whole, adapters, strict=True))
    made = job(whole, tmp_path / "out", base=base if settings.build().needs_base else None)
    (account,) = StreamingMerge().merge([(settings.build(), replace(made, models=given))])
    merged, expected = load(tmp_path / "out"), load(tmp_path / "expected")
    assert merged.keys() == expected.keys()
    for name, value in merged.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    contents = [entry["content"] for entry in account["inputs"]]
    assert len(set(contents)) == 2
    assert all("+" in content for content in contents)


def test_an_adapter_alone_means_its_own_base_adapted(adapted, out):
    _, adapters, whole = adapted
    merge(Weighted(), [adapters[0]], out)
    for name, value in load(whole[0]).items():
        torch.testing.assert_close(load(out)[name], value, rtol=1e-5, atol=1e-6)


def test_an_adapter_with_bad_values_is_named(adapted, out):
    _, (adapter, _), _ = adapted
    broken = load(adapter)
    next(iter(broken.values()))[0, 0] = float("nan")
    save_file(broken, adapter / "adapter_model.safetensors")
    with pytest.raises(DataError, match=r"model 'adapter-0': tensor '.*' has NaN"):
        merge(Weighted(), [adapter], out)


def test_the_settings_of_layers_follow_the_layers(write_model, tmp_path, out):
    from aya_core.api import LayerSlice

    tensors = {f"model.layers.{layer}.w": torch.full((2, 2), float(layer)) for layer in range(3)}
    config = {"num_hidden_layers": 3, "layer_types": ["full", "sliding", "none"]}
    folder = write_model("a", {**tensors, "model.norm.weight": torch.ones(2)}, config=config)
    slices = (LayerSlice((2,), 1), LayerSlice((0,), 2))
    merge(Weighted(), [folder], out, slices=slices)
    written = json.loads((out / "config.json").read_text())
    assert (written["num_hidden_layers"], written["layer_types"]) == (3, ["none", "full", "sliding"])
    assert [load(out)[f"model.layers.{layer}.w"][0, 0].item() for layer in range(3)] == [2.0, 0.0, 1.0]
