"""Log-probabilities of answers, without gradient, over many rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy
import torch
from numpy.typing import NDArray

from aya_plugins.modelling.head import AnswerLogps
from aya_plugins.modelling.memory import halving
from aya_plugins.modelling.rows import Encoded, Ints, collate, length_sorted

Sums = NDArray[numpy.float32]


def answer_logps(
    module: AnswerLogps,
    encoded: Encoded,
    pad_id: int,
    *,
    batch_tokens: int,
    share: tuple[int, int] = (0, 1),
    known: Sums | None = None,
    after_batch: Callable[[Sums], None] = lambda sums: None,
) -> Sums:
    """Sum the log-probabilities of every answer: (rows,) nats, in the order of the rows.

    batch_tokens: tokens of a batch, padding included; batches shrink where memory runs out.
    share: (i, n) scores every n-th batch from the i-th on; sums of the others are 0.
    known: sums of an earlier, interrupted call, NaN where not reached. after_batch: sees all sums so far.
    """
    batches = list(islice(length_sorted(encoded.lengths, batch_tokens), share[0], None, share[1]))
    sums = numpy.zeros(len(encoded), dtype=numpy.float32) if known is None else known.copy()
    if known is None and batches:
        sums[numpy.concatenate(batches)] = numpy.nan
    device = next(module.parameters()).device

    def run(rows: Ints) -> Sums:
        found: Sums = module(collate(encoded, rows, pad_id, device)).float().cpu().numpy()
        return found

    module.eval()
    with torch.inference_mode():
        for batch in batches:
            if not numpy.isnan(sums[batch]).any():
                continue
            for rows, found in halving(batch, run):
                sums[rows] = found
            after_batch(sums)
    return sums
