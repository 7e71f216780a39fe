"""Aya Expanse's own architecture, tiny: no QK-norm, tied embeddings, logits scaled."""

import pytest
import torch
from checkpoints import merge
from transformers import AutoModelForCausalLM, CohereConfig, CohereForCausalLM

from aya_plugins.merges import DareTies, Slerp, Ties, Weighted


def tiny_cohere(folder, seed, **save):
    torch.manual_seed(seed)
    config = CohereConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        logit_scale=0.25,
        tie_word_embeddings=True,
        use_qk_norm=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    CohereForCausalLM(config).save_pretrained(folder, **save)
    return folder


@pytest.mark.parametrize(
    "settings", [Weighted(), Slerp(t=0.4), Ties(), DareTies()], ids=lambda settings: type(settings).__name__
)
def test_a_merged_cohere_model_loads_and_gives_finite_logits(settings, tmp_path):
    folders = [tiny_cohere(tmp_path / str(seed), seed, max_shard_size="20KB") for seed in range(3)]
    out = tmp_path / "out"
    merge(settings, folders[1:], out, base=folders[0], shard_bytes=20_000)

    model, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.logit_scale == 0.25
    assert model.lm_head.weight is model.model.embed_tokens.weight
    logits = model(torch.arange(10)[None]).logits
    assert logits.shape == (1, 10, 96)
    assert logits.isfinite().all()


def test_the_average_in_memory_is_the_average_on_disk(tmp_path):
    folders = [tiny_cohere(tmp_path / str(seed), seed) for seed in range(2)]
    out = tmp_path / "out"
    merge(Weighted(), folders, out, weights=[0.25, 0.75])
    merged, first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (out, *folders))
    assert merged.keys() == first.keys()
    for name, value in merged.items():
        torch.testing.assert_close(value, 0.25 * first[name] + 0.75 * second[name])
