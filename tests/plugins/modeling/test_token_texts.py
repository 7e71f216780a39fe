"""The text of each token: put together they are the row, byte for byte."""

import re

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from aya_core.api import user_prompt
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.pieces import TokenTexts
from aya_plugins.modeling.tokenizers import make_tokenizer


@pytest.fixture(scope="module")
def bytes_encoder():
    tokenizer = make_tokenizer("bpe", 320, ["the cat sat on the mat", "猫がマットの上に座った"])
    return ChatEncoder(tokenizer, [], max_tokens=1000, where="bytes")


def joined(pieces):
    """Bytes of texts in which `\\xe7` stands for a byte."""
    parts = re.split(r"\\x([0-9a-f]{2})", "".join(pieces))
    texts = [part.encode() if place % 2 == 0 else bytes([int(part, 16)]) for place, part in enumerate(parts)]
    return b"".join(texts)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), max_size=40)


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_the_texts_of_a_byte_level_row_are_the_conversation_byte_for_byte(bytes_encoder, question, answer):
    prompt = user_prompt("1", "und", question)
    ids = bytes_encoder.answers([(prompt, answer)]).row(0)
    pieces = TokenTexts(bytes_encoder.tokenizer).of(ids)
    assert len(pieces) == len(ids)
    turns = [*prompt.messages, {"role": "assistant", "content": answer}]
    assert joined(pieces).decode() == bytes_encoder.tokenizer.apply_chat_template(turns, tokenize=False)


def test_parts_of_a_character_stand_as_their_bytes_and_whole_ones_as_themselves():
    tokenizer = make_tokenizer("bpe", 264, ["a"])  # bytes alone
    ids = tokenizer("é a猫").input_ids
    assert TokenTexts(tokenizer).of(ids) == ["\\xc3", "\\xa9", " ", "a", "\\xe7", "\\x8c", "\\xab"]
    merged = make_tokenizer("bpe", 270, ["猫 猫 猫 猫"])
    assert TokenTexts(merged).of(merged("猫").input_ids) == ["猫"]


def test_words_have_the_spaces_between_them_and_special_tokens_their_names(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint())
    ids = tokenizer("<|USER_TOKEN|>next one<|END_OF_TURN_TOKEN|>one two three").input_ids
    assert TokenTexts(tokenizer).of(ids) == [
        "<|USER_TOKEN|>", "next", " one", "<|END_OF_TURN_TOKEN|>", "one", " two", " three",
    ]  # fmt: skip


def test_a_vocabulary_of_sentencepiece_shows_its_spaces_and_its_bytes():
    words = ["<s>", "\u2581", "a", "b", "\u2581a", *(f"<0x{byte:02X}>" for byte in range(256))]
    model = models.BPE({word: place for place, word in enumerate(words)}, [("\u2581", "a")], byte_fallback=True)
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")
    ids = tokenizer("ab a猫").input_ids
    assert TokenTexts(tokenizer).of(ids) == [" a", "b", " a", "\\xe7", "\\x8c", "\\xab"]
