"""Random draws that belong to an answer: they do not depend on what else is answered in the same batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import LogitsProcessor

from aya_core.api import DataError, stable_hash
from aya_plugins.splitmix import scatter

Keys = NDArray[numpy.uint64]


def answer_keys(seed: int, prompt_ids: Sequence[str], n: int) -> Keys:
    """Make the key of every answer's own random numbers, from seed, prompt id and sample index: (prompts, n)."""
    prompts = numpy.array([int(stable_hash([seed, id])[:16], 16) for id in prompt_ids], dtype=numpy.uint64)
    return scatter(prompts.reshape(-1, 1) + numpy.arange(n, dtype=numpy.uint64))


def uniforms(keys: Keys, step: int) -> NDArray[numpy.float64]:
    """Draw one number in [0, 1) for each key: the one of this step."""
    mixed = scatter(keys + numpy.uint64(step))
    return (mixed >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53  # the 53 bits that a float64 holds


def choose(scores: Tensor, places: Tensor) -> Tensor:
    """Choose a token of each row by the inverse of its cumulative distribution, softmax(scores).

    scores: (rows, vocabulary), at least one of a row finite; -inf is never chosen. places: (rows,) float64, in [0, 1).

    Returns tokens, (rows,). Raises ArithmeticError for scores that are NaN or +inf.
    """
    weights = scores.softmax(-1)
    # Summed in two steps, of about the root of the vocabulary each, the second in float64: one running sum over 256,000
    # tokens in float32 errs by more than a rare token weighs, and in float64 it takes ten times as long.
    size = 1 << (weights.shape[1].bit_length() // 2)
    if missing := -weights.shape[1] % size:
        weights = functional.pad(weights, (0, missing))
    blocks = weights.view(len(weights), -1, size)
    sums = blocks.sum(-1).double()  # (rows, blocks)
    total = sums.sum(-1)
    if not bool(total.isfinite().all()):
        raise ArithmeticError("scores that are NaN or infinite")
    block, rest = _find(sums, places * total)
    inside = blocks[torch.arange(len(blocks), device=blocks.device), block].double()  # (rows, size)
    return block * size + _find(inside, rest)[0]


def _find(weights: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Find the first place where the running sum exceeds a target, and how far into its weight the target lies.

    Whatever was rounded, the weight there is above zero.
    """
    ends = weights.cumsum(-1)
    target = torch.minimum(target, ends[:, -1].nextafter(torch.zeros_like(target)))
    place = torch.searchsorted(ends, target[:, None], right=True)
    before = ends.gather(-1, place) - weights.gather(-1, place)
    return place[:, 0], (target - before[:, 0]).clamp(min=0)


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token of each row, drawn with the row's own random numbers. Comes last, before a greedy choice.

    keys: one for each row. prompt_tokens: columns before the first answered token. where: the model, for messages.
    """

    def __init__(self, keys: Keys, prompt_tokens: int, where: str) -> None:
        self.keys = keys
        self.prompt_tokens = prompt_tokens
        self.where = where

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Give the drawn token the score 0, all others -inf: (rows, vocabulary)."""
        tokens = self.tokens(scores, slice(None), input_ids.shape[1] - self.prompt_tokens)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

    def tokens(self, scores: Tensor, rows: Any, step: int) -> Tensor:
        """Draw a token for each of some rows, from their scores: (rows,). rows: which of the keys are theirs."""
        drawn = uniforms(self.keys[rows], step)
        try:
            return choose(scores, torch.from_numpy(drawn).to(scores.device))
        except ArithmeticError as error:
            raise DataError(
                f"{self.where}: the model gives {error}; expected numbers. Load it with `dtype: float32`, "
                "or look at its weights"
            ) from None
