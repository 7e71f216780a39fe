"""Lift merges of one tensor to merges of checkpoints: stream, account for every tensor, round once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aya_core.api import DataError, MergeInput, MergeJob, PieceMerge, Pieces, Place, TensorMerge, WholeModelMerge
from aya_plugins.merges.agreement import same_bytes
from aya_plugins.merges.checkpoint import FLOATS, Stored
from aya_plugins.merges.crew import Crew, crew
from aya_plugins.merges.inputs import Inputs, with_base
from aya_plugins.merges.output import Output, check_space, open_output
from aya_plugins.merges.planning import Input, Line
from aya_plugins.merges.shards import natural
from aya_plugins.merges.sources import Source
from aya_plugins.merges.tensors import OpenTensor, Wanted, write

_COPY = 1 << 20
"""Values of an integer tensor that are copied at a time."""


class StreamingMerge:
    """Merges whole checkpoints with merges of one tensor.

    A tensor is read in pieces of some 65,000 values, merged in float32 by as many threads as
    there are cores, and rounded once to the dtype it is stored in: that of `job.dtype`, or that which the same tensor has in
    the base, or in the first model where there is no base. Several jobs go through the tensors together, so that each is read
    once for all of them. Memory holds some pieces per thread, and does not grow with the model; a merge that takes whole
    tensors (`TensorMerge`) holds one of them in every model.

    The merged checkpoint has the tensors, config, tokenizer and chat template of the base, or of the first model; all others
    must have the same tensors. A tensor that some models leave out because it is tied (`lm_head.weight` as a copy of the
    embedding) is not a difference. Integer tensors must be equal and are copied. No architecture is known by name.

    The files written depend on the weights, the settings and the seed; not on threads, shards or paths. A shard that is
    whole is kept in `job.scratch`, so that a merge that was killed goes on after it.
    """

    def merge(
        self, jobs: Sequence[tuple[TensorMerge | PieceMerge | WholeModelMerge, MergeJob]]
    ) -> list[Mapping[str, Any]]:
        """Write the merged checkpoints and return the accounts. Raises DataError where that cannot be done."""
        if not jobs:
            return []
        inputs = Inputs()
        outputs = [open_output(merge, job, inputs) for merge, job in jobs]
        check_space(outputs)
        means = jobs[0][1].means
        try:
            with crew(means.threads, means.memory * 2**20) as workers:
                run = _Run(outputs, inputs, workers, means.device)
                run.survey_models()
                run.all_tensors()
        except BaseException:
            for output in outputs:
                output.shards.abandon()
            raise
        return [output.finish(inputs) for output in outputs]

    def check(self, models: Sequence[MergeInput], lines: Path, per_language: int, device: str) -> Mapping[str, Any]:
        """Load models, the merged one first, and score the same lines with each: see `compare_perplexity`."""
        from aya_plugins.merges.check import checked

        return checked([with_base(model) for model in models], lines, per_language, device)


def tensor_key(seed: int, name: str) -> int:
    """Make the 64-bit seed of one tensor from the seed of the merge and the tensor's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


class _Tensor:
    """One tensor's sources in all models that several outputs want it from, by a key of each.

    names: for messages. origins: the input, and the tensor's name there.
    """

    def __init__(self) -> None:
        self.sources: dict[int, Source] = {}
        self.names: dict[int, str] = {}
        self.origins: dict[int, tuple[Input, str]] = {}
        self._keys: dict[tuple[Any, str, int], int] = {}

    def open(self, output: Output, line: Line) -> tuple[tuple[int, ...], int | None]:
        """Open what an output wants; give the keys of its models, and of its base where the merge needs one."""
        keys: list[int | None] = []
        for input, name in zip(output.inputs[: output.read], line.inputs, strict=False):
            if name is None:
                keys.append(None)
                continue
            key = self._keys.setdefault(
                (input.identity, name, id(output.tokens) if line.is_table else 0), len(self._keys)
            )
            keys.append(key)
            if key not in self.sources:
                self.sources[key] = output.source(input, line)
                self.names[key] = f"'{input.name}': tensor '{name}'"
                self.origins[key] = (input, name)
        models = tuple([key for key in keys[: len(output.job.models)] if key is not None])
        if not output.merge.needs_base:
            return models, None
        if keys[-1] is None:
            raise DataError(f"tensor '{line.name}': no layer of the base goes with it, and the merge needs one")
        return models, keys[-1]


@dataclass(frozen=True)
class _Run:
    """Merges under way."""

    outputs: Sequence[Output]
    inputs: Inputs
    crew: Crew
    device: str

    def all_tensors(self) -> None:
        """Make every tensor of every output, in natural order of the names, and take all digests."""
        done = 0
        total = sum(line.entry.bytes for output in self.outputs for line in output.plan.lines)
        for name in sorted({name for output in self.outputs for name in output.lines}, key=natural):
            wanting = [output for output in self.outputs if name in output.lines]
            missing = [output for output in wanting if not output.shards.has(name)]
            for output in missing:
                if output.shards.is_full_before(name):
                    self._close_shard(output)
            by_shape: dict[tuple[int, ...], list[Output]] = {}
            for output in missing:
                by_shape.setdefault(output.lines[name].shape, []).append(output)
            for same in by_shape.values():
                self._tensor(name, same)
            done += sum(output.lines[name].entry.bytes for output in wanting)
            for output in self.outputs:
                output.job.report(done, total)
        for output in self.outputs:
            self._close_shard(output)
        for output in self.outputs:
            for input in output.inputs:
                for name in input.checkpoint.entries:
                    self.inputs.digest(input, name, self.crew)
        self.crew.finish()

    def _close_shard(self, output: Output) -> None:
        self.crew.finish()
        notes: dict[str, dict[str, str]] = {}
        for name in output.shards.open_names:
            for number, (input, tensor) in enumerate(zip(output.inputs, output.lines[name].inputs, strict=True)):
                if tensor is not None and number < output.read:
                    notes.setdefault(str(number), {}).update(self.inputs.digests(input, [tensor]))
        output.shards.close(notes)

    def _tensor(self, name: str, outputs: Sequence[Output]) -> None:
        """Make one tensor of several outputs, in which it has one shape."""
        tensor = _Tensor()
        wanted: list[Wanted] = []
        for output in outputs:
            line = output.lines[name]
            if line.dtype not in FLOATS or line.entry.values == 0:
                self._copy(output, line)
                continue
            models, base = tensor.open(output, line)
            place = self._place(output, line)
            weights = place.values(output.job.weights)
            slot = output.shards.slot(name)
            wanted.append(Wanted(output.merge_in_pieces, place, weights, models, base, line.dtype, slot))
        if wanted:
            # Where blocks of the tensor pass by as they are stored, they are hashed on the way.
            on_the_way = self.device == "cpu" and any(_in_flat_pieces(one.merge) for one in wanted)
            digests = {}
            for key, (input, stored) in tensor.origins.items():
                if on_the_way and isinstance(tensor.sources[key], Stored):
                    if digest := self.inputs.begin_digest(input, stored):
                        digests[key] = digest
                else:
                    self.inputs.digest(input, stored, self.crew)
            OpenTensor(
                tensor.sources, tensor.names, digests, outputs[0].lines[name].shape, self.crew, self.device
            ).merge(wanted)

    def survey_models(self) -> None:
        """Let merges that look at all tensors first do so."""
        for output in self.outputs:
            if isinstance(output.merge, WholeModelMerge):
                seen: list[tuple[Place, Pieces]] = []
                for line in sorted(output.plan.lines, key=lambda line: natural(line.name)):
                    if line.dtype in FLOATS and line.entry.values and line.twin is None:
                        tensor = _Tensor()
                        models, base = tensor.open(output, line)
                        opened = OpenTensor(tensor.sources, tensor.names, {}, line.shape, self.crew, self.device)
                        seen.append((self._place(output, line), opened.pieces(models, base)))
                output.merge = output.merge.survey_all(seen)

    def _place(self, output: Output, line: Line) -> Place:
        # The key of a tied tensor is that of its twin, so that random merges keep them equal.
        return output.place(line, tensor_key(output.job.seed, line.twin or line.name))

    def _copy(self, output: Output, line: Line) -> None:
        """Copy a tensor of integers, which all models must have the same."""
        stored: list[tuple[str, Stored]] = [
            (input.name, input.checkpoint.source(name))
            for input, name in zip(output.inputs[: output.read], line.inputs, strict=False)
            if name is not None
        ]
        for input, name in zip(output.inputs[: output.read], line.inputs, strict=False):
            if name is not None:
                self.inputs.digest(input, name, self.crew)
        first, source = stored[0]
        for other, theirs in stored[1:]:
            if theirs.dtype != source.dtype or not same_bytes(source, theirs):
                raise DataError(
                    f"integer tensor '{line.name}' differs between '{first}' and '{other}'; integers are copied, not "
                    "merged, so all models must have the same"
                )
        slot = output.shards.slot(line.name)
        for start in range(0, source.entry.values, _COPY):
            raw = source.raw(start, min(start + _COPY, source.entry.values))
            write(slot.file, memoryview(raw), slot.offset + start * source.entry.item_bytes)


def _in_flat_pieces(merge: TensorMerge | PieceMerge) -> bool:
    return isinstance(merge, PieceMerge) and not getattr(merge, "whole_rows", False)
