"""Tiny checkpoints, made on the spot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aya_core.testing.samples import sample_demonstrations, sample_preferences

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "cohere": {"logit_scale": 0.25},  # other than 1, so that a loss that forgets it shows
    "gemma2": {"head_dim": 8, "query_pre_attn_scalar": 8},
}
"""What a family needs beside the common sizes."""


def tiny_causal_lm(
    folder: Path, model_type: str = "cohere", *, texts: Iterable[str] | None = None, seed: int = 0, **config: Any
) -> Path:
    """Write an untrained causal language model of two layers, 32 wide, with a word-level tokenizer; return its folder.

    model_type: the family, as transformers names it. texts: what the tokenizer knows the words of; by default the
    sample rows. config: more of the model's configuration. Needs torch and transformers.
    """
    import torch
    import transformers

    tokenizer = _tokenizer(_sample_texts() if texts is None else texts)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,  # wide, so that an untrained model tells words apart
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    settings = {**sizes, **FAMILIES.get(model_type, {}), **config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(model_type, **settings), dtype=torch.float32
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = dict.fromkeys((*SPECIAL, *(word for text in texts for word in text.split())))
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _sample_texts() -> Iterable[str]:
    for row in sample_demonstrations():
        yield from (message["content"] for message in row.prompt.messages)
        yield row.completion
    yield from (row.rejected or "" for row in sample_preferences())
