"""A vocabulary table of one model, with its rows in the order of the merged vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from aya_plugins.merges.files.sources import Source
from aya_plugins.merges.tokens.vocabulary import VocabularyPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_BLOCK = 1 << 20
"""Values read at once for the mean of a table."""


@dataclass
class Remapped:
    """One model's table, or bias, in merged rows: a `Source` that reads those of all models.

    A row that the model lacks is, in this order: what the settings give its token; the base's, where `missing` is `base`
    and the base has it; the mean over the models that have it; for padding that no model has, the mean of this model's
    rows of all tokens, which leaves the distribution over the tokens alone (Hewitt 2021, as mergekit does); else zeros.

    Every row depends on the models alone, not on the range in which it is read, and only the rows that make up a range are
    read, in runs where they lie together. The mean of a table is taken once, when first needed.

    sources: the same table of every model of the plan, in its order. model: index of the one it stands for.
    """

    plan: VocabularyPlan
    sources: Sequence[Source]
    model: int
    _mean: NDArray[np.float32] | None = None
    _lock: Any = field(default_factory=Lock)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the table, with as many rows as the merged vocabulary."""
        return (self.plan.rows, *self.sources[self.model].shape[1:])

    @property
    def dtype(self) -> str:
        """What the model stores it in."""
        return self.sources[self.model].dtype

    @property
    def bytes(self) -> int:
        """How many bytes are read for all of it, the mean of padding aside."""
        total = 0
        for model, _, rows in self._taken(0, self.plan.rows):
            total += len(rows) * self.sources[model].bytes // max(self.sources[model].shape[0], 1)
        return total

    def read(self, start: int, stop: int) -> Tensor:
        """Give the values [start, stop) in float32, flat; a new tensor."""
        import numpy as np
        import torch

        if start == stop:
            return torch.empty(0)
        width = self._width
        first, last = start // width, -(-stop // width)
        if (moved := self._moved(first, last)) is not None:
            return self.sources[self.model].read(start + moved * width, stop + moved * width)
        # numpy: torch would start its threads for each of these small steps.
        out = np.full((last - first, width), -0.0, np.float32)  # added to it, every number stays what it is, -0.0 too
        count = np.zeros((last - first, 1), np.float32)
        for model, places, rows in self._taken(first, last):
            out[places] += self._rows(model, rows)
            count[places] += 1
        out[count[:, 0] == 0] = 0.0
        out /= np.maximum(count, 1)
        new = self.plan.new_padding
        new = new[np.searchsorted(new, first) : np.searchsorted(new, last)]
        if len(new):
            out[new - first] = self._mean_row()
        return torch.from_numpy(out.reshape(-1)[start - first * width : stop - first * width].copy())

    @property
    def _width(self) -> int:
        shape = self.sources[self.model].shape
        return shape[1] if len(shape) == 2 else 1

    def _moved(self, first: int, last: int) -> int | None:
        """Say how far the model's own rows lie from the merged rows [first, last), where all are its own, and together."""
        own = self.plan.maps[self.model][first:last]
        if own[0] < 0 or (own[1:] - own[:-1] != 1).any():
            return None
        forced = any(first <= row < last and given.force for row, given in self.plan.given.items())
        return None if forced else int(own[0]) - first

    def _taken(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """Say what is read for the merged rows [first, last): the model, places among them, and the model's rows for these.

        A place that comes several times is the mean of what is read for it; one that never comes is zero.
        """
        import numpy as np

        maps = [rows[first:last] for rows in self.plan.maps]
        unfilled = np.ones(last - first, bool)
        for row, given in self.plan.given.items():
            if first <= row < last and (given.force or maps[self.model][row - first] < 0):
                unfilled[row - first] = False
                if given.model is not None:
                    yield given.model, np.array([row - first]), np.array([given.row])
        for model in (self.model, self.plan.donor) if self.plan.missing == "base" else (self.model,):
            places = np.flatnonzero(unfilled & (maps[model] >= 0))
            unfilled[places] = False
            yield model, places, maps[model][places]
        for model, rows in enumerate(maps):
            places = np.flatnonzero(unfilled & (rows >= 0))
            yield model, places, rows[places]

    def _rows(self, model: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read some rows of a model, (rows, width), in the order asked for."""
        import numpy as np

        width = self._width
        ordered, places = np.unique(rows, return_inverse=True)
        found = np.empty((len(ordered), width), np.float32)
        done = 0
        for first, last in _runs(ordered):
            block = self.sources[model].read(first * width, last * width)
            found[done : done + last - first] = block.numpy().reshape(-1, width)
            done += last - first
        return found[places]

    def _mean_row(self) -> NDArray[np.float32]:
        import numpy as np

        with self._lock:
            if self._mean is None:
                width, rows = self._width, self.plan.tokenizer.length
                is_token = np.ones(rows, bool)
                is_token[self.plan.padding[self.plan.padding < rows]] = False
                tokens = Remapped(self.plan, self.sources, self.model, np.zeros(width, np.float32))
                total = np.zeros(width)
                step = max(1, _BLOCK // width)
                for first in range(0, rows, step):
                    last = min(first + step, rows)
                    block = tokens.read(first * width, last * width).numpy().reshape(-1, width)
                    total += block[is_token[first:last]].sum(0, dtype=np.float64)
                self._mean = (total / max(int(is_token.sum()), 1)).astype(np.float32)
            return self._mean


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rising rows into runs without gaps: the first and one past the last of each."""
    import numpy as np

    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, ends):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1
