"""token_logps never holds (tokens x vocabulary): the largest tensor that any operation makes is recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aya_kernels import token_logps
from aya_kernels.token_logps.reference import LogitMap, reference_token_logps

TOKENS, VOCAB, CHUNK_TOKENS = 80, 3000, 16


class LargestFloat32(TorchDispatchMode):
    """Remembers the size of the largest float32 tensor made in its scope, in values."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.dtype is torch.float32:
                self.values = max(self.values, leaf.numel())
        return result


def bf16_head(tokens: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make bf16 hidden states and head, so that float32 tensors of the head's size are seen as well."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(size, dim, generator=generator).bfloat16() for size in (tokens, VOCAB))
    return (
        hidden.requires_grad_(),
        weight.requires_grad_(),
        torch.randint(VOCAB, (tokens,), generator=generator),
    )


@pytest.mark.parametrize("tokens", [CHUNK_TOKENS, TOKENS])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_no_float32_tensor_exceeds_a_chunk_of_tokens_times_the_vocabulary(
    softcap: float | None, tokens: int, backend: str
) -> None:
    hidden, weight, targets = bf16_head(tokens, dim=32)
    with LargestFloat32() as largest:
        token_logps(
            hidden, weight, targets, softcap=softcap, chunk_tokens=CHUNK_TOKENS, backend=backend
        ).sum().backward()
    assert 0 < largest.values <= CHUNK_TOKENS * VOCAB


def test_the_recorder_sees_the_full_logits_of_the_reference() -> None:
    hidden, weight, targets = bf16_head(TOKENS, dim=32)
    with LargestFloat32() as largest:
        reference_token_logps(hidden, weight, None, targets, LogitMap(), False)[0].sum().backward()
    assert largest.values == TOKENS * VOCAB


def test_ignored_positions_cost_no_logits() -> None:
    hidden, weight, targets = bf16_head(TOKENS, dim=4)
    targets[3:] = -100
    with LargestFloat32() as largest:
        token_logps(hidden, weight, targets, chunk_tokens=TOKENS).sum().backward()
    assert largest.values <= max(3 * VOCAB, VOCAB * 4)


def test_scoring_without_gradients_holds_a_cache_sized_tile_even_when_a_chunk_is_far_larger() -> None:
    hidden, weight, targets = bf16_head(1500, dim=4)
    with torch.no_grad(), LargestFloat32() as largest:
        token_logps(hidden, weight, targets, chunk_tokens=1500)
    assert largest.values <= 1 << 21 < 1500 * VOCAB
