"""Log-probabilities of continuations, with what they have in common computed once.

The output head runs at the tokens that predict a continuation's; several that follow the same tokens, as the letters of the
options of a question, share its pass.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from aya_kernels.token_logps import token_logps
from aya_plugins.modeling.head import OutputHead, output_head
from aya_plugins.modeling.memory import give_back, halving
from aya_plugins.modeling.past import Past, read
from aya_plugins.modeling.rows import Encoded, Ints, RowGatherer, length_sorted, spans
from aya_plugins.modeling.sharing import Group, Inputs, Segment, Stem, distinct_inputs, separate, shared

LOGITS = 1 << 22
"""Logits that exist at a time: 16 MiB."""

CPU_TOKENS = 8192
"""Tokens of a batch on a CPU, whose caches larger ones leave: of 5-shot questions, 65,536 took twice the time."""

log = logging.getLogger(__name__)

Nats = NDArray[numpy.float64]


class ContinuationScorer:
    """Scores rows with one model. batch_tokens: of one batch, what its rows have read before included."""

    def __init__(self, model: Any, *, batch_tokens: int) -> None:
        self.model = model
        self.batch_tokens = min(batch_tokens, CPU_TOKENS) if model.device.type == "cpu" else batch_tokens
        self._can_share: bool | None = None

    def score(self, encoded: Encoded) -> Iterator[tuple[int, float]]:
        """Yield each row with the summed log-probability of its answer, in nats, as they are found; NaN for one without a token."""
        is_empty = encoded.scored_tokens == 0
        for row in numpy.flatnonzero(is_empty).tolist():
            yield row, math.nan
        rows = numpy.flatnonzero(~is_empty)
        if not len(rows):
            return
        encoded = encoded.take(rows)
        inputs = distinct_inputs(encoded)
        groups = shared(inputs) if self.can_share else separate(inputs)
        for place, nats in _Pass(self.model, encoded, inputs, groups, self.batch_tokens).run():
            yield int(rows[place]), nats

    @property
    def can_share(self) -> bool:
        """Whether this model goes on from what it has read before as if it read all of it."""
        if self._can_share is None:
            self._can_share = _can_share(self.model)
            if not self._can_share:
                log.info("%s reads every row whole", type(self.model).__name__)
        return self._can_share


def _can_share(model: Any) -> bool:
    """Try a model on a few short rows that share a prefix, stems of different lengths, and leaves.

    State-space models keep no keys and values, and rotations that change with the length of a row cannot be kept.
    """
    config = model.config.get_text_config()
    if getattr(model, "_is_stateful", False):
        return False
    rotations = str(getattr(config, "rope_parameters", None))
    if "'dynamic'" in rotations or "'longrope'" in rotations:
        return False
    gatherer = RowGatherer(1 << 30)
    for stem in ([7, 8, 9], [7, 9, 8, 7, 5], [8]):
        for leaf in ([3, 4], [4, 3, 5, 6], [6]):
            gatherer.add([token % config.vocab_size for token in (1, 2, 3, 4, 5, *stem, *leaf, 9)], 1)
    encoded = gatherer.encoded()
    inputs = distinct_inputs(encoded)

    def found(groups: Sequence[Group]) -> Nats:
        return numpy.array([nats for _, nats in sorted(_Pass(model, encoded, inputs, groups, 1 << 10).run())])

    whole = found(separate(inputs))
    try:
        in_parts = found(shared(inputs, many=9, prefix_tokens=0, worthwhile=0))
    except Exception as error:  # whatever an architecture does with a cache that it does not know
        log.debug("%s: %s", type(model).__name__, error)
        return False
    most = 1e-4 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.05
    return bool(abs(in_parts - whole).max() <= most * abs(whole).max())


class _Pass:
    """One pass over the rows of one plan."""

    def __init__(
        self, model: Any, encoded: Encoded, inputs: Inputs, groups: Sequence[Group], batch_tokens: int
    ) -> None:
        self.model = model
        self.encoded = encoded
        self.inputs = inputs
        self.groups = groups
        self.batch_tokens = batch_tokens
        self.targets = _Targets(encoded, inputs, groups)
        self.rows_of = numpy.split(
            numpy.argsort(inputs.of_row, kind="stable"), numpy.cumsum(numpy.bincount(inputs.of_row))[:-1]
        )

    def run(self) -> Iterator[tuple[int, float]]:
        """Yield the sum of each row once all its tokens are scored."""
        for group in self.groups:
            yield from self._run_group(group)

    def _run_group(self, group: Group) -> Iterator[tuple[int, float]]:
        past: list[Past] = []
        if group.prefix is not None:
            past = [Past(self._read([group.prefix], (), keeps=True), group.prefix.end)]

        def run(stems: Ints) -> bool:
            return self._run_stems([group.stems[stem] for stem in stems], past)

        ends = numpy.array([stem.own.end for stem in group.stems], dtype=numpy.int64)
        for batch in length_sorted(ends, self.batch_tokens):
            for stems, _ in halving(batch, run):
                give_back()
                for input in (input for stem in stems for input in group.stems[stem].inputs):
                    for row in self.rows_of[input].tolist():
                        yield row, self.targets.total(row)

    def _run_stems(self, stems: Sequence[Stem], past: Sequence[Past]) -> bool:
        stems = [stem for stem in stems if stem.own.end > stem.own.begin]  # else the prefix is all
        if not stems:
            return True
        layers = self._read([stem.own for stem in stems], past, keeps=any(stem.leaves for stem in stems))
        leaves: dict[int, list[tuple[int, Segment]]] = {}
        for place, stem in enumerate(stems):
            for leaf in stem.leaves:
                leaves.setdefault(leaf.begin, []).append((place, leaf))
        for begin, found in leaves.items():
            before = begin - sum(part.tokens for part in past)

            def run(rows: Ints, found: list[tuple[int, Segment]] = found, before: int = before) -> bool:
                places = torch.tensor([found[row][0] for row in rows], device=self.model.device)
                self._read([found[row][1] for row in rows], [*past, Past(layers, before, places)], keeps=False)
                return True

            ends = numpy.array([leaf.end for _, leaf in found], dtype=numpy.int64)
            for batch in length_sorted(ends, self.batch_tokens):
                for _ in halving(batch, run):
                    pass
        return True

    def _read(self, segments: Sequence[Segment], past: Sequence[Past], *, keeps: bool) -> Any:
        """Read segments in one batch, score the targets that they predict, and give their keys and values."""
        device = self.model.device
        width = max(segment.end - segment.begin for segment in segments)
        ids = numpy.zeros((len(segments), width), dtype=numpy.int64)  # causal: padding is never seen
        for row, segment in zip(ids, segments, strict=True):
            start = self.encoded.starts[self.inputs.rows[segment.input]]
            row[: segment.end - segment.begin] = self.encoded.ids[start + segment.begin : start + segment.end]
        with torch.inference_mode():
            states, layers = read(self.model, torch.from_numpy(ids).to(device), past, keeps=keeps)
            self.targets.fill(output_head(self.model), states, segments)
        return layers


class _Targets:
    """The tokens to be scored, each with the segment and the place in it whose hidden state predicts it.

    They are sorted by that, so that those of one segment lie together, and those that one state predicts beside one another.
    """

    def __init__(self, encoded: Encoded, inputs: Inputs, groups: Sequence[Group]) -> None:
        first = numpy.maximum(encoded.answers, 1)
        counts = encoded.lengths - first
        self.starts = numpy.concatenate([[0], numpy.cumsum(counts)])
        before = spans(first, counts) - 1  # the place of each predictor in its input
        input = numpy.repeat(inputs.of_row, counts)
        tokens = encoded.ids[spans(encoded.starts[:-1] + first, counts)].astype(numpy.int64)

        self.numbers: dict[Segment, int] = {}
        borders = numpy.zeros((len(inputs.rows), 2), dtype=numpy.int64)  # where the stem begins, where the leaf does
        owners = numpy.zeros((len(inputs.rows), 3), dtype=numpy.int64)  # prefix, stem, leaf
        for group in groups:
            prefix = 0 if group.prefix is None else self._number(group.prefix)
            for stem in group.stems:
                own = self._number(stem.own)
                for member in stem.inputs:
                    borders[member] = stem.own.begin, stem.own.end
                    owners[member, :2] = prefix, own
                for leaf in stem.leaves:
                    owners[leaf.input, 2] = self._number(leaf)
        level = (before[:, None] >= borders[input]).sum(1)
        segment = owners[input, level]
        offset = before - numpy.where(level > 0, borders[input, numpy.maximum(level - 1, 0)], 0)

        order = numpy.lexsort((offset, segment))
        self.place = numpy.empty_like(order)  # of each target among the sorted
        self.place[order] = numpy.arange(len(order))
        self.tokens, self.offsets = tokens[order], offset[order]
        self.bounds = numpy.searchsorted(segment[order], numpy.arange(len(self.numbers) + 1))
        self.nats = numpy.full(len(order), numpy.nan)

    def _number(self, segment: Segment) -> int:
        return self.numbers.setdefault(segment, len(self.numbers))

    def total(self, row: int) -> float:
        """The summed log-probability of a row's answer."""
        return float(self.nats[self.place[self.starts[row] : self.starts[row + 1]]].sum())

    def fill(self, head: OutputHead, states: Tensor, segments: Sequence[Segment]) -> None:
        """Score what the states (rows, time, dim) of some segments predict."""
        numbers = numpy.array([self.numbers[segment] for segment in segments], dtype=numpy.int64)
        counts = self.bounds[numbers + 1] - self.bounds[numbers]
        wanted = spans(self.bounds[numbers], counts)
        if not len(wanted):
            return
        predictors = numpy.repeat(numpy.arange(len(segments)), counts) * states.shape[1] + self.offsets[wanted]
        distinct, first, which = numpy.unique(predictors, return_index=True, return_inverse=True)
        hidden = states.flatten(0, 1).index_select(0, torch.from_numpy(distinct).to(states.device))
        self.nats[wanted] = logps(head, hidden, self.tokens[wanted], first, which).cpu().numpy()


def logps(head: OutputHead, hidden: Tensor, tokens: Ints, first: Ints, which: Ints) -> Tensor:
    """Log-probabilities of tokens that may follow the same states: float32 (tokens,), nats.

    hidden: (n, dim). which: (tokens,) the state of each token. first: (n,) one token of each state, which is scored against the
    vocabulary; from it, the others differ as their logits do.
    """
    device = hidden.device
    targets, which_, first_ = (torch.from_numpy(found).to(device) for found in (tokens, which, first))
    firsts = token_logps(
        hidden, head.weight, targets[first_], bias=head.bias, logit_scale=head.logit_scale, softcap=head.softcap,
        chunk_tokens=max(1, LOGITS // head.weight.shape[0]),
    )  # fmt: skip
    found = firsts[which_]
    others = numpy.flatnonzero(first[which] != numpy.arange(len(which)))
    for chunk in numpy.array_split(others, -(-len(others) // 4096)) if len(others) else ():
        places = torch.from_numpy(chunk).to(device)
        states = hidden[which_[places]]
        reference = targets[first_[which_[places]]]
        found[places] += _logits(head, states, targets[places]) - _logits(head, states, reference)
    return found


def _logits(head: OutputHead, hidden: Tensor, tokens: Tensor) -> Tensor:
    """The logit of one token for each state, float32 (n,)."""
    logits = (hidden.float() * head.weight[tokens].float()).sum(-1)
    if head.bias is not None:
        logits = logits + head.bias[tokens].float()
    logits = logits * head.logit_scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)
