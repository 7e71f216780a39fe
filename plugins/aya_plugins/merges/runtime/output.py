"""One merged checkpoint in the making: its plan, its shards, its account."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aya_core.api import (
    AyaError,
    DamageError,
    MergeJob,
    MergeParameter,
    MergeStrategy,
    PieceMerge,
    Place,
    TensorMerge,
    WholeModelMerge,
    did_you_mean,
    make_folder,
    read_sealed,
    stable_hash,
    write_sealed,
)
from aya_plugins.merges.configs.changed import stored_in
from aya_plugins.merges.files.checkpoint import FLOATS
from aya_plugins.merges.files.sources import Source
from aya_plugins.merges.runtime.companions import copy_companions, descent_of, model_card, unlike_companions
from aya_plugins.merges.runtime.inputs import Inputs
from aya_plugins.merges.runtime.planning import Input, MergedTensor, MergePlan, plan_merge
from aya_plugins.merges.runtime.shards import Shards, no_space
from aya_plugins.merges.tokens.chat_template import choose_chat_template, store_chat_template
from aya_plugins.merges.tokens.remapped import Remapped
from aya_plugins.merges.tokens.vocabulary import VocabularyPlan, plan_vocabulary
from aya_plugins.modeling.cards import CARD

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""What a merge can be stored in, by torch's name and by safetensors'."""

_GO_ALONG = (".json", ".model", ".txt", ".jinja", ".py")
"""Endings of files that are copied beside the weights, or written anew."""

_NOTES = 1 << 16
"""Bytes that the headers, hashes and notes of a merge take beside them, at least."""


@dataclass
class Output:
    """A merged checkpoint in the making.

    inputs: the models, and the base last if there is one. read: how many of them are read: all, or all but the base.
    """

    merge: TensorMerge | PieceMerge | WholeModelMerge
    job: MergeJob
    inputs: tuple[Input, ...]
    read: int
    plan: MergePlan
    shards: Shards
    tokens: VocabularyPlan | None = None
    lines: Mapping[str, MergedTensor] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = {line.name: line for line in self.plan.lines}

    @property
    def merge_in_pieces(self) -> TensorMerge | PieceMerge:
        """The merge, which has looked at all tensors if it needs to."""
        assert not isinstance(self.merge, WholeModelMerge)
        return self.merge

    @property
    def donor(self) -> Input:
        """The input whose config and files the merge gets."""
        return self.inputs[-1] if self.job.base else self.inputs[0]

    def source(self, input: Input, line: MergedTensor) -> Source:
        """Open a tensor of an input as the merge sees it."""
        index = self.inputs.index(input)
        if self.tokens is None or not line.is_table or self.tokens.is_identity(index):
            return input.source(line.inputs[index] or line.name)
        tables = [each.source(name or line.name) for each, name in zip(self.inputs, line.inputs, strict=True)]
        return Remapped(self.tokens, tables, index)

    def place(self, line: MergedTensor, key: int) -> Place:
        """Say which tensor is merged: see `Place`. A tied one goes by the name of its twin, so that both are the same."""
        models = [input.name for input, name in zip(self._models, line.inputs, strict=False) if name is not None]
        return Place(line.twin or line.name, tuple(models), key, line.depth, line.slice_index)

    def finish(self, inputs: Inputs) -> Mapping[str, Any]:
        """Move the shards to their place, add the files that go along and the model card, and return the account."""
        job = self.job
        folder = self.shards.folder
        files = self.shards.move(job.out)
        shutil.rmtree(folder, ignore_errors=True)
        config = self.tokens.config(self.plan.config) if self.tokens else dict(self.plan.config)
        if job.dtype:
            config = stored_in(config, job.dtype)
        copied = copy_companions(self.donor.folder, job.out, config, tokenizer=self.tokens is None)
        copied += self._write_tokens()
        account = {
            **self._account(inputs),
            "bytes_written": sum(file.stat().st_size for file in files),
            "copied": copied,
        }
        card = model_card(job.description, job.seed, account, descent_of(self._folders))
        (job.out / "README.md").write_text(card, encoding="utf-8")
        return account

    @property
    def _folders(self) -> list[tuple[str, Path]]:
        """Name each input once, with its folder; of an adapter, that of the model it is for, unless it has a card itself."""
        found: dict[tuple[str, Path], None] = {}
        for input in self.inputs:
            own = input.adapter.folder if input.adapter else input.folder
            found[input.name, own if (own / CARD).is_file() else input.folder] = None
        return list(found)

    def _write_tokens(self) -> list[str]:
        """Write the tokenizer where it is not the donor's, and the chat template where another is asked for."""
        job = self.job
        if self.tokens:
            return self.tokens.write(job.out, job.chat_template)
        if job.chat_template is None:
            return []
        template = choose_chat_template(job.chat_template, [input.folder for input in self.inputs])
        if template is None:
            return []
        store_chat_template(job.out, template)
        return ["chat_template.jinja"]

    @property
    def _models(self) -> tuple[Input, ...]:
        return self.inputs[: len(self.job.models)]

    def _account(self, inputs: Inputs) -> dict[str, Any]:
        lines = self.plan.lines
        read = [
            (input, name)
            for line in lines
            for input, name in zip(self.inputs[: self.read], line.inputs, strict=False)
            if name is not None
        ]
        found = {line.dtype for line in lines}
        constant = self.job.weights.constant
        folders = [(input.name, input.folder) for input in self.inputs]
        return {
            "tensors": len(lines),
            "parameters": sum(line.entry.values for line in lines),
            "bytes_read": sum(input.checkpoint.entries[name].bytes for input, name in read),
            "dtype": "+".join(name for name, code in DTYPES.items() if code in found),
            "integer_tensors": sorted(line.name for line in lines if line.dtype not in FLOATS),
            "tied": self.plan.tied,
            "inputs": [
                {
                    "model": input.name,
                    "weight": constant if constant is not None else _weight_of(self.job, input.name),
                    "tensors": len(input.checkpoint.entries),
                    "content": inputs.content(input),
                }
                for input in self._models
            ],
            "notes": [
                *self.plan.notes,
                *(self.tokens.notes if self.tokens else ()),
                *_adapter_notes(self.inputs),
                *_idle_filters(self.merge, self.job, [line.name for line in lines]),
                *unlike_companions(folders, self.donor.name, tokenizer=self.tokens is None),
            ],
            "base": self.inputs[-1].name if self.job.base else None,
            "base_content": inputs.content(self.inputs[-1]) if self.job.base else None,
        }


def open_output(merge: TensorMerge | PieceMerge | WholeModelMerge, job: MergeJob, inputs: Inputs) -> Output:
    """Check a job, plan its checkpoint, and find the shards that a stopped merge left. Raises DataError, AyaError."""
    _check(job, merge)
    models = [inputs.open(model) for model in job.models]
    base = inputs.open(job.base) if job.base else None
    every = (*models, *([base] if base else []))
    donor = base or models[0]
    if job.chat_template is not None:  # which is stored at the end
        choose_chat_template(job.chat_template, [input.folder for input in every])
    dtype = DTYPES[job.dtype] if job.dtype else None
    tokens = plan_vocabulary(every, len(models) if base else None, job.vocabulary)
    plan = plan_merge(donor, every, job.slices, tokens, dtype, job.allow)
    folder = (job.scratch or job.out) / ".shards"
    _begin(folder, _identity(job, merge, every, plan))
    shards = Shards(folder, {line.name: line.entry for line in plan.lines}, job.shard_bytes)
    for _, noted in shards.notes():
        for number, digests in noted.items():
            inputs.remember(every[int(number)], digests)
    return Output(merge, job, every, len(every) if merge.needs_base else len(models), plan, shards, tokens)


def unhashed(outputs: Sequence[Output], inputs: Inputs) -> list[tuple[Input, str]]:
    """List the tensors of all inputs whose digests have not been taken, each once."""
    models = {id(input.checkpoint): input for output in outputs for input in output.inputs}
    return [
        (input, name) for input in models.values() for name in input.checkpoint.entries if not inputs.knows(input, name)
    ]


def check_space(outputs: Sequence[Output]) -> None:
    """Raise AyaError where the outputs, with the files that go along, do not fit their disk."""
    needed: dict[int, int] = {}
    for output in outputs:
        device = output.shards.folder.stat().st_dev
        along = sum(
            file.stat().st_size for file in output.donor.folder.iterdir() if file.suffix in _GO_ALONG and file.is_file()
        )
        needed[device] = needed.get(device, 0) + output.shards.missing_bytes + along + _NOTES
        if shutil.disk_usage(output.shards.folder).free < needed[device]:
            raise no_space(output.job.out, needed[device])


def _check(job: MergeJob, merge: TensorMerge | PieceMerge | WholeModelMerge) -> None:
    if not job.models:
        raise AyaError("a merge needs at least one model")
    names = [model.name for model in job.models]
    if len(set(names)) < len(names):
        raise AyaError(f"models {names}: each needs a name of its own")
    if not all(math.isfinite(weight) for weight in job.weights.numbers):
        raise AyaError(f"weights {job.weights.written}: expected finite numbers")
    if job.weights.models is not None and job.weights.models != set(names):
        raise AyaError(f"weights are given for {sorted(job.weights.models)}; expected one for each of {names}")
    if job.dtype is not None and job.dtype not in DTYPES:
        raise AyaError(f"dtype '{job.dtype}': cannot store a merge in it; {did_you_mean(job.dtype, DTYPES)}")
    if merge.needs_base and job.base is None:
        raise AyaError("this merge works on differences from a base model; name it with `base:`")


def _identity(
    job: MergeJob, merge: TensorMerge | PieceMerge | WholeModelMerge, inputs: Sequence[Input], plan: MergePlan
) -> str:
    """Hash all that the shards depend on, weights by path, size and time of change."""
    files = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns)
        for input in inputs
        for file in (*input.checkpoint.files, *(input.adapter.files if input.adapter else ()))
    ]
    how = [type(merge).__qualname__, job.description, job.weights.written, job.seed, job.dtype, job.shard_bytes]
    return stable_hash(
        [files, how, job.slices, job.vocabulary.model_dump(mode="json"), [line.name for line in plan.lines]]
    )


def _begin(folder: Path, identity: str) -> None:
    """Open the folder of shards, emptied if they are another merge's."""
    mark = folder / "merge.json"
    try:
        is_ours = read_sealed(mark) == {"merge": identity}
    except (DamageError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        write_sealed(mark, {"merge": identity})


def _idle_filters(merge: object, job: MergeJob, names: Sequence[str]) -> list[str]:
    """Say which filters of settings are part of no tensor's name, so that what they are for never holds."""
    settings = getattr(merge, "settings", None)
    varying = {"weight": job.weights, **(dict(settings) if isinstance(settings, MergeStrategy) else {})}
    return [
        f"{setting}: the filter '{filter}' is part of no tensor's name, so what stands there holds nowhere"
        for setting, value in varying.items()
        if isinstance(value, MergeParameter)
        for filter in value.filters
        if not any(filter in name for name in names)
    ]


def _adapter_notes(inputs: Sequence[Input]) -> list[str]:
    return [f"{input.name}: {note}" for input in inputs if input.adapter for note in input.adapter.notes]


def _weight_of(job: MergeJob, model: str) -> Any:
    written = job.weights.written
    return written.get(model) if isinstance(written, Mapping) else written
