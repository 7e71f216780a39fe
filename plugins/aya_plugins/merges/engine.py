"""Lift a merge of one tensor to a merge of checkpoints: stream, account for every tensor, round once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aya_core.api import AyaError, DataError, MergeJob, PluginError, TensorMerge, did_you_mean
from aya_plugins.merges.agreement import Sources, agree
from aya_plugins.merges.card import model_card
from aya_plugins.merges.checkpoint import FLOATS, Checkpoint, Entry, open_checkpoint
from aya_plugins.merges.shards import MAX_SHARD_BYTES, write_shards
from aya_plugins.merges.sums import pieces

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""What a merge can be stored in, by torch's name and by safetensors'."""

COPIED = (
    "generation_config.json", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
    "chat_template.*", "additional_chat_templates/*", "*.py", "LICENSE*",
)  # fmt: skip
"""Files that go with the weights, beside config.json. *.py: the code of models that bring their own."""


@dataclass(frozen=True)
class StreamingMerge:
    """Merges whole checkpoints with a merge of one tensor.

    One tensor is merged at a time, in float32, and rounded once to the dtype it is stored in: that of
    `job.dtype`, or that which the same tensor has in the base, or in the first model where there is no base.
    Memory holds that tensor of every model in float32 and two merged ones. A merge that sets `is_elementwise
    = True` (each output value depends on the values at its place alone, and on no random number) gets flat
    pieces of some 260,000 values instead, so that its memory does not grow with the model.

    The merged checkpoint has the tensors, config, tokenizer and chat template of the base, or of the first
    model; all others must have the same tensors. A tensor that some models leave out because it is tied
    (`lm_head.weight` as a copy of the embedding) is not a difference. Integer tensors must be equal and are
    copied. No architecture is known by name.

    The files written depend on the weights, the settings and the seed; not on threads, shards or paths.
    """

    tensor_merge: TensorMerge
    max_shard_bytes: int = MAX_SHARD_BYTES

    def merge(self, job: MergeJob) -> Mapping[str, Any]:
        """Write the merged checkpoint and return the account. Raises DataError where that cannot be done."""
        _check(job, self.tensor_merge)
        models = [open_checkpoint(folder) for folder in job.models]
        base = open_checkpoint(job.base) if job.base else None
        donor = base or models[0]
        sources = agree(donor, [*models, *([base] if base else [])])
        entries = _planned(donor, job.dtype)
        run = _Run(self.tensor_merge, job, models, base if self.tensor_merge.needs_base else None, sources, entries)
        files = write_shards(job.out, entries, self.max_shard_bytes, run.merged)
        copied = _copy_files(donor, job.out, job.dtype)
        account = {
            "tensors": len(entries),
            "parameters": sum(entry.values for entry in entries.values()),
            "bytes_read": sum(
                model.entries[sources.of(model, name)].bytes for model in run.read_models for name in entries
            ),
            "bytes_written": sum(path.stat().st_size for path in files),
            "dtype": _dtypes_of(entries),
            "copied": copied,
            "integer_tensors": sorted(name for name, entry in entries.items() if entry.dtype not in FLOATS),
            "tied": dict(sources.tied),
            "inputs": [
                {"model": model.name, "weight": weight, "tensors": len(model.entries)}
                for model, weight in zip(models, job.weights, strict=True)
            ],
            "base": base.name if base else None,
        }
        card = model_card(getattr(self.tensor_merge, "settings", None), job.seed, account)
        (job.out / "README.md").write_text(card, encoding="utf-8")
        return account


def tensor_key(seed: int, name: str) -> int:
    """Make the 64-bit seed of one tensor from the seed of the merge and the tensor's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


@dataclass(frozen=True)
class _Run:
    """One merge under way: everything that is needed to make one output tensor."""

    tensor_merge: TensorMerge
    job: MergeJob
    models: Sequence[Checkpoint]
    base: Checkpoint | None
    sources: Sources
    entries: Mapping[str, Entry]

    @property
    def read_models(self) -> list[Checkpoint]:
        """The checkpoints whose tensors are read."""
        return [*self.models, *([self.base] if self.base else [])]

    def merged(self, name: str) -> Tensor:
        """Make one output tensor."""
        import torch

        entry = self.entries[name]
        inputs = [model.read(self.sources.of(model, name)) for model in self.read_models]
        if entry.dtype not in FLOATS or entry.values == 0:
            return self._common(name, inputs)
        out = torch.empty(entry.shape, dtype=_torch_dtype(entry.dtype))
        # The key of a tied tensor is that of its twin, so that random merges keep them equal.
        key = tensor_key(self.job.seed, self.sources.tied.get(name, name))
        if getattr(self.tensor_merge, "is_elementwise", False):
            flats = [tensor.reshape(-1) for tensor in inputs]
            for piece in pieces(entry.values):
                self._merge_into(out.view(-1)[piece], [flat[piece] for flat in flats], key, name)
        else:
            self._merge_into(out, inputs, key, name)
        return out

    def _merge_into(self, out: Tensor, inputs: Sequence[Tensor], key: int, name: str) -> None:
        import torch

        wide = [tensor.to(torch.float32) for tensor in inputs]
        for model, tensor in zip(self.read_models, wide, strict=True):
            if not _is_finite(tensor):
                raise DataError(
                    f"model '{model.name}': tensor '{self.sources.of(model, name)}' has NaN or infinite "
                    "values; its training broke, or its file is damaged"
                )
        base = wide.pop() if self.base else None
        merged = self.tensor_merge(wide, self.job.weights, base, key)
        if merged.shape != out.shape or not merged.is_floating_point():
            raise PluginError(
                f"merge '{type(self.tensor_merge).__name__}' made {merged.dtype} of shape "
                f"{tuple(merged.shape)} of '{name}'; expected floating point of shape {tuple(out.shape)}"
            )
        out.copy_(merged)
        if not _is_finite(out):
            raise DataError(
                f"merged tensor '{name}' has values that {str(out.dtype).removeprefix('torch.')} "
                "cannot hold; store it in bfloat16 or float32, or make the weights smaller"
            )

    def _common(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        import torch

        for model, tensor in zip(self.read_models, inputs, strict=True):
            if not torch.equal(tensor, inputs[0]):
                raise DataError(
                    f"integer tensor '{name}' differs between '{self.read_models[0].name}' and "
                    f"'{model.name}'; integers are copied, not merged, so all models must have the same"
                )
        return inputs[0]


def _check(job: MergeJob, merge: TensorMerge) -> None:
    if not job.models:
        raise AyaError("a merge needs at least one model")
    if len(job.weights) != len(job.models):
        raise AyaError(f"got {len(job.models)} models and {len(job.weights)} weights; expected one weight per model")
    if not all(math.isfinite(weight) for weight in job.weights):
        raise AyaError(f"weights {list(job.weights)}: expected finite numbers")
    if job.dtype is not None and job.dtype not in DTYPES:
        raise AyaError(f"dtype '{job.dtype}': cannot store a merge in it; {did_you_mean(job.dtype, DTYPES)}")
    if merge.needs_base and job.base is None:
        raise AyaError("this merge works on differences from a base model; name it with `base:`")


def _planned(donor: Checkpoint, dtype: str | None) -> dict[str, Entry]:
    return {
        name: entry._replace(dtype=DTYPES[dtype]) if dtype and entry.dtype in FLOATS else entry
        for name, entry in donor.entries.items()
    }


def _dtypes_of(entries: Mapping[str, Entry]) -> str:
    """Name the dtype of the merged tensors; several are joined."""
    found = {entry.dtype for entry in entries.values()}
    return "+".join(name for name, code in DTYPES.items() if code in found)


def _torch_dtype(code: str) -> torch.dtype:
    import torch

    return {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[code]


def _is_finite(tensor: Tensor) -> bool:
    # One pass in the usual case: NaN and infinity survive a sum. A sum may overflow by itself, hence the
    # second look.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _copy_files(donor: Checkpoint, out: Path, dtype: str | None) -> list[str]:
    """Copy what goes with the weights, and name it; config.json tells the new dtype."""
    config = dict(donor.config)
    if dtype:
        config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (out / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    copied = ["config.json"]
    for path in sorted({path for pattern in COPIED for path in donor.folder.glob(pattern) if path.is_file()}):
        name = path.relative_to(donor.folder)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(path.read_bytes())
        copied.append(name.as_posix())
    return copied
