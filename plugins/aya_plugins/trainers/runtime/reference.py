"""Log-probabilities under frozen models: computed once, kept in the store, and the model is gone from memory."""

from __future__ import annotations

import gc
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from aya_core.api import StoppedError, TrainingJob, content_of, model_folder, stable_hash
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.logps_store import Keys, LogpsStore, row_keys, write_beside
from aya_plugins.modeling.rows import Encoded, Ints, length_sorted, spans
from aya_plugins.modeling.scoring import Sums, Table, score
from aya_plugins.trainers.runtime.settings import LoopSettings

FORMAT = 2
"""Of the store; another one is another key."""

SHARD_TOKENS = 4_000_000
"""Log-probabilities held back for a shard, 16 MB; a shard is written earlier when `checkpoint_seconds` are over."""

EXCHANGED = 16_000_000
"""Log-probabilities that processes exchange at a time, 64 MB on the device."""


Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with (done, total, measures); no step of training is done yet."""


@dataclass(frozen=True)
class Reference:
    """Log-probabilities of answers under a frozen model, nats, by the row numbers of what was encoded.

    Equal rows are held once: `places` (rows,) says where. totals: (different rows,) their sums. starts, logps: values token
    by token, end to end, as in `Encoded`; none where only sums were asked for. widths: (rows,) tokens of each answer.
    """

    places: Ints
    widths: Ints
    totals: Sums
    starts: Ints
    logps: Sums | None

    def sums(self, rows: Ints) -> Sums:
        """Summed over each answer: (rows,)."""
        return self.totals[self.places[rows]]

    def tokens(self, rows: Ints) -> Table:
        """Token by token, in the layout of `AnswerLogps`: (rows, width of the longest answer), 0 beyond an end."""
        assert self.logps is not None, "only sums were asked for"
        places = self.places[rows]
        lengths = self.starts[places + 1] - self.starts[places]
        table = numpy.zeros((len(rows), max(1, int(self.widths[rows].max()))), dtype=numpy.float32)
        table[numpy.arange(table.shape[1]) < lengths[:, None]] = self.logps[spans(self.starts[places], lengths)]
        return table


def reference_logps(
    job: TrainingJob, where: Path, encoded: Encoded, pad_id: int, accelerator: Any, settings: LoopSettings, *,
    rows: Ints | None = None, by_token: bool = True,
) -> Reference:  # fmt: skip
    """Give the log-probabilities of the answers of all rows under the model in `where`, to all processes.

    What stands in the store is taken from there; the model is loaded for the rest alone, which the processes share, and is
    freed before this returns.

    rows: the rows that are asked for, None for all; the values of others are 0. by_token: false keeps the sums alone in memory.

    Rows are scored in batches that depend on the set of rows and `forward_tokens` alone, so a pass that was killed and goes
    on gives the same bits. Rows that another job has scored, in other company, agree to rounding.
    """
    keys, first, places = numpy.unique(row_keys(encoded), return_index=True, return_inverse=True)
    places = places.reshape(-1)
    wanted = numpy.isin(numpy.arange(len(keys)), places if rows is None else places[rows])
    known = _Known(keys, numpy.where(wanted, encoded.scored_tokens[first], 0), by_token)
    store = LogpsStore(_folder(job, where, accelerator, settings))
    known.read(store)
    missing = _missing_anywhere(known, accelerator)
    if len(missing):
        known.forget(missing)
        lengths = encoded.lengths[first]
        todo = batches(lengths, known.tokens > 0, missing, settings.forward_tokens)
        share = todo[accelerator.process_index :: accelerator.num_processes]
        if share:
            report = job.report if accelerator.is_main_process else _say_nothing
            every = math.inf if settings.checkpoint_seconds is None else settings.checkpoint_seconds
            keep = _Writer(store, known, every, report, job.stopping)
            with accelerator.autocast():
                _score(where, encoded, pad_id, accelerator.device, share, first, keep)
            keep.flush()
        known.exchange(missing, accelerator)
    return Reference(places, encoded.answer_tokens, known.totals, known.starts, known.logps)


def no_reference(encoded: Encoded) -> Reference:
    """Stand for the reference of an objective that looks at none: zeros, by no model."""
    nothing = numpy.zeros(1, dtype=numpy.int64)
    everywhere = numpy.zeros(len(encoded), dtype=numpy.int64)
    return Reference(everywhere, encoded.answer_tokens, nothing.astype(numpy.float32), nothing, None)


def batches(lengths: Ints, has_tokens: NDArray[numpy.bool_], missing: Ints, tokens: int) -> list[Ints]:
    """Split what is missing into batches of rows of like lengths, longest first.

    The batches are those of all rows, as long as all of a batch is missing. What is missing of the others is batched anew.
    """
    is_missing = numpy.zeros(len(lengths), dtype=numpy.bool_)
    is_missing[missing] = True
    scored = numpy.flatnonzero(has_tokens)
    whole: list[Ints] = []
    rest: list[Ints] = [numpy.zeros(0, dtype=numpy.int64)]
    for batch in length_sorted(lengths[scored], tokens):
        rows = scored[batch]
        (whole if is_missing[rows].all() else rest).append(rows)
    left = numpy.concatenate(rest)
    left = left[is_missing[left]]
    return whole + [left[batch] for batch in length_sorted(lengths[left], tokens)]


def model_content(job: TrainingJob, where: Path) -> str:
    """Hash a model with its tokenizer and chat template by content: as the run knows it, or by its files."""
    for role in ("reference", "start"):
        if getattr(job, role) == where and role in job.contents:
            return job.contents[role]
    return content_of(model_folder(where))


def _folder(job: TrainingJob, where: Path, accelerator: Any, settings: LoopSettings) -> Path:
    """Where the rows of a model and of these numerics are kept; the first process reads the model's files."""
    shared: list[Any] = [None]
    if accelerator.is_main_process:
        key = {
            "format": FORMAT,
            "model": model_content(job, where),  # weights, configuration, tokenizer, chat template
            "max_tokens": settings.max_tokens,
            "weights": "float32",
            "autocast": accelerator.mixed_precision,
            "device": accelerator.device.type,
        }
        folder = (job.store or job.work) / "reference" / stable_hash(key)[:16]
        if not (folder / "key.json").exists():
            write_beside(folder / "key.json", json.dumps(key, indent=1).encode())
        shared = [folder.name]
    if accelerator.num_processes > 1:
        broadcast_object_list(shared)
    return (job.store or job.work) / "reference" / str(shared[0])


def _missing_anywhere(known: _Known, accelerator: Any) -> Ints:
    """Rows that any process lacks: the store may be on a disk that not all of them see, or grow while they look."""
    lacks = torch.from_numpy(known.is_missing.astype(numpy.int32)).to(accelerator.device)
    if accelerator.num_processes > 1:
        lacks = accelerator.reduce(lacks)
    return numpy.flatnonzero(lacks.cpu().numpy())


def _score(
    where: Path, encoded: Encoded, pad_id: int, device: torch.device, share: list[Ints], first: Ints, keep: _Writer
) -> None:
    """Score batches of different rows. first: the row of `encoded` that each of these is."""
    # float32 weights under the autocast of training, so that an untrained policy equals its reference.
    with _whole_everywhere():
        module = AnswerLogps(load_causal_lm(where, dtype=torch.float32, device=device))
    for batch, pieces in zip(share, score(module, encoded, pad_id, [first[rows] for rows in share]), strict=True):
        tables = [table[numpy.arange(table.shape[1]) < encoded.scored_tokens[rows][:, None]] for rows, table in pieces]
        keep.add(batch, numpy.concatenate(tables))
    del module, pieces, tables
    gc.collect()  # models refer to themselves
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _say_nothing(done: int, total: int, measures: Mapping[str, float]) -> None:
    """Stand for the report of a process that is not the first."""


@contextmanager
def _whole_everywhere() -> Iterator[None]:
    """Have every process load all weights: under FSDP all but one of a node would wait for theirs, which come at `prepare`."""
    name = "FSDP_CPU_RAM_EFFICIENT_LOADING"
    was = os.environ.pop(name, None)
    try:
        yield
    finally:
        if was is not None:
            os.environ[name] = was


class _Known:
    """What is known of different rows. tokens: of each; sums are kept of all, values token by token only if asked for."""

    def __init__(self, keys: Keys, tokens: Ints, by_token: bool) -> None:
        self.keys = keys
        self.tokens = tokens
        self.is_missing = tokens > 0
        self.totals = numpy.zeros(len(keys), dtype=numpy.float32)
        self.starts: Ints = numpy.concatenate([[0], numpy.cumsum(tokens)]).astype(numpy.int64)
        self.logps = numpy.zeros(int(self.starts[-1]), dtype=numpy.float32) if by_token else None

    def read(self, store: LogpsStore) -> None:
        """Take what is missing from a store."""
        for places, lengths, logps in store.find(self.keys) if self.is_missing.any() else ():
            wanted = self.is_missing[places] & (lengths == self.tokens[places])
            starts = numpy.cumsum(lengths) - lengths
            self.put(places[wanted], logps[spans(starts[wanted], lengths[wanted])])
            if not self.is_missing.any():
                return

    def put(self, places: Ints, logps: Sums) -> None:
        """Take the values of some rows, end to end; each row has one at least."""
        if not len(places):
            return
        lengths = self.tokens[places]
        ends = numpy.cumsum(numpy.concatenate([[0], lengths]))
        # float64, so that a sum does not depend on the layout in which the policy's is made
        self.totals[places] = numpy.add.reduceat(logps.astype(numpy.float64), ends[:-1])
        if self.logps is not None:
            self.logps[spans(self.starts[places], lengths)] = logps
        self.is_missing[places] = False

    def forget(self, places: Ints) -> None:
        """Make some rows missing, all zeros."""
        self.totals[places] = 0
        if self.logps is not None:
            self.logps[spans(self.starts[places], self.tokens[places])] = 0
        self.is_missing[places] = True

    def exchange(self, places: Ints, accelerator: Any) -> None:
        """Bring together rows that each were put by one of the processes."""
        if accelerator.num_processes == 1:
            return
        self.totals[places] = _added(self.totals[places], accelerator)
        if self.logps is not None:
            inside = spans(self.starts[places], self.tokens[places])
            self.logps[inside] = _added(self.logps[inside], accelerator)
        self.is_missing[places] = False


def _added(values: Sums, accelerator: Any) -> Sums:
    """Add up arrays over processes, exactly where all but one hold zero."""
    for start in range(0, len(values), EXCHANGED):
        part = torch.from_numpy(values[start : start + EXCHANGED]).to(accelerator.device)
        values[start : start + EXCHANGED] = accelerator.reduce(part).cpu().numpy()
    return values


class _Writer:
    """Puts scored batches in memory, and in the store a shard at a time."""

    def __init__(
        self, store: LogpsStore, known: _Known, every_seconds: float, report: Report, stopping: Callable[[], bool]
    ) -> None:
        self.store, self.known, self.every_seconds, self.report = store, known, every_seconds, report
        self.stopping = stopping
        self.rows: list[Ints] = []
        self.logps: list[Sums] = []
        self.last = time.monotonic()

    def add(self, rows: Ints, logps: Sums) -> None:
        """Take a batch. Raises StoppedError where the run was told to stop; what was scored is then in the store."""
        self.known.put(rows, logps)
        self.rows.append(rows)
        self.logps.append(logps)
        if time.monotonic() - self.last >= self.every_seconds or sum(map(len, self.logps)) >= SHARD_TOKENS:
            self.flush()
            left = int(self.known.is_missing.sum())
            self.report(0, 0, {"reference/rows": len(self.known.keys) - left})
        if self.stopping():
            self.flush()
            raise StoppedError("told to stop while the reference scored rows; those that are scored are kept")

    def flush(self) -> None:
        """Write what waits."""
        if self.rows:
            rows = numpy.concatenate(self.rows)
            self.store.add(self.known.keys[rows], self.known.tokens[rows], numpy.concatenate(self.logps))
            self.rows, self.logps, self.last = [], [], time.monotonic()
