"""Tokenizers made from text, with the chat format of Aya Expanse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from aya_core.api import AyaError

PAD, UNKNOWN, BOS = "<PAD>", "<UNK>", "<BOS_TOKEN>"
START_OF_TURN, END_OF_TURN = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
ROLE_TOKENS = {"system": "<|SYSTEM_TOKEN|>", "user": "<|USER_TOKEN|>", "assistant": "<|CHATBOT_TOKEN|>"}

SPECIAL_TOKENS = (PAD, UNKNOWN, BOS, START_OF_TURN, END_OF_TURN, *ROLE_TOKENS.values())
"""In the order of their ids, from 0."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    f"{{% set roles = {ROLE_TOKENS} %}}"
    "{% for message in messages %}"
    "{% if message['role'] not in roles %}"
    "{{ raise_exception('no turn for the role ' + message['role']) }}"
    "{% endif %}"
    f"{{{{ '{START_OF_TURN}' + roles[message['role']] + message['content'] + '{END_OF_TURN}' }}}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    f"{{{{ '{START_OF_TURN}{ROLE_TOKENS['assistant']}' }}}}"
    "{% endif %}"
)
"""A turn is <|START_OF_TURN_TOKEN|>, its role, its text, <|END_OF_TURN_TOKEN|>; the last is the eos, too.

Source: Aryabumi et al. 2024 (Aya 23), arXiv 2405.15032, figure 2; the token names are those of the released
tokenizer.
"""

BPE_DEFAULT_VOCABULARY = 32_000


def make_tokenizer(kind: str, vocab_size: int | None, texts: Sequence[str]) -> Any:
    """Make a tokenizer of a kind ("words" or "bpe") from texts. The same texts give the same tokenizer."""
    made = {"words": word_level, "bpe": byte_level}[kind](vocab_size, texts)
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=BOS,
        eos_token=END_OF_TURN,
        pad_token=PAD,
        unk_token=UNKNOWN if kind == "words" else None,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def word_level(vocab_size: int | None, texts: Sequence[str]) -> Tokenizer:
    """One token for each word between spaces, commonest first; rarer words than fit are unknown."""
    counts = Counter(word for text in texts for word in text.split())
    words = [word for word in sorted(counts, key=lambda word: (-counts[word], word)) if word not in SPECIAL_TOKENS]
    vocabulary = (*SPECIAL_TOKENS, *words)[:vocab_size]
    if len(vocabulary) <= len(SPECIAL_TOKENS):
        raise AyaError(
            f"trainer 'initialize': the tokenizer would know no word ({len(words)} in the rows, vocab_size "
            f"{vocab_size}, "
            f"of which {len(SPECIAL_TOKENS)} are special); raise vocab_size or give rows with "
            "text"
        )
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def byte_level(vocab_size: int | None, texts: Sequence[str]) -> Tokenizer:
    """Byte-level byte-pair encoding: no text is unknown."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    smallest = len(SPECIAL_TOKENS) + len(alphabet)
    if vocab_size is not None and vocab_size < smallest:
        raise AyaError(
            f"trainer 'initialize': vocab_size {vocab_size} is too small for bpe, which starts from "
            f"{len(alphabet)} bytes "
            f"and {len(SPECIAL_TOKENS)} special tokens; raise it to {smallest} or more"
        )
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size or BPE_DEFAULT_VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made
