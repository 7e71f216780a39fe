"""Inputs that cannot be merged."""

import json
from dataclasses import replace

import pytest
import torch
from checkpoints import job, load, merge, same_bits

from aya_core.api import AyaError, DataError, MergeParameter, PluginError
from aya_plugins.merges import Ties, Weighted
from aya_plugins.merges.runtime.streaming import StreamingMerge


class TestRefusals:
    """Inputs that cannot be merged are refused before, or with the name of, what is wrong."""

    def refused(self, models, out, message, settings=None, error=DataError, **job):
        with pytest.raises(error, match=message):
            merge(settings or Weighted(), models, out, **job)
        assert not list(out.glob("*.safetensors"))

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
        self.refused([three[1], other], out, "vocab_size is 48 in 'a' and 50 in 'c'; say whose tokens")

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
        self.refused(three[1:], out, r"pytorch_model.bin: (holds more than tensors|not a whole file of torch.save)")

    def test_pickled_weights_that_are_tensors_are_read(self, three, out, tmp_path):
        merge(Weighted(), three, tmp_path / "expected")
        torch.save(load(three[2]), three[2] / "pytorch_model.bin")
        (three[2] / "model.safetensors").unlink()
        merge(Weighted(), three, out)
        assert same_bits(load(out), load(tmp_path / "expected"))

    def test_an_adapter_whose_base_is_elsewhere(self, three, out):
        (three[2] / "config.json").unlink()
        (three[2] / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../some/model"}))
        self.refused(three[1:], out, "an adapter of '../some/model', which is no folder here and no model of the hub")

    def test_a_folder_that_is_no_checkpoint(self, three, out, tmp_path):
        self.refused([three[0], tmp_path / "nowhere"], out, "nowhere: no config.json")

    def test_a_folder_without_weights(self, three, out):
        (three[1] / "model.safetensors").unlink()
        self.refused(three, out, "no weights here")

    def test_a_config_nested_deeper_than_any_is(self, three, out):
        (three[1] / "config.json").write_text('{"a": ' * 300 + "1" + "}" * 300)
        self.refused(three, out, "config.json: not JSON .lists and objects inside one another, more than 100 deep")

    def test_a_shard_of_a_name_that_no_file_can_have(self, three, write_model, random_tensors, out):
        sharded = write_model("c", random_tensors(3), shards=3)
        index = json.loads((sharded / "model.safetensors.index.json").read_text())
        index["weight_map"]["model.norm.weight"] = "ab" * 200
        (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
        self.refused([three[0], sharded], out, "abab: a shard .* is missing")

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
        quantized = {**random_tensors(3), "model.norm.weight": torch.ones(8).to(torch.float8_e4m3fn)}
        self.refused([three[0], write_model("c", quantized)], out, "dtype F8_E4M3, cannot merge it")
        double = {**random_tensors(3), "model.norm.weight": torch.ones(8).double()}
        self.refused([three[0], write_model("d", double)], out, "dtype F64, cannot merge it; convert")

    def test_an_unknown_dtype(self, three, out):
        self.refused(three, out, "dtype 'bflaot16'.*did you mean 'bfloat16'", error=AyaError, dtype="bflaot16")

    def test_a_missing_base(self, three, out):
        self.refused(three, out, "name it with `base:`", settings=Ties(), error=AyaError)

    def test_weights_that_do_not_match_the_models(self, three, out):
        with pytest.raises(AyaError, match=r"weights are given for \['a', 'base'\]; expected one for each of"):
            StreamingMerge().merge(
                [(Weighted().build(), replace(job(three, out), weights=MergeParameter({"a": 1, "base": 2})))]
            )
        with pytest.raises(ValueError, match="expected a finite number"):
            merge(Weighted(), three, out, weights=[1.0, 2.0, float("nan")])

    def test_a_plugin_that_returns_another_shape(self, three, out):
        class Flattens:
            needs_base = False

            def __call__(self, tensors, weights, base, place):
                return tensors[0].flatten()[:3]

        with pytest.raises(PluginError, match="merge 'Flattens' made"):
            StreamingMerge().merge([(Flattens(), job(three, out))])
