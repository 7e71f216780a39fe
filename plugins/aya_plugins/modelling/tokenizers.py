"""Tokenizers made from text, with the chat format of Cohere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from aya_core.api import AyaError
from aya_plugins.modelling import cohere_chat

BPE_DEFAULT_VOCABULARY = 32_000


def make_tokenizer(kind: str, vocab_size: int | None, texts: Sequence[str]) -> Any:
    """Make a tokenizer of a kind ("words" or "bpe") from texts. The same texts give the same tokenizer."""
    made = {"words": word_level, "bpe": byte_level}[kind](vocab_size, texts)
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in cohere_chat.SPECIAL_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=cohere_chat.BOS,
        eos_token=cohere_chat.END_OF_TURN,
        pad_token=cohere_chat.PAD,
        unk_token=cohere_chat.UNKNOWN if kind == "words" else None,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = cohere_chat.CHAT_TEMPLATE
    return tokenizer


def word_level(vocab_size: int | None, texts: Sequence[str]) -> Tokenizer:
    """One token for each word between spaces, commonest first; rarer words than fit are unknown."""
    counts = Counter(word for text in texts for word in text.split())
    words = [
        word
        for word in sorted(counts, key=lambda word: (-counts[word], word))
        if word not in cohere_chat.SPECIAL_TOKENS
    ]
    vocabulary = (*cohere_chat.SPECIAL_TOKENS, *words)[:vocab_size]
    if len(vocabulary) <= len(cohere_chat.SPECIAL_TOKENS):
        raise AyaError(
            f"trainer 'initialise': the tokenizer would know no word ({len(words)} in the rows, vocab_size "
            f"{vocab_size}, "
            f"of which {len(cohere_chat.SPECIAL_TOKENS)} are special); raise vocab_size or give rows with "
            "text"
        )
    made = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=cohere_chat.UNKNOWN)
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def byte_level(vocab_size: int | None, texts: Sequence[str]) -> Tokenizer:
    """Byte-level byte-pair encoding: no text is unknown."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    smallest = len(cohere_chat.SPECIAL_TOKENS) + len(alphabet)
    if vocab_size is not None and vocab_size < smallest:
        raise AyaError(
            f"trainer 'initialise': vocab_size {vocab_size} is too small for bpe, which starts from "
            f"{len(alphabet)} bytes "
            f"and {len(cohere_chat.SPECIAL_TOKENS)} special tokens; raise it to {smallest} or more"
        )
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size or BPE_DEFAULT_VOCABULARY,
        special_tokens=list(cohere_chat.SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made
