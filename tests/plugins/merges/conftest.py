import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

CONFIG = {"model_type": "tiny", "architectures": ["Tiny"], "vocab_size": 48, "dtype": "float32"}


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint of given tensors, in as many shards as asked."""

    def write(name, tensors, *, shards=1, config=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
        names = sorted(tensors)
        if shards == 1:
            save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
            return folder
        weight_map = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            part = {name: tensors[name] for name in names[shard::shards]}
            save_file(part, folder / file, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(part, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return folder

    return write


@pytest.fixture
def random_tensors() -> Callable[..., dict[str, torch.Tensor]]:
    """Make the tensors of a small model; the same seed gives the same."""

    def make(seed, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(shape, generator=generator).to(dtype)

        return {
            "model.embed_tokens.weight": normal(48, 8),
            "model.layers.0.mlp.weight": normal(24, 8),
            "model.layers.1.mlp.weight": normal(24, 8),
            "model.layers.10.mlp.weight": normal(24, 8),
            "model.norm.weight": normal(8),
        }

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Make an empty folder for the merge."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def three(write_model, random_tensors) -> list[Path]:
    """Write a base and two models of five tensors."""
    return [write_model(name, random_tensors(seed)) for seed, name in enumerate(("base", "a", "b"))]
