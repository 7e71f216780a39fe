import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import AyaError, DataError, MergeJob, PluginError
from aya_plugins.merges import DareTies, Slerp, Ties, Weighted, aya_merge_engine
from aya_plugins.merges.engine import StreamingMerge, tensor_key

METHODS = [
    Weighted(),
    Slerp(t=0.3),
    Ties(density=0.3),
    DareTies(density=0.5),
    DareTies(density=0.5, rescale="l1"),
]
method = pytest.mark.parametrize("settings", METHODS, ids=lambda settings: type(settings).__name__)


def merge(settings, models, out, *, base=None, weights=None, seed=0, dtype=None, max_shard_bytes=10**9):
    weights = tuple(weights or [1.0] * len(models))
    base = base if settings.build().needs_base else None
    job = MergeJob(models=tuple(models), weights=weights, out=out, seed=seed, base=base, dtype=dtype)
    return StreamingMerge(settings.build(), max_shard_bytes).merge(job)


def load(folder):
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def three(write_model, random_tensors):
    return [write_model(name, random_tensors(seed)) for seed, name in enumerate(("base", "a", "b"))]


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
        merge(settings, folders[1:], out, base=folders[0], max_shard_bytes=10**9 if layout == 1 else 2000)
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
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = tmp_path / f"out-{count}"
            out.mkdir()
            merge(settings, folders[1:], out, base=folders[0])
            results.append((out / "model.safetensors").read_bytes())
    finally:
        torch.set_num_threads(threads)
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
        # Round to nearest: no neighbour in bfloat16 is closer, but for the last bits of float32.
        half_ulp = torch.ldexp(torch.ones(()).double(), exact.abs().log2().floor() - 8)
        assert ((value.double() - exact).abs() <= half_ulp * (1 + 1e-4) + 1e-6).all()


def test_a_slice_at_a_time_gives_the_bits_of_the_whole(write_model, tmp_path):
    generator = torch.Generator().manual_seed(0)
    folders = [write_model(name, {"x": torch.randn(3, 700_001, generator=generator)}) for name in ("a", "b")]

    class Whole:
        needs_base = False

        def __call__(self, tensors, weights, base, key):
            return Weighted().build()(tensors, weights, base, key)

    results = []
    for tensor_merge in (Weighted().build(), Whole()):
        out = tmp_path / f"out-{len(results)}"
        out.mkdir()
        StreamingMerge(tensor_merge).merge(MergeJob(tuple(folders), (0.3, 0.6), out, 0))
        results.append(load(out))
    assert same_bits(*results)


def test_inputs_are_untouched(three, out):
    before = {path: path.read_bytes() for folder in three for path in folder.iterdir()}
    merge(Ties(), three[1:], out, base=three[0])
    assert before == {path: path.read_bytes() for folder in three for path in folder.iterdir()}


def test_shards_are_written_in_natural_order_with_an_index(three, out):
    account = merge(Weighted(), three, out, max_shard_bytes=2000)
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
        "inputs": [
            {"model": "base", "weight": 1.0, "tensors": 5},
            {"model": "a", "weight": 2.0, "tensors": 5},
            {"model": "b", "weight": 3.0, "tensors": 5},
        ],
        "base": None,
    }


def test_the_model_card_names_method_settings_and_models(three, out):
    import yaml

    merge(DareTies(density=0.5), three[1:], out, base=three[0], weights=[1.0, 0.5], seed=7)
    _, front, body = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "tags": ["merge"],
        "base_model": ["a", "b", "base"],
    }
    for part in ("DareTies", "| b | 0.5 |", "Base: base", "`density: 0.5`", "`seed: 7`", "5 tensors"):
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


class TestTiedWeights:
    """A head that is a copy of the embedding may be stored or left out."""

    @pytest.fixture
    def tied(self, write_model, random_tensors):
        def write(name, seed, stored):
            tensors = random_tensors(seed)
            if stored:
                tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
            return write_model(name, tensors)

        return write

    def test_a_copy_that_the_first_model_leaves_out_is_left_out(self, tied, out):
        merge(Weighted(), [tied("a", 0, False), tied("b", 1, True)], out)
        assert "lm_head.weight" not in load(out)

    def test_a_copy_that_only_the_first_model_stores_is_merged_with_their_embedding(self, tied, out):
        account = merge(DareTies(density=0.5), [tied("a", 0, False)], out, base=tied("b", 1, True))
        merged = load(out)
        assert torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])
        assert account["tied"] == {"model.embed_tokens.weight": "lm_head.weight"}

    def test_copies_that_all_models_store_stay_copies_of_each_other(self, tied, out):
        models = [tied(name, seed, True) for seed, name in enumerate("abc")]
        merge(DareTies(density=0.5), models[1:], out, base=models[0])
        merged = load(out)
        assert torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])

    def test_a_head_of_its_own_is_not_lost(self, tied, write_model, random_tensors, out):
        own = {**random_tensors(1), "lm_head.weight": torch.ones(48, 8)}
        with pytest.raises(DataError, match=r"only 'b' has 'lm_head.weight'"):
            merge(Weighted(), [tied("a", 0, False), write_model("b", own)], out)


class TestRefusals:
    """Inputs that cannot be merged are refused before, or with the name of, what is wrong."""

    def refused(self, models, out, message, settings=None, error=DataError, **job):
        with pytest.raises(error, match=message):
            merge(settings or Weighted(), models, out, **job)

    def test_a_tensor_that_one_model_lacks(self, three, write_model, random_tensors, out):
        fewer = random_tensors(3)
        del fewer["model.norm.weight"]
        fewer["model.extra"] = torch.ones(3)
        message = "only 'a' has 'model.norm.weight'; only 'c' has 'model.extra'"
        self.refused([three[1], write_model("c", fewer)], out, message)

    def test_another_shape(self, three, write_model, random_tensors, out):
        other = {**random_tensors(3), "model.norm.weight": torch.ones(9)}
        message = r"'model.norm.weight' has shape \[8\] in 'a' and \[9\] in 'c'"
        self.refused([three[1], write_model("c", other)], out, message)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_values_that_are_not_finite(self, value, three, write_model, random_tensors, out):
        broken = random_tensors(3)
        broken["model.layers.1.mlp.weight"][3, 3] = value
        self.refused(
            [three[1], write_model("c", broken)],
            out,
            "model 'c': tensor 'model.layers.1.mlp.weight' has NaN or infinite",
        )

    def test_a_merge_that_the_dtype_cannot_hold(self, three, out):
        self.refused(
            three,
            out,
            "float16 cannot hold",
            settings=Weighted(normalize=False),
            weights=[1e6] * 3,
            dtype="float16",
        )

    def test_another_vocabulary_size(self, three, write_model, random_tensors, out):
        other = write_model("c", random_tensors(3), config={"vocab_size": 50})
        self.refused([three[1], other], out, "'a' has 48 tokens and 'c' has 50; models of different vocabularies")

    def test_another_tokenizer(self, three, out):
        for folder, vocabulary in zip(three, ({"x": 0}, {"x": 0, "y": 1}, {"x": 1, "y": 0}), strict=True):
            content = {"model": {"vocab": vocabulary}, "added_tokens": [{"id": 9, "content": "<s>"}]}
            (folder / "tokenizer.json").write_text(json.dumps(content))
        self.refused(three[1:], out, r"tokenizer.json differs between 'a' and 'b' \(token 'x' is 0 and 1\)")
        self.refused(three[:2], out, r"token 'y' is absent and 1")

    def test_another_logit_scale(self, write_model, random_tensors, out):
        folders = [
            write_model(name, random_tensors(0), config={"logit_scale": scale})
            for name, scale in (("a", 0.125), ("b", 0.0625))
        ]
        self.refused(folders, out, "logit_scale is 0.125 in 'a' and 0.0625 in 'b'")

    def test_pickled_weights(self, three, out):
        (three[2] / "model.safetensors").rename(three[2] / "pytorch_model.bin")
        self.refused(three[1:], out, r"pytorch_model.bin: pickled weights can run code.*save_pretrained")

    def test_an_adapter(self, three, out):
        (three[2] / "config.json").rename(three[2] / "adapter_config.json")
        self.refused(three[1:], out, "an adapter, not a whole model")

    def test_a_folder_that_is_no_checkpoint(self, three, out, tmp_path):
        self.refused([three[0], tmp_path / "nowhere"], out, "nowhere: no config.json")

    def test_a_folder_without_weights(self, three, out):
        (three[1] / "model.safetensors").unlink()
        self.refused(three, out, "no weights here")

    def test_a_missing_shard(self, three, write_model, random_tensors, out):
        sharded = write_model("c", random_tensors(3), shards=3)
        (sharded / "model-00002-of-00003.safetensors").unlink()
        self.refused([three[0], sharded], out, "model-00002-of-00003.safetensors: a shard .* is missing")

    @pytest.mark.parametrize("keep", [0, 5, 100, -1])
    def test_a_truncated_file(self, keep, three, out):
        path = three[1] / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        self.refused(three, out, "model.safetensors: not a whole safetensors file")

    def test_an_index_that_names_an_absent_tensor(self, three, write_model, random_tensors, out):
        sharded = write_model("c", random_tensors(3), shards=2)
        index = sharded / "model.safetensors.index.json"
        content = json.loads(index.read_text())
        content["weight_map"]["ghost"] = "model-00001-of-00002.safetensors"
        index.write_text(json.dumps(content))
        self.refused([three[0], sharded], out, "model-00001-of-00002.safetensors: no tensor 'ghost' in it")
        del content["weight_map"]["ghost"], content["weight_map"]["model.norm.weight"]
        index.write_text(json.dumps(content))
        self.refused([three[0], sharded], out, "does not list its tensor 'model.norm.weight'")

    def test_dtypes_that_do_not_average(self, three, write_model, random_tensors, out):
        quantised = {**random_tensors(3), "model.norm.weight": torch.ones(8).to(torch.float8_e4m3fn)}
        self.refused([three[0], write_model("c", quantised)], out, "dtype F8_E4M3, cannot merge it")
        double = {**random_tensors(3), "model.norm.weight": torch.ones(8).double()}
        self.refused([three[0], write_model("d", double)], out, "dtype F64, cannot merge it; convert")

    def test_an_unknown_dtype(self, three, out):
        self.refused(three, out, "dtype 'bflaot16'.*did you mean 'bfloat16'", error=AyaError, dtype="bflaot16")

    def test_a_missing_base(self, three, out):
        self.refused(three, out, "name it with `base:`", settings=Ties(), error=AyaError)

    def test_weights_that_do_not_match_the_models(self, three, out):
        self.refused(three, out, "3 models and 2 weights", error=AyaError, weights=[1.0, 2.0])
        self.refused(three, out, "expected finite", error=AyaError, weights=[1.0, 2.0, float("nan")])

    def test_a_plugin_that_returns_another_shape(self, three, out):
        class Flattens:
            needs_base = False

            def __call__(self, tensors, weights, base, key):
                return tensors[0].flatten()

        with pytest.raises(PluginError, match="merge 'Flattens' made"):
            StreamingMerge(Flattens()).merge(MergeJob(tuple(three), (1.0,) * 3, out, 0))


def test_the_plugin_offers_the_engine():
    assert aya_merge_engine() is StreamingMerge


def test_the_plugin_imports_without_torch():
    code = "import sys, aya_plugins.merges; assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
