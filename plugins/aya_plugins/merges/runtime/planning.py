"""What the merged checkpoint will hold, and where each of its tensors comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aya_core.api import AyaError, DataError, LayerSlice
from aya_plugins.merges.adapters.adapter import Adapter
from aya_plugins.merges.configs.changed import DEPTHS, counted_layers, restacked, untied
from aya_plugins.merges.configs.comparison import check_configs
from aya_plugins.merges.configs.meaning import ties
from aya_plugins.merges.files.checkpoint import FLOATS, Checkpoint, Entry
from aya_plugins.merges.files.sources import Source
from aya_plugins.merges.runtime.agreement import (
    are_copies,
    check_dtypes,
    has_own_head,
    is_head,
    match_names,
    some,
    tied_everywhere,
    tied_to,
)
from aya_plugins.merges.runtime.layers import Layer, depth, is_before_layers, layer_of, main_stacks, stacks
from aya_plugins.merges.runtime.layouts import buffers_of_some, names_as_in, with_names, without_buffers
from aya_plugins.merges.tokens.token_ids import vocabulary_rows
from aya_plugins.merges.tokens.vocabulary import VocabularyPlan, vocabulary_tables


@dataclass(frozen=True)
class Input:
    """A model that goes into the merge: a checkpoint, and the adapter that is applied to it."""

    name: str
    checkpoint: Checkpoint
    adapter: Adapter | None = None

    @property
    def folder(self) -> Path:
        """Where its checkpoint's files are."""
        return self.checkpoint.folder

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config.json."""
        return self.checkpoint.config

    @property
    def identity(self) -> tuple[int, int]:
        """The same for inputs that read the same weights."""
        return id(self.checkpoint), id(self.adapter)

    def source(self, name: str) -> Source:
        """Open one of its tensors."""
        stored = self.checkpoint.source(name)
        return self.adapter.source(name, stored) if self.adapter else stored


@dataclass(frozen=True)
class MergedTensor:
    """One tensor of the merged checkpoint.

    shape: of the tensor. dtype: it is stored in. inputs: its name in each input, the base last; None where an input has no
    part in it. depth, part: see `Place`. twin: the tensor it is a copy of in every model. is_table: whether its rows are those
    of a merged vocabulary.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    inputs: tuple[str | None, ...]
    depth: float = 0.0
    slice_index: int = 0
    twin: str | None = None
    is_table: bool = False

    @property
    def entry(self) -> Entry:
        """What its file will announce."""
        return Entry(self.shape, self.dtype)


@dataclass(frozen=True)
class MergePlan:
    """The merged checkpoint before it is made. config: its config.json. notes: what should be known of it, a sentence each."""

    lines: tuple[MergedTensor, ...]
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def tied(self) -> dict[str, str]:
        """Tensors that are copies of another in every model, with the name of that other."""
        return {line.name: line.twin for line in self.lines if line.twin}


def plan_merge(
    donor: Input,
    inputs: Sequence[Input],
    slices: Sequence[LayerSlice] | None,
    tokens: VocabularyPlan | None,
    dtype: str | None,
    allow: Sequence[str] = (),
) -> MergePlan:
    """Check that inputs can be merged into one checkpoint, and list its tensors.

    donor: the input whose config and files the merge gets. inputs: the models, and the base last if there is one. tokens:
    the merged vocabulary, where it is not everybody's. dtype: safetensors' name of what floats are stored in; None keeps the
    donor's. allow: settings of config.json that may differ though they count. Raises DataError that names what differs.
    """
    for input in inputs:
        check_dtypes(input.checkpoint)
    donor, inputs, stored, found = _in_one_layout(donor, inputs)
    notes = check_configs(donor, inputs, allow=allow, ignore=frozenset() if slices is None else _per_layer(inputs))
    plan = _whole(donor, inputs) if slices is None else _in_slices(donor, inputs, slices)
    tables = _tables(inputs, tokens) if tokens else frozenset[str]()
    _check_shapes(plan, donor, inputs, tables)
    lines = plan.lines
    if tokens:
        lines = tuple(
            replace(line, shape=(tokens.rows, *line.shape[1:]), is_table=True) if line.name in tables else line
            for line in lines
        )
    if dtype:
        lines = tuple(replace(line, dtype=dtype) if line.dtype in FLOATS else line for line in lines)
    lines = tuple(
        replace(
            line, inputs=tuple(name and names.get(name, name) for names, name in zip(stored, line.inputs, strict=True))
        )
        for line in lines
    )
    return replace(plan, lines=lines, notes=(*found, *notes, *plan.notes))


def _per_layer(inputs: Sequence[Input]) -> frozenset[str]:
    """Name the settings that count layers, or have a value for each: where layers are picked, models may differ in them."""
    names: set[str] = set(DEPTHS)
    for input in inputs:
        text = input.config.get("text_config")
        for level in (input.config, text if isinstance(text, Mapping) else {}):
            names |= {key for key, value in level.items() if isinstance(value, list)}
    return frozenset(names | {"layer_types", "no_rope_layers"})


def _in_one_layout(
    donor: Input, inputs: Sequence[Input]
) -> tuple[Input, list[Input], list[Mapping[str, str]], tuple[str, ...]]:
    """See all inputs in the donor's layout, without buffers that only some of them store.

    Returns the donor and the inputs so, for each input the names under which it stores what has another name there, and notes.
    """
    kinds = buffers_of_some([input.checkpoint for input in inputs])
    notes = (
        [f"Left out, as only some models store them and each computes them: {', '.join(sorted(kinds))}."]
        if kinds
        else []
    )
    donor = replace(donor, checkpoint=without_buffers(donor.checkpoint, kinds))
    seen: list[Input] = []
    stored: list[Mapping[str, str]] = []
    for input in inputs:
        kept = without_buffers(input.checkpoint, kinds)
        names = names_as_in(donor.checkpoint, kept)
        seen.append(replace(input, checkpoint=with_names(kept, names)))
        stored.append({name: theirs for theirs, name in names.items()})
        if names:
            first = min(names)
            notes.append(
                f"'{input.name}' has {len(names)} tensors under other names: '{first}' is '{names[first]}' here."
            )
    return donor, seen, stored, tuple(notes)


def _tables(inputs: Sequence[Input], tokens: VocabularyPlan) -> frozenset[str]:
    shapes = [{name: entry.shape for name, entry in input.checkpoint.entries.items()} for input in inputs]
    return vocabulary_tables(shapes, [vocabulary_rows(input.config) or 0 for input in inputs])


def _whole(donor: Input, inputs: Sequence[Input]) -> MergePlan:
    matched = [match_names(donor.checkpoint, input.checkpoint) for input in inputs]
    heads = list(dict.fromkeys(head for one in matched for head in one.heads))
    renamed = [{**one.renamed, **_heads_of(input, heads)} for input, one in zip(inputs, matched, strict=True)]
    others = [(input.checkpoint, names) for input, names in zip(inputs, renamed, strict=True)]
    tied = tied_everywhere(donor.checkpoint, others)
    lengths = stacks(donor.checkpoint.entries)
    found = dict(donor.checkpoint.entries)
    for head in heads:
        found[head] = next(input.checkpoint.entries[head] for input in inputs if head in input.checkpoint.entries)
    lines = [
        MergedTensor(
            name,
            entry.shape,
            entry.dtype,
            tuple(names.get(name, name) for names in renamed),
            depth(layer_of(name), lengths),
            twin=tied.get(name),
        )
        for name, entry in found.items()
    ]
    return MergePlan(tuple(lines), *_tied_config(donor, tied, heads))


def _heads_of(input: Input, heads: Sequence[str]) -> dict[str, str]:
    """Say what a model has in place of heads that it does not store: its embeddings, to which config.json ties them."""
    found = {}
    for head in heads:
        if head not in input.checkpoint.entries:
            table = tied_to(input.checkpoint, head)
            if table is None:
                raise DataError(
                    f"'{input.name}' has no tensor '{head}', and its config.json does not tie the head to the embeddings; set "
                    "tie_word_embeddings there if it is so"
                )
            found[head] = table
    return found


def _tied_config(
    donor: Input, tied: Mapping[str, str], heads: Sequence[str]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Give the donor's config.json, untied where the merge has a head of its own, and a note that it is."""
    config = donor.config
    if not has_own_head(donor.checkpoint, tied, heads) or not ties(config):
        return config, ()
    return untied(config), (
        f"config.json of '{donor.name}' ties the head to the embeddings; in the merge they differ, so it says "
        "tie_word_embeddings: false",
    )


def _in_slices(donor: Input, inputs: Sequence[Input], slices: Sequence[LayerSlice]) -> MergePlan:
    stack, length = _main_stack(donor)
    lines: list[MergedTensor] = []
    outside = dict.fromkeys(
        name
        for input in (donor, *inputs)
        for name in input.checkpoint.entries
        if input is donor or (is_head(name) and tied_to(donor.checkpoint, name))
        if not name.startswith(stack) or layer_of(name) is None
    )
    heads = []
    for name in outside:
        slice_index = 0 if is_before_layers(name) else len(slices) - 1
        takes = [first is not None for first in slices[slice_index].layers]
        if name not in donor.checkpoint.entries:
            takers = [input for input, take in zip(inputs, takes, strict=True) if take]
            if not any(name in input.checkpoint.entries for input in takers):
                continue  # a head of a model that the last slice takes nothing from
            heads.append(name)
        stored = [_stored(input, name) if take else None for input, take in zip(inputs, takes, strict=True)]
        entry = inputs[takes.index(True)].checkpoint.entries[next(found for found in stored if found)]
        lines.append(MergedTensor(name, entry.shape, entry.dtype, tuple(stored), slice_index=slice_index))
    offset = 0
    for number, (firsts, layers) in enumerate(slices):
        for step in range(layers):
            origin = [None if first is None else first + step for first in firsts]
            lines += _layer(inputs, origin, stack, offset, step / (layers - 1) if layers > 1 else 1.0, number)
            offset += 1
    taken = [
        next(first for first in one.layers if first is not None) + step for one in slices for step in range(one.length)
    ]
    if not taken:
        raise DataError("the slices hold no layer at all; give at least one a layer_range with layers in it")
    config, notes = _tied_config(donor, _copies(lines, inputs), heads)
    return MergePlan(tuple(lines), restacked(config, length, taken), notes)


def _stored(input: Input, name: str) -> str:
    """Name the tensor that a model has under a name: that one, or the embeddings to which its head is tied."""
    twin = tied_to(input.checkpoint, name)
    if twin is None:
        _find(input, name)
    return twin or name


def _copies(lines: Sequence[MergedTensor], inputs: Sequence[Input]) -> dict[str, str]:
    """Find tables that are copies of each other in a merge in slices: those which take them from the same models."""
    tables = [line for line in lines if len(line.shape) == 2 and layer_of(line.name) is None]
    heads = [line for line in tables if is_head(line.name)]
    copies = {}
    for head in heads:
        for table in tables:
            pairs = [pair for pair in zip(inputs, head.inputs, table.inputs, strict=True) if pair[1:] != (None, None)]
            if table is not head and all(
                one and other and are_copies(input.checkpoint, one, other) for input, one, other in pairs
            ):
                copies[head.name] = table.name
    return copies


def _layer(
    inputs: Sequence[Input], origin: Sequence[int | None], stack: str, index: int, depth: float, slice_index: int
) -> list[MergedTensor]:
    """List the tensors of one layer of the merge. origin: the layer of each input that goes into it."""
    lines = []
    taken = [(input, layer) for input, layer in zip(inputs, origin, strict=True) if layer is not None]
    first, layer = taken[0]
    for rest in _rests(first, stack, layer):
        names = tuple(None if from_layer is None else Layer(stack, from_layer, rest).name for from_layer in origin)
        for (input, _), name in zip(taken, (name for name in names if name), strict=True):
            _find(input, name)
        entry = first.checkpoint.entries[Layer(stack, layer, rest).name]
        lines.append(MergedTensor(Layer(stack, index, rest).name, entry.shape, entry.dtype, names, depth, slice_index))
    wanted = {line.name for line in lines}
    for input, from_layer in taken[1:]:
        if more := sorted(
            rest for rest in _rests(input, stack, from_layer) if Layer(stack, index, rest).name not in wanted
        ):
            raise DataError(
                f"layer {from_layer} of '{input.name}' has tensors that layer {layer} of '{first.name}' has not: {some(more)}"
            )
    return lines


def _rests(input: Input, stack: str, index: int) -> list[str]:
    prefix = f"{stack}{index}."
    rests = [name.removeprefix(prefix) for name in input.checkpoint.entries if name.startswith(prefix)]
    if not rests:
        raise DataError(f"'{input.name}' has no layer {index} ({prefix}*); see layer_range of its slices")
    return rests


def _find(input: Input, name: str) -> Entry:
    if name not in input.checkpoint.entries:
        raise DataError(f"'{input.name}' has no tensor '{name}', which the merge is to have")
    return input.checkpoint.entries[name]


def _main_stack(donor: Input) -> tuple[str, int]:
    lengths = stacks(donor.checkpoint.entries)
    counted = counted_layers(donor.checkpoint.config)
    main = main_stacks(stack for stack, length in lengths.items() if length in counted)
    if len(main) != 1:
        raise AyaError(
            f"cannot pick layers of '{donor.name}': expected one stack of as many layers as config.json says "
            f"({' or '.join(map(str, sorted(counted))) or 'nothing'}), "
            f"found {', '.join(f'{stack}* ({length})' for stack, length in lengths.items()) or 'none'}"
        )
    return main[0], lengths[main[0]]


def _check_shapes(plan: MergePlan, donor: Input, inputs: Sequence[Input], tables: frozenset[str]) -> None:
    for line in plan.lines:
        first = 1 if line.name in tables else 0
        for input, name in zip(inputs, line.inputs, strict=True):
            if name is None:
                continue
            theirs = input.checkpoint.entries[name]
            if theirs.shape[first:] != line.shape[first:]:
                raise DataError(
                    f"tensor '{line.name}' has shape {list(line.shape)} in '{donor.name}' "
                    f"and {list(theirs.shape)} in '{input.name}'"
                )
            if (theirs.dtype in FLOATS) != (line.dtype in FLOATS):
                raise DataError(
                    f"tensor '{line.name}' is {line.dtype} in '{donor.name}' and {theirs.dtype} in '{input.name}'"
                )
