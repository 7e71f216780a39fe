"""What has to be done, tensor by tensor, to make the outputs of merges that go through their models together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

from aya_core.api import DataError, Pieces, Place, WholeModelMerge
from aya_plugins.merges.files.checkpoint import FLOATS, tensor_digest
from aya_plugins.merges.files.sources import Source
from aya_plugins.merges.runtime.agreement import same_bytes
from aya_plugins.merges.runtime.inputs import Inputs
from aya_plugins.merges.runtime.output import Output, unhashed
from aya_plugins.merges.runtime.planning import Input, MergedTensor
from aya_plugins.merges.runtime.shards import natural
from aya_plugins.merges.runtime.tensors import OpenTensor, OutputTensor, write

_COPY = 1 << 20
"""Values of an integer tensor that are copied at a time."""


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

    def open(self, output: Output, line: MergedTensor) -> tuple[tuple[int, ...], int | None]:
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


class Step(NamedTuple):
    """One thing to be done, in any process: a tensor of some outputs to be made, or a digest to be taken.

    run: does it and returns digests, by number of `origins`: the input, and the tensor's name there. outputs: those that the
    tensor is made for.
    """

    name: str
    memory: int
    run: Callable[[], Mapping[int, str]]
    origins: Sequence[tuple[Input, str]]
    outputs: Sequence[Output] = ()

    def begin(self) -> None:
        """Make room for the tensor."""
        for output in self.outputs:
            output.shards.begin(self.name)


@dataclass
class MergeRun:
    """Merges under way."""

    outputs: Sequence[Output]
    inputs: Inputs
    device: str
    bytes_done: int = 0

    def tensors(self) -> Iterator[Step]:
        """List the tensors that are to be made, in natural order of their names."""
        for name in sorted({name for output in self.outputs for name in output.lines}, key=natural):
            wanting = [output for output in self.outputs if name in output.lines]
            by_shape: dict[Any, list[Output]] = {}
            for output in wanting:
                line = output.lines[name]
                if output.shards.has(name):
                    self.bytes_done += line.entry.bytes
                elif line.dtype not in FLOATS or line.entry.values == 0:
                    by_shape[id(output)] = [output]
                else:
                    by_shape.setdefault(line.shape, []).append(output)
            for outputs in by_shape.values():
                line = outputs[0].lines[name]
                yield (
                    self._merged(name, outputs)
                    if line.dtype in FLOATS and line.entry.values
                    else self._copied(outputs[0], line)
                )

    def unread(self) -> Iterator[Step]:
        """List the tensors of the inputs that no output reads, whose digests are wanted all the same."""
        read = {
            (id(input.checkpoint), tensor)
            for output in self.outputs
            for name, line in output.lines.items()
            if not output.shards.has(name)
            for input, tensor in zip(output.inputs[: output.read], line.inputs, strict=False)
        }
        for input, name in unhashed(self.outputs, self.inputs):
            if (id(input.checkpoint), name) not in read:
                yield Step(name, 0, partial(_digest, input, name), [(input, name)])

    def done(self, step: Step, digests: Mapping[int, str]) -> None:
        """Take over what a step made."""
        for number, digest in digests.items():
            input, name = step.origins[number]
            self.inputs.remember(input, {name: digest})
        for output in step.outputs:
            line = output.lines[step.name]
            notes = {
                str(number): self.inputs.digests(input, [tensor])
                for number, (input, tensor) in enumerate(zip(output.inputs[: output.read], line.inputs, strict=False))
                if tensor is not None
            }
            output.shards.done(step.name, notes)
            self.bytes_done += line.entry.bytes
        for output in self.outputs:
            output.job.report(self.bytes_done, self._bytes)

    @cached_property
    def _bytes(self) -> int:
        return sum(line.entry.bytes for output in self.outputs for line in output.plan.lines)

    def _merged(self, name: str, outputs: Sequence[Output]) -> Step:
        """Make one tensor of several outputs, in which it has one shape."""
        tensor = _Tensor()
        wanted: list[OutputTensor] = []
        for output in outputs:
            line = output.lines[name]
            models, base = tensor.open(output, line)
            place = self._place(output, line)
            weights = place.values(output.job.weights)
            wanted.append(
                OutputTensor(output.merge_in_pieces, place, weights, models, base, line.dtype, output.shards.slot(name))
            )
        opened = OpenTensor(tensor.sources, tensor.names, outputs[0].lines[name].shape, self.device)

        unknown = [key for key, origin in tensor.origins.items() if not self.inputs.knows(*origin)]

        def run() -> dict[int, str]:
            digests = opened.merge(wanted, unknown)
            for key in unknown:
                if key not in digests:
                    input, stored = tensor.origins[key]
                    digests[key] = tensor_digest(input.checkpoint.source(stored))
            return digests

        return Step(name, opened.memory(wanted), run, list(tensor.origins.values()), outputs)

    def survey_models(self) -> None:
        """Let merges that look at all tensors first do so."""
        for output in self.outputs:
            if isinstance(output.merge, WholeModelMerge):
                seen: list[tuple[Place, Pieces]] = []
                for line in sorted(output.plan.lines, key=lambda line: natural(line.name)):
                    if line.dtype in FLOATS and line.entry.values and line.twin is None:
                        tensor = _Tensor()
                        models, base = tensor.open(output, line)
                        opened = OpenTensor(tensor.sources, tensor.names, line.shape, self.device)
                        seen.append((self._place(output, line), opened.pieces(models, base)))
                output.merge = output.merge.survey_all(seen)

    def _place(self, output: Output, line: MergedTensor) -> Place:
        # The key of a tied tensor is that of its twin, so that random merges keep them equal.
        return output.place(line, tensor_key(output.job.seed, line.twin or line.name))

    def _copied(self, output: Output, line: MergedTensor) -> Step:
        """Copy a tensor of integers, which all models must have the same."""
        origins = [
            (input, name)
            for input, name in zip(output.inputs[: output.read], line.inputs, strict=False)
            if name is not None
        ]
        slot = output.shards.slot(line.name)

        def run() -> dict[int, str]:
            (first, name), *others = origins
            source = first.checkpoint.source(name)
            for other, theirs in others:
                if not same_bytes(source, other.checkpoint.source(theirs)):
                    raise DataError(
                        f"integer tensor '{line.name}' differs between '{first.name}' and '{other.name}'; integers are "
                        "copied, not merged, so all models must have the same"
                    )
            with slot.file.open("r+b", buffering=0) as out:
                for start in range(0, source.entry.values, _COPY):
                    raw = source.raw(start, min(start + _COPY, source.entry.values))
                    write(out.fileno(), memoryview(raw), slot.offset + start * source.entry.item_bytes)
            return dict.fromkeys(range(len(origins)), tensor_digest(source))

        return Step(line.name, 0, run, origins, [output])


def _digest(input: Input, name: str) -> dict[int, str]:
    return {0: tensor_digest(input.checkpoint.source(name))}
