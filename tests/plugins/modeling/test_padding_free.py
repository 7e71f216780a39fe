"""Rows end to end give what rows side by side give, and models in which they would not are found out."""

import numpy
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from aya_core.api import AyaError
from aya_core.testing import tiny_causal_lm
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.layout import is_padding_free, set_attention
from aya_plugins.modeling.rows import RowGatherer, collate, end_to_end

LENGTHS = (9, 3, 14, 1, 6)

WINDOW = {"sliding_window": 4}  # shorter than most rows

FAMILIES = {
    "cohere": {},
    "cohere2": WINDOW,
    "llama": {},
    "qwen2": {**WINDOW, "use_sliding_window": True, "max_window_layers": 0},
    "qwen3": {"head_dim": 8},
    "gemma2": WINDOW,
    "gemma3_text": {**WINDOW, "head_dim": 8},
    "mistral": WINDOW,
}


@pytest.fixture(params=FAMILIES)
def module(request, tmp_path):
    folder = tiny_causal_lm(tmp_path / "model", request.param, **FAMILIES[request.param])
    return AnswerLogps(load_causal_lm(folder, dtype=torch.float32))


def batch():
    draw = numpy.random.default_rng(0)
    gatherer = RowGatherer(64)
    for length in LENGTHS:
        gatherer.add(draw.integers(1, 20, length).tolist(), length // 3)
    return collate(gatherer.encoded(), numpy.arange(len(LENGTHS)), 0)


def values_and_gradients(module, is_free):
    module.is_padding_free = is_free
    module.zero_grad()
    table = module(batch())
    (table * torch.linspace(-1, 1, table.numel()).view_as(table)).sum().backward()
    return table.detach(), {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_rows_do_not_see_one_another(module, attention):
    set_attention(module.model, attention)
    assert is_padding_free(module, "padding-free")
    apart, gradients = values_and_gradients(module, False)
    together, others = values_and_gradients(module, True)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_auto_pads_where_attention_would_pay_for_every_pair_of_tokens(module):
    set_attention(module.model, "sdpa")
    assert not is_padding_free(module, "auto")
    assert not is_padding_free(module, "padded")


@pytest.mark.parametrize("family", ["mamba", "jamba", "bloom"])
def test_models_that_carry_on_from_row_to_row_are_refused_or_padded(family):
    config = AutoConfig.for_model(family, hidden_size=32, vocab_size=64, num_hidden_layers=2, initializer_range=0.3)
    module = AnswerLogps(AutoModelForCausalLM.from_config(config))
    with pytest.raises(AyaError, match=r"rows see one another in .*; use layout: padded"):
        is_padding_free(module, "padding-free")
    assert not is_padding_free(module, "auto", "flash_attention_2")


def test_attention_of_rows_as_they_are_makes_auto_padding_free(module):
    """The model is tried as it is, so flash attention need not be there."""
    assert is_padding_free(module, "auto", "flash_attention_2")
    assert is_padding_free(module, "auto", "flex_attention")
    assert not is_padding_free(module, "padded", "flash_attention_2")
    assert module.model.config._attn_implementation == "sdpa"


def test_a_line_holds_every_token_once_and_positions_that_begin_again():
    line, padded = end_to_end(batch()), batch()
    kept = [padded.input_ids[row, :length].tolist() for row, length in enumerate(LENGTHS)]
    assert line.input_ids.tolist() == [[token for row in kept for token in row]]
    assert line.position_ids.tolist() == [[place for length in LENGTHS for place in range(length)]]
    assert line.input_ids[0, line.predictors + 1].tolist() == padded.targets.tolist()


def test_a_model_in_which_rows_run_together_is_refused(module, monkeypatch):
    base = type(module.model.base_model)
    forward = base.forward
    ignorant = lambda self, position_ids=None, **inputs: forward(self, **inputs)  # noqa: E731
    monkeypatch.setattr(base, "forward", ignorant)
    with pytest.raises(AyaError, match=r"rows see one another in .*; use layout: padded"):
        is_padding_free(module, "padding-free")


def test_an_attention_that_is_not_installed_is_named(module):
    with pytest.raises(AyaError, match=r"attention: flash_attention_2: .*; choose another, or leave it out"):
        set_attention(module.model, "flash_attention_2")
