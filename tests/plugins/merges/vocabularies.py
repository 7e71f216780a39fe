"""Tiny tokenizers and checkpoints of different vocabularies, for the tests of merging them."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

ENGLISH = ("the cat sat on the mat and the dog sat on the log", "lower lowest newer newest wider widest")
TURKISH = ("kedi halının üstünde oturdu ve köpek kütüğün üstünde", "evler evlerin evlerimiz evlerimizden")
SPANISH = ("el gato se sentó en la alfombra y el perro en el tronco", "casas casita casitas casero caseros")
TEMPLATE = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"


@dataclass(frozen=True)
class Model:
    name: str
    folder: Path
    config: dict


def tokenizer_of(texts, special=("<s>", "</s>", "<pad>"), added=(), merges=40):
    """Train a byte-level BPE tokenizer on the spot."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(special) + merges,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    made.add_tokens([AddedToken(token, normalized=False) for token in added])
    return made


def save_tokenizer(folder, made, template=None, **roles):
    """Save a tokenizer as transformers does."""
    from transformers import PreTrainedTokenizerFast

    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", **roles}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, **roles)
    if template:
        wrapped.chat_template = template
    wrapped.save_pretrained(folder)
    return folder


def model_of(folder, made, *, padding=0, template=None, config=None, **roles):
    """Write the folder of a model without weights: tokenizer, config.json and generation_config.json."""
    save_tokenizer(folder, made, template, **roles)
    ids = {f"{role}_token_id": made.token_to_id(token) for role, token in (("bos", "<s>"), ("eos", "</s>"))}
    kind = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    written = {**kind, "vocab_size": made.get_vocab_size() + padding, **ids, **(config or {})}
    (folder / "config.json").write_text(json.dumps(written))
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": True, **ids}))
    return Model(folder.name, folder, written)


class InMemory:
    """A tensor as a Source, which notes what is read."""

    def __init__(self, tensor, dtype="F32"):
        self.tensor, self.dtype = tensor, dtype
        self.shape, self.bytes = tuple(tensor.shape), tensor.numel() * 4
        self.ranges = []

    def read(self, start, stop):
        assert 0 <= start < stop <= self.tensor.numel()
        self.ranges.append((start, stop))
        return self.tensor.reshape(-1)[start:stop].to(torch.float32, copy=True)
