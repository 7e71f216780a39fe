"""Checkpoints on disk: reading them with errors that say what is missing, writing them whole."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.utils import logging

from aya_core.api import DataError
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.head import check_head
from aya_plugins.modeling.settings import CheckpointSettings

Where = str | os.PathLike[str]
"""A checkpoint: a folder, or an id on the hub."""

Loaded = TypeVar("Loaded", covariant=True)

REMEDY = "copy tokenizer.json, tokenizer_config.json and chat_template.jinja from the model it was made of"
"""What helps where a tokenizer is not whole."""

REWARD_OTHERWISE = ", or set `score: likelihood`, by which a causal language model is its own reward model"


class Load(Protocol[Loaded]):
    """One way to load a checkpoint."""

    def __call__(self, where: Where, *, dtype: torch.dtype | None, device: torch.device) -> Loaded:
        """Load it. dtype None keeps the checkpoint's own."""


def load_model(settings: CheckpointSettings, load: Load[Loaded]) -> Loaded:
    """Load the checkpoint that settings name, in their precision and on their device. load: as what, by a function below."""
    device = _device(settings.device)
    return load(settings.model, dtype=_dtype(settings.dtype, device), device=device)


def load_causal_lm(where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> Any:
    """Load a causal language model, in evaluation mode. dtype None keeps the checkpoint's own."""
    model = _load(AutoModelForCausalLM, where, dtype, device)
    check_head(model, str(where))
    return model


def load_with_faults(
    where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu"
) -> tuple[Any, dict[str, list[str]]]:
    """Load a causal language model, and list the tensors in which its files and its architecture differ.

    The lists are `missing` (started at random), `unexpected` (left out) and `mismatched` (of another shape, started at
    random); only those that name something are there. A head tied to the embeddings is not missing.
    """
    with _explained(where, "model"), _quiet(), _silent():
        model, found = AutoModelForCausalLM.from_pretrained(
            where, dtype="auto" if dtype is None else dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    faults = {
        "missing": sorted(found["missing_keys"]),
        "unexpected": sorted(found["unexpected_keys"]),
        "mismatched": sorted(
            f"{name}: {tuple(stored)} in the file, {tuple(expected)} expected"
            for name, stored, expected in found["mismatched_keys"]
        ),
    }
    return model.to(device).eval(), {kind: names for kind, names in faults.items() if names}


def load_reward_model(where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> Any:
    """Load a sequence classifier with one label. Raises DataError for anything else."""
    config = load_config(where)
    if config.num_labels != 1 or not _is_classifier(config):
        raise DataError(
            f"{where}: holds {_architecture(config)} with {config.num_labels} labels; expected a sequence classifier "
            "with one "
            "label. For a causal language model use the arbiter 'likelihood'"
        )
    return _load(AutoModelForSequenceClassification, where, dtype, device)


def load_router_model(where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> Any:
    """Load a sequence classifier with a label for each teacher. Raises DataError for anything else."""
    config = load_config(where)
    if config.num_labels < 2 or not _is_classifier(config):
        raise DataError(
            f"{where}: holds {_architecture(config)} with {config.num_labels} labels; expected a sequence classifier "
            "with a label for each teacher, as the trainer 'router' writes it"
        )
    return _load(AutoModelForSequenceClassification, where, dtype, device)


def load_unscored(where: Where, pad_id: int, *, num_labels: int = 1, otherwise: str = REWARD_OTHERWISE) -> Any:
    """Load any checkpoint as a sequence classifier; a head that it lacks, or has of another width, starts at random.

    Raises DataError for a family to which transformers gives no such class. otherwise: what to do instead of starting
    from another family.
    """
    config = load_config(where)
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise DataError(
            f"{where}: transformers has no sequence classifier for '{config.model_type}' models; start from "
            f"another family{otherwise}"
        )
    has_other_head = _is_classifier(config) and config.num_labels != num_labels
    config.num_labels = num_labels
    config.get_text_config().pad_token_id = pad_id  # the model finds the last token of a row by it
    with _explained(where, "model"), _quiet():
        return AutoModelForSequenceClassification.from_pretrained(
            where, config=config, dtype=torch.float32, ignore_mismatched_sizes=has_other_head
        )


def load_config(where: Where) -> Any:
    """Read the configuration of a checkpoint."""
    with _explained(where, "configuration"):
        return AutoConfig.from_pretrained(where)


def load_tokenizer(where: Where) -> Any:
    """Read the tokenizer of a checkpoint. Raises DataError for one that gives no token offsets."""
    with _explained(where, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(where)
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(f"{where}: its tokenizer has no tokenizer.json, which gives token offsets; {REMEDY}")
    return tokenizer


def load_encoder(
    where: Where, *, max_tokens: int, system: str | None = None, must_chat: bool = True,
    template_arguments: Mapping[str, Any] | None = None,
) -> ChatEncoder:  # fmt: skip
    """Read the tokenizer of a checkpoint, with the tokens that end its turns.

    must_chat: raise DataError for one without a chat template at once, not when it is first needed.
    """
    tokenizer = load_tokenizer(where)
    if must_chat and not tokenizer.chat_template:
        raise DataError(f"{where}: its tokenizer has no chat template; {REMEDY}")
    if tokenizer.eos_token_id is None:
        raise DataError(f"{where}: its tokenizer names no eos_token; add one to tokenizer_config.json")
    longest = getattr(load_config(where).get_text_config(), "max_position_embeddings", None) or max_tokens
    return ChatEncoder(
        tokenizer,
        _end_ids(where),
        max_tokens=min(max_tokens, longest),
        where=str(where),
        system=system,
        template_arguments=template_arguments,
    )


def save_checkpoint(
    model: Any,
    state: Mapping[str, Tensor],
    tokenizer: Any,
    out: Path,
    *,
    card: str,
    dtype: torch.dtype | None,
) -> None:
    """Write an ordinary checkpoint: weights, configurations, tokenizer, chat template and model card.

    state: the weights by the model's own names, gathered from all devices. dtype: None keeps theirs.
    """
    if dtype is not None:
        state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with _quiet():
        model.save_pretrained(out, state_dict=dict(state))
    if dtype is not None:  # save_pretrained names the dtype that training ran in
        config = out / "config.json"
        written = json.loads(config.read_text(encoding="utf-8"))
        written["dtype"] = str(dtype).removeprefix("torch.")
        config.write_text(json.dumps(written, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(out)
    (out / "README.md").write_text(card, encoding="utf-8")


def parents(where: Path) -> list[str]:
    """Name the public models that a checkpoint descends from.

    That is its own hub id, where it lies in a download cache; else what its card says.
    """
    if not where.exists():
        return [where.as_posix()]  # an id on the hub
    for part in reversed(where.parts):
        if part.startswith("models--"):
            return ["/".join(part.split("--")[1:])]
    card = where / "README.md"
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else []
    if "base_model:" not in lines:
        return []
    names = []
    for line in lines[lines.index("base_model:") + 1 :]:
        if not line.startswith("- "):
            break
        names.append(line[2:].strip().strip("\"'"))
    return names


def _load(auto: Any, where: Where, dtype: torch.dtype | None, device: torch.device | str) -> Any:
    with _explained(where, "model"), _quiet():
        model = auto.from_pretrained(where, dtype="auto" if dtype is None else dtype)
    return model.to(device).eval()


def _is_classifier(config: Any) -> bool:
    return "SequenceClassification" in _architecture(config)


def _architecture(config: Any) -> str:
    return str((config.architectures or ["a model without a name"])[0])


def _end_ids(where: Where) -> list[int]:
    try:
        found = GenerationConfig.from_pretrained(where).eos_token_id
    except OSError:  # base models often come without one
        found = load_config(where).get_text_config().eos_token_id
    if found is None:
        return []
    return list(found) if isinstance(found, (list, tuple)) else [found]


@contextlib.contextmanager
def _explained(where: Where, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{where}: no {what} can be loaded from here ({str(error).strip().splitlines()[0]}); expected a "
            "Hugging Face checkpoint: config.json, safetensors and tokenizer files"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep transformers' table of loading faults to itself, for who reports them otherwise."""
    was = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(was)


def _device(name: str) -> torch.device:
    """Turn a setting into a device; "auto" is the GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(name: str, device: torch.device) -> torch.dtype | None:
    """Turn a setting into a dtype; "auto" keeps the checkpoint's (None), but on a CPU is float32.

    bfloat16 products on a CPU without such instructions can be 100 times slower than float32.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else None
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype
