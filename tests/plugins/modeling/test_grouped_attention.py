"""Attention of one new token, without copies for heads that share a key, is that of transformers' `sdpa`."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from aya_plugins.modeling.grouped_attention import NAME, grouped_attention, use_grouped_attention


@pytest.mark.parametrize("time", [1, 5])
@pytest.mark.parametrize(("heads", "shared"), [(6, 3), (4, 1), (8, 8)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_it_is_that_of_transformers(time, heads, shared, is_masked):
    generator = torch.Generator().manual_seed(heads)
    query = torch.randn(3, heads, time, 16, generator=generator)
    key, value = (torch.randn(3, heads // shared, 9, 16, generator=generator) for _ in range(2))
    mask = (torch.rand(3, 1, time, 9, generator=generator) > 0.4) | (torch.arange(9) == 8) if is_masked else None
    module = SimpleNamespace(num_key_value_groups=shared, is_causal=True)
    if time > 1 and not is_masked:
        key, value = key[:, :, :time], value[:, :, :time]
    ours, theirs = (
        attend(module, query, key, value, mask, scaling=0.3)[0]
        for attend in (grouped_attention, sdpa_attention_forward)
    )
    assert ours.shape == (3, time, heads, 16)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("asked", "found"), [("sdpa", NAME), ("eager", "eager")])
def test_only_pytorchs_own_attention_is_replaced(asked, found):
    config = AutoConfig.for_model(
        "llama", vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        attn_implementation=asked, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    use_grouped_attention(model)
    assert model.config._attn_implementation == found
