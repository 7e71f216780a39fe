"""An adapter made of the difference between two models."""

import json

import pytest
import torch
from checkpoints import load, merge
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from aya_core.api import DataError, LoraJob, MergeInput
from aya_core.cli import aya
from aya_core.testing import tiny_causal_lm
from aya_plugins.merges import Weighted
from aya_plugins.merges.adapters.extract import low_rank
from aya_plugins.merges.runtime.streaming import StreamingMerge

FULL = 64


def extract(model, base, out, **more):
    out.mkdir()
    job = LoraJob(MergeInput("tuned", model), MergeInput("base", base), str(base), out, **more)
    return StreamingMerge().extract(job)


def adapted(adapter, out):
    """The weights of a base with its adapter."""
    out.mkdir()
    merge(Weighted(), [adapter], out)
    return load(out)


@pytest.fixture
def tuned(tmp_path):
    """Make a base, and a model of which every tensor differs from it."""

    def make(family="llama", **config):
        base = tiny_causal_lm(tmp_path / "base", family, **config)
        model = tmp_path / "tuned"
        model.mkdir()
        generator = torch.Generator().manual_seed(1)
        changed = {
            name: value + 0.05 * torch.randn(value.shape, generator=generator) for name, value in load(base).items()
        }
        for path in base.iterdir():
            (model / path.name).write_bytes(path.read_bytes())
        save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
        return base, model

    return make


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_no_product_of_a_rank_is_nearer(shape):
    difference = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(difference)
    for rank in (1, 3, 5):
        up, down, square, kept = low_rank(difference, rank, 0.0)
        assert (up.shape, down.shape) == ((shape[0], rank), (rank, shape[1]))
        torch.testing.assert_close(
            (difference - up.double() @ down.double()).norm(), values[rank:].norm(), atol=1e-5, rtol=1e-5
        )
        assert (square, kept) == pytest.approx((values.square().sum().item(), values[:rank].square().sum().item()))
        torch.testing.assert_close(up.norm(), down.norm())


def test_a_threshold_leaves_out_small_values():
    difference = torch.diag(torch.tensor([10.0, 5.0, 1.0, 0.1]))
    assert [low_rank(difference, 4, threshold)[0].shape[1] for threshold in (0, 0.05, 0.2, 0.6)] == [4, 3, 2, 1]
    assert low_rank(difference, 2, 0.05)[0].shape[1] == 2


@pytest.mark.parametrize(
    ("family", "config"), [("llama", {"tie_word_embeddings": False}), ("cohere", {}), ("gpt2", {}), ("qwen2", {})]
)
def test_all_of_the_rank_gives_the_model_again(family, config, tuned, tmp_path):
    base, model = tuned(family, **config)
    account = extract(model, base, tmp_path / "adapter", rank=FULL)
    assert account["reproduced"] == pytest.approx(1)
    expected = load(model)
    for name, value in adapted(tmp_path / "adapter", tmp_path / "out").items():
        torch.testing.assert_close(value, expected[name], atol=2e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True` and a tied layer:UserWarning")
@pytest.mark.parametrize(
    ("family", "config"),
    [("llama", {"tie_word_embeddings": False}), ("llama", {"tie_word_embeddings": True}), ("gpt2", {})],
)
def test_peft_makes_the_same_of_it(family, config, tuned, tmp_path):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    base, model = tuned(family, **config)
    extract(model, base, tmp_path / "adapter", rank=FULL)
    whole = AutoModelForCausalLM.from_pretrained(model)
    made = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")
    tokens = torch.arange(3, 11)[None]
    torch.testing.assert_close(made(tokens).logits, whole(tokens).logits, atol=1e-4, rtol=1e-4)


def test_a_rank_gives_what_mergekit_extracts(tuned, tmp_path):
    """The products, as the sign of each factor is free."""
    base, model = tuned(tie_word_embeddings=False)
    account = extract(model, base, tmp_path / "adapter", rank=4)
    assert 0.1 < account["reproduced"] < 0.9
    found, start, end = load_file(tmp_path / "adapter" / "adapter_model.safetensors"), load(base), load(model)
    for name, up in found.items():
        if not name.endswith("lora_B.weight"):
            continue
        weight = name.removeprefix("base_model.model.").replace("lora_B.weight", "weight")
        u, s, v = torch.linalg.svd(end[weight] - start[weight], full_matrices=False)
        product = up @ found[name.replace("lora_B", "lora_A")]
        torch.testing.assert_close(product, u[:, :4] @ torch.diag(s[:4]) @ v[:4], atol=1e-5, rtol=1e-4)


def test_only_what_differs_is_stored(tuned, tmp_path):
    base, model = tuned(tie_word_embeddings=False)
    changed = load(base)
    changed["model.layers.1.mlp.up_proj.weight"] = load(model)["model.layers.1.mlp.up_proj.weight"]
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    account = extract(model, base, tmp_path / "adapter", rank=2)
    assert (account["matrices"], account["stored_whole"], account["unchanged"]) == (1, 0, len(changed) - 1)
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["model.layers.1.mlp.up_proj"]
    assert (settings["r"], settings["lora_alpha"], settings["modules_to_save"]) == (2, 2, None)


def test_models_of_the_same_weights_have_nothing_to_extract(tuned, tmp_path):
    base, model = tuned()
    (model / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match="have the same weights; there is nothing to extract"):
        extract(model, base, tmp_path / "adapter")


def test_the_command_makes_a_folder(tuned, tmp_path):
    base, model = tuned()
    command = ["merge", "--extract-lora", str(model), str(base), str(tmp_path / "out"), "--rank", "3"]
    result = CliRunner().invoke(aya, command)
    assert result.exit_code == 0, result.exception
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(base.resolve())
    assert "rank 3" in result.output
    assert not (tmp_path / "out.partial").exists()
    again = CliRunner().invoke(aya, command)
    assert "out: exists already" in str(again.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["base"], "got 1 models; expected aya merge --extract-lora MODEL BASE OUT"),
        (["base", "base"], "is given as model and as base"),
        (["nowhere", "base"], "no folder"),
        (["tuned", "base+x"], "no folder"),
    ],
)
def test_what_cannot_be_extracted_is_told(words, message, tuned, tmp_path, monkeypatch):
    tuned()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(aya, ["merge", "--extract-lora", *words, "out"])
    assert message in str(result.exception)
    assert not (tmp_path / "out.partial").exists()
