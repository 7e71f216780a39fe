"""Laws of the engine: what it writes depends on weights, settings and seed alone."""

import subprocess
import sys

import pytest
import torch
from checkpoints import job, load, merge, same_bits

from aya_core.api import AyaError, DataError, Resources
from aya_core.testing import merge_whole
from aya_plugins.merges import DareTies, Slerp, Ties, Weighted, aya_merge_engine
from aya_plugins.merges.runtime.run import tensor_key
from aya_plugins.merges.runtime.streaming import StreamingMerge

METHODS = [
    Weighted(),
    Slerp(t=0.3),
    Ties(density=0.3),
    DareTies(density=0.5),
    DareTies(density=0.5, rescale="l1"),
]
method = pytest.mark.parametrize("settings", METHODS, ids=lambda settings: type(settings).__name__)


@method
def test_a_model_merged_with_itself_is_that_model(settings, three, out):
    base = three[0]
    merge(settings, [base, base], out, base=base)
    merged, expected = load(out), load(base)
    assert merged.keys() == expected.keys()
    for name, value in merged.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=0)


@method
def test_the_layout_of_shards_changes_no_bit(settings, write_model, random_tensors, tmp_path):
    results = []
    for layout in (1, 2, 5):
        folders = [write_model(f"{layout}-{i}", random_tensors(i), shards=(1, layout)[i % 2]) for i in range(3)]
        out = tmp_path / f"out-{layout}"
        out.mkdir()
        merge(settings, folders[1:], out, base=folders[0], shard_bytes=10**9 if layout == 1 else 2000)
        results.append(load(out))
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


@method
def test_the_number_of_threads_changes_no_bit(settings, write_model, tmp_path):
    generator = torch.Generator().manual_seed(0)
    folders = [
        write_model(name, {"big": torch.randn(1_500_001, generator=generator), "small": torch.ones(())})
        for name in ("base", "a", "b")
    ]
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2, 3):
        out = tmp_path / f"out-{count}"
        merge(settings, folders[1:], out, base=folders[0], resources=Resources(threads=count))
        results.append((out / "model.safetensors").read_bytes())
    assert torch.get_num_threads() == threads
    assert results[0] == results[1] == results[2]


def test_seed_and_name_make_the_key():
    assert tensor_key(0, "a") != tensor_key(1, "a") != tensor_key(1, "b")
    assert tensor_key(0, "model.norm.weight") == 5381990721993169772  # by sha256sum
    assert 0 <= tensor_key(2**70, "x") < 2**64


def test_the_seed_changes_a_random_merge(three, tmp_path):
    results = []
    for seed in (0, 0, 1):
        out = tmp_path / f"out-{len(results)}"
        out.mkdir()
        merge(DareTies(density=0.5), three[1:], out, base=three[0], seed=seed)
        results.append(load(out))
    assert same_bits(results[0], results[1])
    assert not same_bits(results[0], results[2])


def test_bfloat16_is_rounded_once(write_model, random_tensors, out):
    tensors = [random_tensors(seed, torch.bfloat16) for seed in range(5)]
    folders = [write_model(f"m{i}", value) for i, value in enumerate(tensors)]
    merge(Weighted(), folders, out, weights=[0.1, 0.2, 0.3, 0.15, 0.25])
    for name, value in load(out).items():
        exact = sum(w * t[name].double() for w, t in zip([0.1, 0.2, 0.3, 0.15, 0.25], tensors, strict=True))
        assert value.dtype == torch.bfloat16
        # Round to nearest: no neighbor in bfloat16 is closer, but for the last bits of float32.
        half_ulp = torch.ldexp(torch.ones(()).double(), exact.abs().log2().floor() - 8)
        assert ((value.double() - exact).abs() <= half_ulp * (1 + 1e-4) + 1e-6).all()


def test_a_piece_at_a_time_gives_the_bits_of_the_whole(write_model, tmp_path):
    generator = torch.Generator().manual_seed(0)
    folders = [write_model(name, {"x": torch.randn(3, 700_001, generator=generator)}) for name in ("a", "b")]

    class Whole:
        needs_base = False

        def __call__(self, tensors, weights, base, place):
            return merge_whole(Weighted().build(), tensors, weights, base, place)

    results = []
    for tensor_merge in (Weighted().build(), Whole()):
        out = tmp_path / f"out-{len(results)}"
        StreamingMerge().merge([(tensor_merge, job(folders, out, weights=[0.3, 0.6]))])
        results.append(load(out))
    assert same_bits(*results)


def test_integer_tensors_are_copied_when_equal_and_refused_when_not(write_model, random_tensors, out):
    def with_steps(seed, steps):
        return {**random_tensors(seed), "steps": torch.tensor(steps), "mask": torch.tensor([True, False])}

    a, b = (write_model(name, with_steps(seed, 5)) for seed, name in enumerate("ab"))
    account = merge(Weighted(), [a, b], out)
    assert load(out)["steps"].item() == 5
    assert account["integer_tensors"] == ["mask", "steps"]
    with pytest.raises(DataError, match="integer tensor 'steps' differs between 'a' and 'c'"):
        merge(Weighted(), [a, write_model("c", with_steps(1, 6))], out)


def test_tensors_without_values_pass(write_model, out):
    folders = [write_model(name, {"empty": torch.empty(0, 4), "one": torch.ones(1)}) for name in "ab"]
    merge(Ties(), folders, out, base=folders[0])
    assert load(out)["empty"].shape == (0, 4)


def test_the_plugin_offers_the_engine():
    assert isinstance(aya_merge_engine(), StreamingMerge)


def test_the_plugin_imports_without_torch():
    code = "import sys, aya_plugins.merges; assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_filter_that_is_part_of_no_name_is_told(three, out):
    """A rule for tensors that are not there holds nowhere; nothing else would say so."""
    t = [{"filter": "mlpp", "value": 0.5}, {"filter": "mlp", "value": 0.2}, 0.3]
    account = merge(Slerp(t=t), three[:2], out)
    assert account["notes"] == ["t: the filter 'mlpp' is part of no tensor's name, so what stands there holds nowhere"]


def test_a_rule_that_fits_no_tensor_names_the_rules_there_are(three, out):
    with pytest.raises(AyaError, match=r"fits tensor '.*': they are for mlpp; end the list with a number"):
        merge(Slerp(t=[{"filter": "mlpp", "value": 0.5}]), three[:2], out)
