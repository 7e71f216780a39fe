"""Merges of a published model with a fine-tune of it, beside mergekit's."""

import shutil

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.cli import aya

TEXTS = ["The cat sat on the mat.", "Der Himmel ist heute grau.", "Il pleut sur la ville."]


@pytest.fixture(scope="module")
def tuned(smol, tmp_path_factory):
    """Two fine-tunes of the model: a few steps, each on other texts."""
    made = []
    tokenizer = AutoTokenizer.from_pretrained(smol)
    for seed in range(2):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(smol, dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        for text in TEXTS[seed : seed + 2]:
            ids = tokenizer(text, return_tensors="pt").input_ids
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        folder = tmp_path_factory.mktemp("tuned") / str(seed)
        model.save_pretrained(folder)
        for file in smol.glob("*token*"):
            shutil.copyfile(file, folder / file.name)
        made.append(folder)
    return made


def config(method, base, models):
    shares = [{"weight": 0.7, "density": 0.5}, {"weight": 0.4, "density": 0.8}]
    listed = [
        {"model": str(model), "parameters": share if method == "ties" else {"weight": share["weight"]}}
        for model, share in zip(models, shares, strict=True)
    ]
    if method == "slerp":
        listed = [{"model": str(model)} for model in (base, models[0])]
    return {
        "merge_method": method, "models": listed, "dtype": "float32",
        **({"base_model": str(base)} if method != "linear" else {}),
        **({"parameters": {"t": 0.3}} if method == "slerp" else {}),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
@pytest.mark.parametrize("method", ["linear", "slerp", "ties"])
def test_merges_are_those_of_mergekit(method, smol, tuned, tmp_path):
    pytest.importorskip("mergekit")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    written = config(method, smol, tuned)
    run_merge(
        MergeConfiguration.model_validate(written), str(tmp_path / "theirs"),
        MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False, cuda=False, device="cpu"),
    )  # fmt: skip
    (tmp_path / "merge.yml").write_text(yaml.safe_dump(written))
    result = CliRunner().invoke(aya, ["merge", str(tmp_path / "merge.yml"), str(tmp_path / "ours")])
    assert result.exit_code == 0, result.output
    ours, theirs, base = (load(folder) for folder in (tmp_path / "ours", tmp_path / "theirs", smol))
    assert ours.keys() == theirs.keys()
    moved = sum(not torch.equal(tensor, base[name].float()) for name, tensor in ours.items())
    assert moved > len(ours) / 2
    deltas = [load(folder) for folder in tuned]
    for name, tensor in ours.items():
        unlike = (tensor - theirs[name]).abs() > 1e-6 * theirs[name].abs().max()
        if method == "ties":  # of differences as large as the least that is kept, any may be
            unlike &= ~is_least_kept(name, base, deltas)
        assert not unlike.any(), name


def is_least_kept(name, base, models):
    """Where the difference of some model is as large as the least of the share of them that it keeps."""
    found = torch.zeros(base[name].shape, dtype=torch.bool)
    for model, density in zip(models, (0.5, 0.8), strict=True):
        sizes = (model[name].float() - base[name].float()).abs()
        least = sizes.flatten().topk(max(1, int(density * sizes.numel()))).values[-1]
        found |= sizes == least
    return found


def load(folder):
    return {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}
