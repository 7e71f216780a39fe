"""The definition of token_logps, in plain torch with full logits."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogitMap:
    """How the raw output of a head becomes the logits that the softmax sees.

    In this order: raw * scale, then softcap * tanh(. / softcap), then / temperature.

    scale: Cohere's logit_scale; 1 for most other families.
    softcap: Gemma's final_logit_softcapping, > 0; None for no cap.
    temperature: > 0; 1 gives the probabilities of the model itself.
    """

    scale: float = 1.0
    softcap: float | None = None
    temperature: float = 1.0

    def apply(self, raw: Tensor) -> Tensor:
        """Map raw head outputs of any shape to logits, differentiably."""
        logits = raw * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits / self.temperature


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """Give the dtype of all arithmetic: float64 if any input is float64, float32 otherwise."""
    return torch.float64 if any(tensor.dtype is torch.float64 for tensor in tensors) else torch.float32


def reference_token_logps(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logit_map: LogitMap,
    with_entropy: bool,
) -> tuple[Tensor, Tensor | None]:
    """Define token log-probabilities: a head, a log-softmax and a gather, all in float32.

    hidden (tokens, dim), weight (vocab, dim), bias (vocab,) or None, targets (tokens,) all inside the
    vocabulary.

    Returns log-probabilities and, when asked, entropies, both (tokens,) in nats. Memory: several (tokens,
    vocab).
    """
    wide = accumulation_dtype(hidden, weight)
    raw = hidden.to(wide) @ weight.to(wide).T  # (tokens, vocab)
    if bias is not None:
        raw = raw + bias.to(wide)
    logps = torch.log_softmax(logit_map.apply(raw), dim=-1)
    chosen = logps.gather(1, targets[:, None]).squeeze(1)
    if not with_entropy:
        return chosen, None
    return chosen, torch.special.entr(logps.detach().exp()).sum(-1)
