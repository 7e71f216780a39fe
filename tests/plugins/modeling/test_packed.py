"""Products by weights that were laid out ahead are those of torch, and leave no trace."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from aya_plugins.modeling import packed
from aya_plugins.modeling.packed import packed_products


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 96), st.integers(1, 96), st.booleans(), st.integers(0, 2**31))
def test_a_product_is_that_of_torch_up_to_rounding(rows, inner, outer, has_bias, seed):
    torch.manual_seed(seed)
    layer, given_rows = nn.Linear(inner, outer, bias=has_bias), torch.randn(2, rows, inner)
    with torch.inference_mode():
        exact = nn.functional.linear(
            given_rows.double(), layer.weight.double(), layer.bias.double() if has_bias else None
        )
        with packed_products(layer) as count:
            found = layer(given_rows)
    assert count == 1
    assert found.shape == exact.shape
    assert (found - exact).abs().max() <= 1e-5 * (1 + exact.abs().max())


class Scaled(nn.Linear):
    """A layer of a kind that only looks like a linear one."""

    def forward(self, rows):
        return 2 * super().forward(rows)


def test_other_layers_and_other_types_of_numbers_are_left_alone():
    body = nn.Sequential(nn.Linear(4, 4), Scaled(4, 4), nn.Linear(4, 4).to(torch.bfloat16))
    rows = torch.randn(3, 4)
    expected = body[1](body[0](rows))
    with packed_products(body) as count, torch.inference_mode():
        assert count == 1
        assert torch.allclose(body[1](body[0](rows)), expected, atol=1e-6)


def test_all_is_as_it_was_afterwards_also_after_an_error():
    layer, rows = nn.Linear(8, 8), torch.randn(2, 8)
    before = layer(rows)
    with pytest.raises(KeyError), packed_products(layer):
        raise KeyError
    assert "forward" not in layer.__dict__
    assert torch.equal(layer(rows), before)
    layer(rows).sum().backward()
    assert layer.weight.grad is not None


def test_weights_that_memory_does_not_hold_twice_are_not_copied(monkeypatch):
    monkeypatch.setattr(packed, "_free_memory", lambda: 8 * 8 * 4 * 1.9)
    with packed_products(nn.Linear(8, 8)) as count:
        assert count == 0
    monkeypatch.setattr(packed, "_free_memory", lambda: 8 * 8 * 4 * 2.0)
    with packed_products(nn.Linear(8, 8)) as count:
        assert count == 1
