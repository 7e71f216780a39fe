"""Log-probabilities of answers, without gradient, over many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.memory import halving
from aya_plugins.modeling.rows import Encoded, Ints, collate, length_sorted

Sums = NDArray[numpy.float32]
Table = NDArray[numpy.float32]


def score(
    module: AnswerLogps, encoded: Encoded, pad_id: int, batches: Iterable[Ints]
) -> Iterator[list[tuple[Ints, Table]]]:
    """Yield, batch by batch, the log-probabilities of answers token by token.

    A batch comes as pieces of rows and their table (rows, width), nats, 0 beyond the end of an answer: one piece, or
    several where the batch does not fit in memory.
    """
    device = next(module.parameters()).device

    def run(rows: Ints) -> Table:
        with torch.inference_mode():
            found: Table = module(collate(encoded, rows, pad_id, device)).float().cpu().numpy()
        return found

    module.eval()
    for batch in batches:
        yield list(halving(batch, run))


def row_sums(table: Tensor) -> Tensor:
    """Sum each row of a table of log-probabilities, float32 (rows,): the same bits however wide the table.

    Float64 makes it so, but on Apple's GPUs, which have none.
    """
    dtype = torch.float32 if table.device.type == "mps" else torch.float64
    return table.sum(1, dtype=dtype).float()


def answer_logps(module: AnswerLogps, encoded: Encoded, pad_id: int, *, batch_tokens: int) -> Sums:
    """Sum the log-probabilities of every answer: (rows,) nats, in the order of the rows; NaN for one without a token.

    batch_tokens: tokens of a batch, padding included; batches shrink where memory runs out.
    """
    sums = numpy.zeros(len(encoded), dtype=numpy.float32)
    for batch in score(module, encoded, pad_id, length_sorted(encoded.lengths, batch_tokens)):
        for rows, table in batch:
            sums[rows] = table.sum(1, dtype=numpy.float64)
    sums[encoded.scored_tokens == 0] = numpy.nan
    return sums
