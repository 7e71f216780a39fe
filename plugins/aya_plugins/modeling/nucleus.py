"""Nucleus sampling without sorting whole vocabularies, which takes longer than a small model does."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LogitsProcessor

LIKELIEST = 1024
"""Tokens that are looked at first; they nearly always hold the share that is asked for."""


class NucleusWarper(LogitsProcessor):  # type: ignore[misc]
    """Leaves the likeliest tokens that together have a share of the probability, and one at least.

    Holtzman et al. 2020, arXiv 1904.09751, section 3.1. It leaves the tokens that transformers' TopPLogitsWarper leaves, up to what
    rounding decides: those before which less than the share comes.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, input_ids: Tensor | None, scores: Tensor) -> Tensor:
        """Give all other tokens the score -inf: (rows, vocabulary)."""
        sums = scores.logsumexp(-1, keepdim=True)
        for count in (min(LIKELIEST, scores.shape[-1]), scores.shape[-1]):
            likeliest, tokens = scores.topk(count)
            shares = (likeliest - sums).exp()
            before = shares.cumsum(-1) - shares
            if count == scores.shape[-1] or bool((before[:, -1] + shares[:, -1] >= self.share).all()):
                break
        kept = likeliest.masked_fill(before >= self.share, -torch.inf)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, kept)
