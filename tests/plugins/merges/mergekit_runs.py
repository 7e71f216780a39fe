"""Run one configuration with mergekit and with `aya merge`, on models made on the spot."""

import pytest
import torch
import yaml
from checkpoints import load
from click.testing import CliRunner
from ulps import assert_within_one_ulp

from aya_core.cli import aya
from aya_core.testing import tiny_causal_lm


def mergekit_run(config, out):
    pytest.importorskip("mergekit")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    quiet = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False, cuda=False, device="cpu")
    run_merge(MergeConfiguration.model_validate(config), str(out), quiet)
    return load(out)


def our_run(config, folder):
    """Run `aya merge`. config: the file's content, or its text."""
    (folder / "merge.yml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    result = CliRunner().invoke(aya, ["merge", str(folder / "merge.yml"), str(folder / "ours")])
    assert result.exit_code == 0, result.output or result.exception
    (folder / "said.txt").write_text(result.output)
    return load(folder / "ours")


def relatives(folder, family, count=3, **config):
    """Write models that differ as fine-tuned ones differ from their base."""
    from transformers import AutoModelForCausalLM

    first = tiny_causal_lm(folder / "0", family, tie_word_embeddings=False, **config)
    for index in range(1, count):
        model = AutoModelForCausalLM.from_pretrained(first)
        generator = torch.Generator().manual_seed(index)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        model.save_pretrained(folder / str(index), max_shard_size="20KB")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / str(index) / name).write_bytes((first / name).read_bytes())
    return [folder / str(index) for index in range(count)]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert_within_one_ulp(tensor, theirs[name])
