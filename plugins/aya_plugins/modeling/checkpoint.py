"""Checkpoints on disk: reading them with errors that say what is missing, writing them whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)

from aya_core.api import DataError, model_folder
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.chat_templates import give_template, read_template
from aya_plugins.modeling.head import check_head
from aya_plugins.modeling.reward_heads import NAMES as HEAD_NAMES, GraftedRewardModel, find_head, unreadable
from aya_plugins.modeling.settings import CheckpointSettings
from aya_plugins.modeling.weights import (
    Where,
    explained,
    is_sent_weights,
    load_weights,
    load_whole,
    quiet,
    refuse,
    stored_shapes,
)

Loaded = TypeVar("Loaded", covariant=True)

GENERATION_CONFIG = "generation_config.json"
"""How a model is asked by default, and which tokens end its turns."""

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
    """Load a causal language model, in evaluation mode. dtype None keeps the checkpoint's own.

    Raises DataError, as all of these do, where tensors are missing, unexpected or of another shape.
    """
    model = load_whole(AutoModelForCausalLM, where, dtype=_stored(dtype)).to(device).eval()
    if not is_sent_weights():
        check_head(model, str(where))
    return model


def load_with_faults(
    where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu"
) -> tuple[Any, dict[str, list[str]]]:
    """Load a causal language model whose faults are told and not refused; see `load_weights`."""
    model, faults = load_weights(AutoModelForCausalLM, where, dtype=_stored(dtype))
    return model.to(device).eval(), {kind: list(names) for kind, names in faults.items()}


def load_reward_model(where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> Any:
    """Load a reward model that gives one or two values; see `reward_heads`. Raises DataError for anything else."""
    config, stored = load_config(where), stored_shapes(where)
    head = find_head(stored, config, where)
    if head is None and not _is_classifier(config):
        raise unreadable(
            where,
            _outside(stored),
            f"{_architecture(config)}; for a causal language model use the arbiter 'likelihood'",
        )
    has_class = type(config) in AutoModelForSequenceClassification._model_mapping
    if head is not None and not (has_class and head.tensors == ("score.weight",)):
        body, faults = load_weights(AutoModel, where, dtype=_stored(dtype))
        refuse(where, body, faults, lambda _, name: name in (*head.tensors, "lm_head.weight"))
        return GraftedRewardModel(body, head.load(where)).to(device).eval()
    if head is not None and not _names_labels(where):
        config.num_labels = head.values
    if config.num_labels not in (1, 2):
        raise unreadable(where, _outside(stored), f"{_architecture(config)} with {config.num_labels} labels")
    model, faults = load_weights(AutoModelForSequenceClassification, where, dtype=_stored(dtype), config=config)
    refuse(where, model, faults, lambda _, name: name == "lm_head.weight")  # which takes no part in the score
    return model.to(device).eval()


def load_router_model(where: Where, *, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> Any:
    """Load a sequence classifier with a label for each teacher. Raises DataError for anything else."""
    config = load_config(where)
    if config.num_labels < 2 or not _is_classifier(config):
        raise DataError(
            f"{where}: holds {_architecture(config)} with {config.num_labels} labels; expected a sequence classifier "
            "with a label for each teacher, as the trainer 'router' writes it"
        )
    return load_whole(AutoModelForSequenceClassification, where, dtype=_stored(dtype)).to(device).eval()


def load_unscored(
    where: Where,
    pad_id: int,
    *,
    num_labels: int = 1,
    otherwise: str = REWARD_OTHERWISE,
    tell: Callable[[Sequence[str]], object] = lambda new: None,
) -> Any:
    """Load any checkpoint as a sequence classifier; a head that it lacks, or has of another width, starts at random.

    The head is all outside the body, and an encoder's pooler. Heads that end in words are left out. Raises DataError for a family to
    which transformers gives no such class, and for a body that is not whole. otherwise: what to do instead of starting from another
    family. tell: is told the names of the tensors that start at random, where there are any.
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
    model, faults = load_weights(AutoModelForSequenceClassification, where, config=config, dtype=torch.float32)
    body = f"{model.base_model_prefix}."
    rewards = tuple(f"{name}." for name in HEAD_NAMES)

    def is_of_head(kind: str, name: str) -> bool:
        if kind == "unexpected":  # a head that gives scores is not thrown away
            return not name.startswith((body, *rewards))
        return (not name.startswith(body) or ".pooler." in name) and (kind == "missing" or has_other_head)

    refuse(where, model, faults, is_of_head)
    if new := [name.split(":")[0] for kind in ("missing", "mismatched") for name in faults.get(kind, ())]:
        tell(new)
    return model


def load_config(where: Where) -> Any:
    """Read the configuration of a checkpoint."""
    with explained(where, "configuration"):
        return AutoConfig.from_pretrained(model_folder(where))


def load_tokenizer(where: Where, *, must_fit: bool = True) -> Any:
    """Read the tokenizer of a checkpoint. Raises DataError for one that gives no token offsets, without vocabulary, or of another model.

    must_fit: whether a tokenizer of another model is refused here; who looks at its rows by itself need not.
    """
    with explained(where, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(model_folder(where))
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(f"{where}: its tokenizer has no tokenizer.json, which gives token offsets; {REMEDY}")
    _check_has_words(tokenizer, where)
    if must_fit and (model_folder(where) / "config.json").is_file():
        _check_fits(tokenizer, load_config(where), where)
    return tokenizer


def _check_fits(tokenizer: Any, config: Any, where: Where) -> None:
    """Refuse a tokenizer with tokens that the model has no embedding for, where texts or templates would use them.

    Added tokens may lie beyond if nothing writes them, as Gemma's for pictures.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows is None:
        return
    used = dict(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False))
    template = str(tokenizer.chat_template or "")
    special = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    used |= {
        token: place for token, place in tokenizer.get_added_vocab().items() if token in special or token in template
    }
    beyond = sorted((place, token) for token, place in used.items() if place >= rows)
    if beyond:
        place, token = beyond[-1]
        raise DataError(
            f"{where}: its tokenizer is another model's: {len(beyond)} of its tokens, up to {token!r} ({place}), have no embedding "
            f"(vocab_size {rows} in config.json); {REMEDY}, or resize the model's embeddings"
        )


def _check_has_words(tokenizer: Any, where: Where) -> None:
    """Refuse a tokenizer of special tokens alone: transformers makes one of nothing for some families where the files are missing."""
    words = set(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False))
    if not words - set(tokenizer.all_special_tokens) - set(tokenizer.get_added_vocab()):
        raise DataError(
            f"{where}: no tokenizer can be loaded from here: it has no tokens but special ones ({len(tokenizer)}), as its files "
            f"are missing (tokenizer.json, or vocab.json and merges.txt, or tokenizer.model); {REMEDY}"
        )


def load_encoder(
    where: Where, *, max_tokens: int, system: str | None = None, must_chat: bool = True,
    template_arguments: Mapping[str, Any] | None = None, chat_template: str | None = None,
    training_template: str | None = None, scratch: Path | None = None,
) -> ChatEncoder:  # fmt: skip
    """Read the tokenizer of a checkpoint, with the tokens that end its turns.

    must_chat: raise DataError for one without a chat template at once, not when it is first needed. chat_template: given to the
    tokenizer in place of its own, see `give_template`. training_template: a file, see `ChatEncoder`.
    """
    tokenizer = load_tokenizer(where)
    given = None
    if chat_template is not None:
        given = give_template(tokenizer, chat_template, str(where), lambda other: load_tokenizer(other, must_fit=False))
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
        scratch=scratch,
        training_template=None if training_template is None else read_template(Path(training_template)),
        given=given,
    )


def save_checkpoint(
    model: Any,
    state: Mapping[str, Tensor],
    tokenizer: Any,
    out: Path,
    *,
    card: str,
    dtype: torch.dtype | None,
    start: Path | None = None,
) -> None:
    """Write an ordinary checkpoint: weights, configurations, tokenizer, chat template and model card.

    state: the weights by the model's own names, gathered from all devices. dtype: None keeps theirs. start: what it was made of; a
    generation_config.json there that transformers reads but would not write is copied as it is.
    """
    if dtype is not None:
        state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        for name, twin in getattr(
            model, "all_tied_weights_keys", {}
        ).items():  # one tensor until now: two would both be written
            if name in state and twin in state:
                state[name] = state[twin]
    with quiet(), _generation_config_as_it_is(model, start, out):
        model.save_pretrained(out, state_dict=dict(state))
    if dtype is not None:  # save_pretrained names the dtype that training ran in
        config = out / "config.json"
        written = json.loads(config.read_text(encoding="utf-8"))
        written["dtype"] = str(dtype).removeprefix("torch.")
        config.write_text(json.dumps(written, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(out)
    (out / "README.md").write_text(card, encoding="utf-8")


def stored_dtype(start: Path) -> torch.dtype:
    """Say in which dtype a checkpoint is stored; the trained one is stored in the same."""
    dtype = load_config(start).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


@contextmanager
def _generation_config_as_it_is(model: Any, start: Path | None, out: Path) -> Iterator[None]:
    """Have a model saved whose generation config cannot be: with that of the start, byte by byte, but for tokens that it was given.

    Such ones are published: sampling settings beside `do_sample: false`, say, of which transformers warns when it reads them. A chat
    template that the model was given changed which tokens end its turns.
    """
    own = getattr(model, "generation_config", None)
    file = model_folder(start) / GENERATION_CONFIG if start is not None else None
    if own is None or file is None or not file.is_file() or _can_be_saved(own):
        yield
        return
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
    written = json.loads(file.read_text(encoding="utf-8"))
    given = {name: getattr(own, name) for name in ("eos_token_id", "pad_token_id") if getattr(own, name) is not None}
    if all(written.get(name) == value for name, value in given.items() if name in written or name == "eos_token_id"):
        shutil.copyfile(file, out / GENERATION_CONFIG)
        return
    text = json.dumps({**written, **given}, indent=2, ensure_ascii=False)
    (out / GENERATION_CONFIG).write_text(text + "\n", encoding="utf-8")


def _can_be_saved(config: GenerationConfig) -> bool:
    try:
        config.validate(strict=True)
        config.to_json_string()
    except Exception:  # of any kind: the file may hold values of any type
        return False
    return True


def _stored(dtype: torch.dtype | None) -> Any:
    """A dtype as transformers takes it: None is the checkpoint's own."""
    return "auto" if dtype is None else dtype


def _names_labels(where: Where) -> bool:
    """Whether a checkpoint's configuration says itself how many labels it has."""
    written = json.loads((model_folder(where) / "config.json").read_text(encoding="utf-8"))
    return "num_labels" in written or "id2label" in written


def _outside(stored: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The tensors that belong to no layer of a body: those with no number in their names, without norms and embeddings."""
    return {
        name: shape for name, shape in stored.items()
        if not any(part.isdigit() for part in name.split(".")[:-2]) and not re.search(r"embed|norm|wte|wpe|ln_f", name.lower())
    }  # fmt: skip


def _is_classifier(config: Any) -> bool:
    return "SequenceClassification" in _architecture(config)


def _architecture(config: Any) -> str:
    return str((config.architectures or ["a model without a name"])[0])


def _end_ids(where: Where) -> list[int]:
    if (model_folder(where) / GENERATION_CONFIG).is_file():
        with explained(where, "generation config"):
            found = GenerationConfig.from_pretrained(model_folder(where)).eos_token_id
    else:  # base models often come without one
        found = load_config(where).get_text_config().eos_token_id
    if found is None:
        return []
    return list(found) if isinstance(found, (list, tuple)) else [found]


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
