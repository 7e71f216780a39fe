"""Prompts as plain text, and classifiers over them: what is said of a prompt depends on it alone, in every family."""

import numpy
import pytest
import torch
from transformers import AutoTokenizer

from aya_core.api import DataError, Prompt, user_prompt
from aya_plugins.modeling.checkpoint import load_router_model, load_unscored
from aya_plugins.modeling.plain import PlainEncoder
from aya_plugins.modeling.prompt_classifier import classify, plain_encoder
from aya_plugins.modeling.rows import longest_row

ENCODERS = ("bert", "xlm-roberta", "modernbert", "distilbert")
DECODERS = ("llama", "qwen3", "gemma2")
TURNS = (("system", "zero"), ("user", "one two"), ("assistant", "three"), ("user", "four five"))


@pytest.fixture(scope="module")
def start(checkpoint, encoder_checkpoint):
    def make(family):
        if family in ENCODERS:
            return encoder_checkpoint(family)
        return checkpoint(family, **({"head_dim": 8, "num_key_value_heads": 2} if family == "qwen3" else {}))

    return make


def words(encoder, prompt):
    return encoder.tokenizer.convert_ids_to_tokens(encoder.prompts([prompt]).row(0))


@pytest.fixture(scope="module")
def encoder(encoder_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(encoder_checkpoint("bert"))
    return lambda max_tokens: PlainEncoder(tokenizer, max_tokens=max_tokens, where="here")


def test_a_conversation_is_read_without_its_system_message(encoder):
    prompt = Prompt("p", "en", tuple({"role": role, "content": text} for role, text in TURNS))
    assert words(encoder(100), prompt) == ["<s>", "one", "two", "three", "four", "five", "</s>"]


@pytest.mark.parametrize(
    ("max_tokens", "kept"),
    [(7, "one two three four five"), (6, "one two four five"), (5, "one four five"), (4, "one five"), (3, "five")],
)
def test_a_long_prompt_loses_its_middle_and_keeps_what_wraps_it(encoder, max_tokens, kept):
    prompt = user_prompt("p", "en", "one two three four five")
    assert words(encoder(max_tokens), prompt) == ["<s>", *kept.split(), "</s>"]
    assert encoder(max_tokens).prompts([prompt]).truncated.tolist() == [max_tokens < 7]


def test_an_empty_prompt_is_a_row_all_the_same(encoder, checkpoint):
    assert words(encoder(10), user_prompt("p", "en", "")) == ["<s>", "</s>"]
    bare = PlainEncoder(AutoTokenizer.from_pretrained(checkpoint("llama")), max_tokens=10, where="here")
    assert words(bare, user_prompt("p", "en", "")) == [bare.tokenizer.pad_token]
    assert len(bare.prompts([])) == 0


def test_a_tokenizer_without_padding_pads_with_the_end_of_sequence(encoder_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(encoder_checkpoint("bert"))
    tokenizer.pad_token = None
    assert PlainEncoder(tokenizer, max_tokens=10, where="here").pad_id == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="here: its tokenizer names neither pad_token nor eos_token"):
        PlainEncoder(tokenizer, max_tokens=10, where="here")


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
def test_what_is_said_of_a_prompt_does_not_depend_on_those_beside_it(start, counting, family):
    torch.manual_seed(0)
    encoder = plain_encoder(start(family), model := load_unscored(start(family), 1, num_labels=3), max_tokens=50)
    model.config.get_text_config().pad_token_id = encoder.pad_id
    encoded = encoder.prompts([row.prompt for row in counting])
    assert len(set(encoded.lengths)) > 1
    together = classify(model, encoded, numpy.arange(len(encoded)), encoder.pad_id, batch_tokens=10_000)
    alone = classify(model, encoded, numpy.arange(len(encoded)), encoder.pad_id, batch_tokens=1)
    some = classify(model, encoded, numpy.array([5, 2]), encoder.pad_id, batch_tokens=10_000)
    assert together.std() > 0.01
    numpy.testing.assert_allclose(together, alone, atol=1e-5)
    numpy.testing.assert_allclose(some, together[[5, 2]], atol=1e-5)


@pytest.mark.parametrize(("family", "longest"), [("bert", 40), ("xlm-roberta", 38)])
def test_the_longest_prompt_that_a_model_can_read_is_read(start, family, longest):
    """XLM-RoBERTa counts positions from its padding index, 1 here, so that two of them are never used."""
    model = load_unscored(start(family), 1, num_labels=2)
    assert longest_row(model) == longest
    encoder = plain_encoder(start(family), model, max_tokens=1000)
    encoded = encoder.prompts([user_prompt("p", "en", "one " * 100)])
    assert encoded.lengths.tolist() == [longest]
    assert numpy.isfinite(classify(model, encoded, numpy.arange(1), encoder.pad_id, batch_tokens=100)).all()


def test_a_head_of_another_width_is_replaced_and_a_fitting_one_kept(start, tmp_path):
    torch.manual_seed(0)
    load_unscored(start("llama"), 1, num_labels=3).save_pretrained(tmp_path)
    again = load_unscored(tmp_path, 1, num_labels=3)
    assert torch.equal(again.score.weight, load_router_model(tmp_path, dtype=None).score.weight)
    assert load_unscored(tmp_path, 1, num_labels=5).score.weight.shape == (5, 32)
