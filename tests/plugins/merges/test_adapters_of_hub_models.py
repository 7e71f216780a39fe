"""An adapter whose base is a model of the hub, as our trainers and peft write it, is merged as a model."""

import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from checkpoints import load, merge
from safetensors.torch import save_file

from aya_core.contract.errors import AyaError
from aya_plugins.merges import Weighted

OLD, NEW = "a" * 40, "b" * 40
CHANGED = "model.layers.1.mlp.weight"


@pytest.fixture
def adapter(three, tmp_path, monkeypatch):
    """Write an adapter whose base is `lab/tiny`, of which an offline cache holds two commits: the first of three models is the branch
    `main`, the second the tag `v2`."""
    cached = tmp_path / "hub" / "models--lab--tiny"
    for commit, model in ((OLD, three[0]), (NEW, three[1])):
        shutil.copytree(model, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(OLD)
    (cached / "refs" / "v2").write_text(NEW)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def write(**config):
        folder = tmp_path / "adapter"
        folder.mkdir()
        said = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "lab/tiny", **config}
        (folder / "adapter_config.json").write_text(json.dumps(said))
        generator = torch.Generator().manual_seed(3)
        module = f"base_model.model.{CHANGED.removesuffix('.weight')}"
        parts = {"lora_A": torch.randn(2, 8, generator=generator), "lora_B": torch.randn(24, 2, generator=generator)}
        save_file(
            {f"{module}.{part}.weight": value for part, value in parts.items()}, folder / "adapter_model.safetensors"
        )
        return folder, 2.0 * parts["lora_B"] @ parts["lora_A"]

    return write


@pytest.mark.parametrize(("revision", "base"), [({}, 0), ({"revision": "v2"}, 1), ({"revision": OLD}, 0)])
def test_its_base_is_the_revision_that_it_names(revision, base, three, adapter, out):
    folder, product = adapter(**revision)
    merge(Weighted(), [three[2], folder], out)
    found, other, own = load(out), load(three[2]), load(three[base])
    own[CHANGED] += product
    for name, value in found.items():
        torch.testing.assert_close(value, (other[name] + own[name]) / 2)


def test_a_base_that_cannot_be_had_is_named(three, adapter, out):
    folder, _ = adapter(base_model_name_or_path="lab/elsewhere")
    with pytest.raises(AyaError, match=r"lab/elsewhere.*HF_HUB_OFFLINE is set"):
        merge(Weighted(), [three[2], folder], out)
