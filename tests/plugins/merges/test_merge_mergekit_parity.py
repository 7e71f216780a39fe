"""Our merges beside mergekit 0.1.5's own functions, and beside a whole run of it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import MergeJob
from aya_core.merge_config import read_merge_config
from aya_plugins.merges import DareTies, Slerp, Ties, Weighted
from aya_plugins.merges.dare_ties import drop_and_rescale
from aya_plugins.merges.engine import StreamingMerge

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
MERGES = {"weighted": Weighted, "slerp": Slerp, "ties": Ties, "dare-ties": DareTies}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
SHAPES = pytest.mark.parametrize("shape", [(781,), (63, 129), (40, 5, 5)], ids=str)


@pytest.fixture
def theirs():
    """Merge one tensor with mergekit, in float32, rounded to the asked dtype at the end."""
    pytest.importorskip("mergekit")
    from mergekit.merge_methods.api import merge_tensors

    def merge(method, tensors, dtype, base_index=None, **parameters):
        return merge_tensors(
            tensors,
            method,
            parameters=parameters,
            base_index=base_index,
            dtype=torch.float32,
            out_dtype=dtype,
        )

    return merge


def fresh(count, shape, dtype):
    """Make models that differ from the first as fine-tuned ones differ from their base."""
    generator = torch.Generator().manual_seed(count * 1000 + len(shape))
    base = torch.randn(shape, generator=generator)
    rest = [base + 0.3 * torch.randn(shape, generator=generator) for _ in range(count - 1)]
    return [tensor.to(dtype) for tensor in (base, *rest)]


def ours(settings, tensors, weights, base, dtype):
    wide = [tensor.float() for tensor in tensors]
    return settings.build()(wide, weights, None if base is None else base.float(), 0).to(dtype)


def assert_within_one_ulp(a, b):
    """Differ by at most one unit in the last place.

    Both sides compute in float32, in another order, so that the last places of float32 itself differ. Three
    units are allowed there, of a number as large as the terms that were added up: at least 1.
    """
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    size = torch.maximum(a.abs(), b.abs()).double().clamp(min=torch.finfo(a.dtype).smallest_normal)
    ulp = torch.finfo(a.dtype).eps * torch.exp2(size.log2().floor())
    float32_ulp = torch.finfo(torch.float32).eps * size.clamp(min=1)
    excess = (a.double() - b.double()).abs() - torch.maximum(ulp, 3 * float32_ulp)
    assert excess.max().item() <= 0


@DTYPES
@SHAPES
@pytest.mark.parametrize("normalize", [True, False])
def test_weighted_is_mergekits_linear(theirs, dtype, shape, normalize):
    tensors = fresh(4, shape, dtype)
    weights = [0.1, 0.7, 1.3, 0.4]
    expected = theirs("linear", tensors, dtype, weight=weights, normalize=normalize)
    merged = ours(Weighted(normalize=normalize), tensors, weights, None, dtype)
    assert_within_one_ulp(merged, expected)


@DTYPES
@SHAPES
@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_slerp_is_mergekits(theirs, dtype, shape, t):
    tensors = fresh(2, shape, dtype)
    expected = theirs("slerp", tensors, dtype, base_index=0, t=t)
    merged = ours(Slerp(t=t), tensors, [1.0, 1.0], None, dtype)
    assert_within_one_ulp(merged, expected)


@DTYPES
@pytest.mark.parametrize("nearness", [1e-3, 0.02, 0.04])
def test_slerp_takes_the_line_where_mergekit_does(theirs, dtype, nearness):
    base = fresh(1, (500,), torch.float32)[0]
    other = base + nearness * base.flip(0)
    tensors = [base.to(dtype), other.to(dtype)]
    expected = theirs("slerp", tensors, dtype, base_index=0, t=0.3)
    assert_within_one_ulp(ours(Slerp(t=0.3), tensors, [1.0, 1.0], None, dtype), expected)


@DTYPES
@SHAPES
@pytest.mark.parametrize("density", [0.2, 0.53, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_ties_is_mergekits(theirs, dtype, shape, density, normalize):
    # In float32, where no two magnitudes are equal: mergekit leaves open which of equals it keeps.
    base, *models = fresh(4, shape, torch.float32)
    weights = [0.9, 0.4, 1.3]
    parameters = {"weight": weights, "density": density, "normalize": normalize, "lambda": 0.8}
    expected = theirs("ties", [base, *models], dtype, base_index=0, **parameters)
    settings = Ties(density=density, normalize=normalize, lambda_=0.8)
    assert_within_one_ulp(ours(settings, models, weights, base, dtype), expected)


def test_l1_rescaling_of_dare_is_mergekits(theirs):
    from mergekit.sparsify import RescaleNorm, rescaled_masked_tensor

    delta = fresh(1, (3000,), torch.float32)[0]
    merged = delta.clone()
    drop_and_rescale(merged, 0.4, "l1", (1, 2))
    mask = (merged != 0).float()
    torch.testing.assert_close(merged, rescaled_masked_tensor(delta, mask, RescaleNorm.l1), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "config",
    [
        {"merge_method": "linear", "parameters": {"weight": 0.5}},
        {"merge_method": "slerp", "base_model": 0, "parameters": {"t": 0.3}},
        {"merge_method": "ties", "base_model": 0, "parameters": {"weight": 0.7, "density": 0.4}},
        {"merge_method": "dare_ties", "base_model": 0, "parameters": {"weight": 0.7}},
    ],
    ids=lambda config: config["merge_method"],
)
def test_one_config_file_gives_the_same_llama_as_a_run_of_mergekit(config, theirs, tmp_path):
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    count = 2 if config["merge_method"] == "slerp" else 3
    folders = [str(tiny_llama(tmp_path / f"m{seed}", seed)) for seed in range(count)]
    config = {**config, "models": [{"model": folder} for folder in folders], "dtype": "float32"}
    if "base_model" in config:
        config["base_model"] = folders[0]
    quiet = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False, cuda=False, device="cpu")
    run_merge(MergeConfiguration.model_validate(config), str(tmp_path / "theirs"), quiet)

    read = read_merge_config(config)
    out = tmp_path / "ours"
    out.mkdir()
    job = MergeJob(tuple(map(path_of, read.models)), tuple(read.weights), out, 0, path_of(read.base), read.dtype)
    StreamingMerge(MERGES[read.use](**read.settings).build()).merge(job)

    merged, expected = load_file(out / "model.safetensors"), load_all(tmp_path / "theirs")
    assert merged.keys() == expected.keys()
    for name, tensor in merged.items():
        assert_within_one_ulp(tensor, expected[name])


def path_of(name):
    from pathlib import Path

    return Path(name) if name else None


def load_all(folder):
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def tiny_llama(folder, seed):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    return folder
