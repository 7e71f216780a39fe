"""Loading weights, with all of them there: transformers starts at random what files lack, and leaves out what it has no place for."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations import is_fsdp_enabled
from transformers.modeling_utils import is_local_dist_rank_0
from transformers.utils import logging

from aya_core.api import DataError, check_fetched, model_folder
from aya_plugins.modeling.memory import is_out_of_memory

Where = str | os.PathLike[str]
"""A checkpoint: a folder, or an id on the hub."""

Faults = Mapping[str, Sequence[str]]
"""The tensors in which files and architecture differ: `missing`, `unexpected` or `mismatched`. Kinds without any are not there."""

Excused = Callable[[str, str], bool]
"""Says of a kind of fault and a tensor's name whether it is no fault here."""

SHOWN = 6
"""Names that a message shows of each kind; the rest are counted."""

UNREADABLE = (
    OSError, ValueError, KeyError, AttributeError, EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError, StrictDataclassError,
)  # fmt: skip
"""What the libraries raise of files that are cut short, are not what their names say, or hold settings that do not belong together."""

WORDS = {
    "missing": "missing, which would start at random",
    "unexpected": "unexpected, which would be left out",
    "mismatched": "of another shape, which would start at random",
}


def load_weights(auto: Any, where: Where, **options: Any) -> tuple[Any, Faults]:
    """Load a model with a class of transformers', and list the tensors in which its files and its architecture differ.

    A head tied to the embeddings is not missing, nor are buffers unexpected that the architecture no longer stores. Where another process
    sends this one its share of the weights, the model has none of its own, and no fault is looked for.
    """
    if is_sent_weights():
        return _without_weights(auto, where, **options), {}
    with explained(where, "model"), quiet(), _silent():
        model, found = auto.from_pretrained(
            model_folder(where), output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    if found["error_msgs"]:
        raise DataError(f"{where}: its weights cannot be read: {'; '.join(map(str, found['error_msgs']))}")
    faults = {
        "missing": sorted(found["missing_keys"]),
        "unexpected": sorted(found["unexpected_keys"]),
        "mismatched": sorted(
            f"{name}: {tuple(stored)} in the file, {tuple(expected)} expected"
            for name, stored, expected in found["mismatched_keys"]
        ),
    }
    return model, {kind: names for kind, names in faults.items() if names}


def is_sent_weights() -> bool:
    """Whether another process of this machine reads checkpoints, and sends this one its share (FSDP)."""
    return is_fsdp_enabled() and not is_local_dist_rank_0()


def _without_weights(auto: Any, where: Where, *, config: Any = None, dtype: Any = None, **options: Any) -> Any:
    """Make a model whose weights take no memory: each is one 0, repeated.

    On the meta device they would all lie at the address 0, by which accelerate tells the optimizer's parameters apart. Buffers are whole.
    """
    from accelerate import init_empty_weights  # which only training needs

    with explained(where, "model"):
        config = config or AutoConfig.from_pretrained(model_folder(where))
    dtype = config.dtype if dtype in (None, "auto") else dtype
    with init_empty_weights(include_buffers=False), _silent():
        model = auto.from_config(config, **({"dtype": dtype} if dtype else {}))
    repeated: dict[int, torch.nn.Parameter] = {}  # weights under two names stay one
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in repeated:
                zero = torch.zeros(1, dtype=parameter.dtype).expand(parameter.shape)
                repeated[id(parameter)] = torch.nn.Parameter(zero, requires_grad=parameter.requires_grad)
            setattr(module, name, repeated[id(parameter)])
    model.tie_weights()
    return model.eval()


def load_whole(auto: Any, where: Where, **options: Any) -> Any:
    """Load a model. Raises DataError with their names where tensors are missing, unexpected or of another shape."""
    model, faults = load_weights(auto, where, **options)
    refuse(where, model, faults)
    return model


def refuse(where: Where, model: Any, faults: Faults, excused: Excused = lambda kind, name: False) -> None:
    """Raise DataError where there are faults, with the names of their tensors. excused: says which do not count."""
    found = {kind: [name for name in names if not excused(kind, name)] for kind, names in faults.items()}
    listed = [f"{WORDS[kind]}: {_some(names)}" for kind, names in found.items() if names]
    if listed:
        raise DataError(
            f"{where}: its tensors are not those of {type(model).__name__} ({'; '.join(listed)}); expected a checkpoint whose files "
            "and config.json belong together: save the model again (save_pretrained), or take the files of the model it was made of"
        )


def check_whole(where: Where) -> None:
    """Compare a causal language model's files with its architecture, without reading weights. Raises DataError as `load_whole` does.

    Quantized weights, and families that transformers does not know as causal language models, are not looked at.
    """
    with explained(where, "configuration"):
        config = AutoConfig.from_pretrained(model_folder(where))
    if type(config) in AutoModelForCausalLM._model_mapping and not hasattr(config, "quantization_config"):
        load_whole(AutoModelForCausalLM, where, device_map="meta")


def stored_shapes(where: Where) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors in a checkpoint's files, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    with explained(where, "model"):
        for file in _files(where):
            if file.suffix == ".safetensors":
                with safe_open(file, framework="pt") as opened:
                    shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            else:
                shapes |= {name: tuple(tensor.shape) for name, tensor in _unpickled(file).items()}
    return shapes


def stored_tensors(where: Where, names: Sequence[str]) -> dict[str, Tensor]:
    """Read some tensors of a checkpoint."""
    found: dict[str, Tensor] = {}
    for file in _files(where):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                found |= {name: opened.get_tensor(name) for name in names if name in opened.keys()}  # noqa: SIM118
        else:
            tensors = _unpickled(file)
            found |= {name: tensors[name] for name in names if name in tensors}
    return found


def _files(where: Where) -> list[Path]:
    """The files that transformers reads weights from. Raises DataError where there is none."""
    folder = model_folder(where)
    for name in (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ):
        file = folder / name
        if file.is_file() and file.suffix != ".json":
            return [file]
        if file.is_file():
            weights = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
            return [folder / name for name in sorted(set(weights.values()))]
    raise DataError(f"{where}: no weights; expected model.safetensors, or shards with their index")


def _unpickled(file: Path) -> Mapping[str, Tensor]:
    can_map = zipfile.is_zipfile(file)  # files of torch 1.5 and earlier are no archives
    tensors: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=can_map)
    return tensors


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def explained(where: Where, what: str) -> Iterator[None]:
    """Say of errors in reading something where that was, and what was expected. what: is read."""
    try:
        yield
    except UNREADABLE as error:
        if is_out_of_memory(error):
            raise
        for file in filter(Path.is_file, sorted(Path(where).glob("*"))):
            check_fetched(file)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{where}: no {what} can be loaded from here ({reason}); expected a "
            "Hugging Face checkpoint: config.json, safetensors and tokenizer files"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show no progress bars of transformers'."""
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep transformers' table of loading faults to itself: they are told otherwise."""
    was = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(was)
