"""What a merge writes beside the weights, and what it tells."""

import hashlib
import json

import torch
from checkpoints import load, merge

from aya_plugins.merges import DareTies, Ties, Weighted


def test_inputs_are_untouched(three, out):
    before = {path: path.read_bytes() for folder in three for path in folder.iterdir()}
    merge(Ties(), three[1:], out, base=three[0])
    assert before == {path: path.read_bytes() for folder in three for path in folder.iterdir()}


def test_shards_are_written_in_natural_order_with_an_index(three, out):
    account = merge(Weighted(), three, out, shard_bytes=2000)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {
        "model.embed_tokens.weight": "model-00001-of-00003.safetensors",
        "model.layers.0.mlp.weight": "model-00002-of-00003.safetensors",
        "model.layers.1.mlp.weight": "model-00002-of-00003.safetensors",
        "model.layers.10.mlp.weight": "model-00003-of-00003.safetensors",
        "model.norm.weight": "model-00003-of-00003.safetensors",
    }
    assert index["metadata"]["total_size"] == 4 * account["parameters"]
    assert account["bytes_written"] == sum(path.stat().st_size for path in out.glob("*.safetensors"))


def content(folder):
    """Hash a model as the card says."""
    lines = []
    for name, value in load(folder).items():
        digest = hashlib.sha256(value.numpy().tobytes()).hexdigest()
        lines.append(f"{name} F32 {','.join(map(str, value.shape))} {digest}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_the_account_tells_what_was_done(three, out):
    account = merge(Weighted(), three, out, weights=[1.0, 2.0, 3.0])
    parameters = 48 * 8 + 3 * 24 * 8 + 8
    assert json.loads(json.dumps(account)) == {
        "tensors": 5,
        "parameters": parameters,
        "bytes_read": 3 * 4 * parameters,
        "bytes_written": (out / "model.safetensors").stat().st_size,
        "dtype": "float32",
        "copied": ["config.json"],
        "integer_tensors": [],
        "tied": {},
        "notes": [],
        "inputs": [
            {"model": name, "weight": weight, "tensors": 5, "content": content(folder)}
            for name, weight, folder in zip(("base", "a", "b"), (1.0, 2.0, 3.0), three, strict=True)
        ],
        "base": None,
        "base_content": None,
    }


def test_the_model_card_names_method_settings_and_models(three, out):
    import yaml

    merge(DareTies(density=0.5), three[1:], out, base=three[0], weights=[1.0, 0.5], seed=7)
    _, front, body = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "tags": ["merge"],
    }
    for part in ("DareTies", "| b | 0.5 |", "| base | base |", "`density: 0.5`", "`seed: 7`", "5 tensors"):
        assert part in body


def test_files_beside_the_weights_come_from_the_first_model_or_the_base(three, out, tmp_path):
    for folder in three:
        (folder / "tokenizer_config.json").write_text(folder.name)
        (folder / "chat_template.jinja").write_text(folder.name)
        (folder / "training_args.bin").write_text("not for release")
    account = merge(Weighted(), three[1:], out)
    assert (out / "tokenizer_config.json").read_text() == "a"
    assert account["copied"] == ["config.json", "chat_template.jinja", "tokenizer_config.json"]
    assert not (out / "training_args.bin").exists()
    second = tmp_path / "second"
    second.mkdir()
    merge(Ties(), three[1:], second, base=three[0])
    assert (second / "chat_template.jinja").read_text() == "base"


def test_the_asked_dtype_is_stored_and_told(three, out):
    account = merge(Weighted(), three, out, dtype="bfloat16")
    assert account["dtype"] == "bfloat16"
    assert {value.dtype for value in load(out).values()} == {torch.bfloat16}
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_without_an_asked_dtype_each_tensor_keeps_that_of_the_first_model(write_model, random_tensors, out):
    mixed = random_tensors(0, torch.bfloat16)
    mixed["model.norm.weight"] = mixed["model.norm.weight"].float()
    folders = [write_model("a", mixed), write_model("b", random_tensors(1, torch.float16))]
    assert merge(Weighted(), folders, out)["dtype"] == "float32+bfloat16"
    merged = load(out)
    assert {name: value.dtype for name, value in merged.items()} == {n: v.dtype for n, v in mixed.items()}
