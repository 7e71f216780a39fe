"""Chat templates that are given to tokenizers which have none or another."""

import pytest
import torch
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aya_core.api import AyaError, DataError, user_prompt
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.chat_templates import BUNDLED, fit_model, give_template
from aya_plugins.modeling.tokenizers import byte_level
from aya_plugins.trainers.runtime.chat_settings import NAMES
from aya_plugins.trainers.sft import Sft

ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "plain": "</s>",
}


def base(*special, template=None, adds_bos=False):
    """Make the tokenizer of a base model: bytes, an end of text, and maybe more special tokens."""
    made = byte_level(300, ["the cat sat on the mat"])
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>", *special)])
    if adds_bos:
        from tokenizers.processors import TemplateProcessing

        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = template
    return tokenizer


def given(tokenizer, source):
    return give_template(
        tokenizer, str(source), "here", load=lambda folder: PreTrainedTokenizerFast.from_pretrained(folder)
    )


def test_the_settings_know_the_names_that_there_are():
    assert tuple(BUNDLED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_template_writes_turns_whose_prompt_is_what_a_model_is_asked_by_and_that_end(name):
    tokenizer = base()
    size = len(tokenizer)
    made = given(tokenizer, name)
    assert made.end == tokenizer.eos_token == ENDS[name]
    assert sorted(made.added) == list(range(size, len(tokenizer)))
    assert set(made.added.values()) <= set(tokenizer.all_special_tokens) | {made.end}
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    prompt = user_prompt("p", "en", "Hi")
    encoded = encoder.answers([(prompt, "Hello")])
    ids, first = encoded.row(0), int(encoded.answers[0])
    assert ids[:first] == encoder.prompts([prompt]).row(0)
    assert tokenizer.decode(ids[first:]) == f"Hello{made.end}"
    assert encoded.unlike is None
    assert ids.count(tokenizer.bos_token_id) == 0
    longer = encoder.answers([(user_prompt("p", "en", "Hi"), "Hello")] * 2, learns_all=True)
    assert len(longer) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_that_begins_its_texts_begins_its_conversations(name):
    tokenizer = base(adds_bos=True)
    given(tokenizer, name)
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    ids = encoder.prompts([user_prompt("p", "en", "Hi")]).row(0)
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(ids[0]) == 1


def test_tokens_that_the_vocabulary_has_are_reused():
    tokenizer = base("<start_of_turn>", "<end_of_turn>")
    size = len(tokenizer)
    made = given(tokenizer, "gemma")
    assert (made.added, made.reused, len(tokenizer)) == ({}, ["<start_of_turn>", "<end_of_turn>"], size)
    assert "2 of its tokens are in the vocabulary" in str(made)


def test_a_file_gives_its_text_and_the_tokens_in_it(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|stop|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer = base()
    made = given(tokenizer, file)
    assert made.end == "<|stop|>"
    assert "<|stop|>" in made.added.values()
    assert "<|assistant|>" in made.added.values()


def test_the_tokenizer_of_another_model_gives_its_template_and_its_end(tmp_path):
    other = base(
        "<|im_start|>",
        "<|im_end|>",
        template="{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}{% endfor %}",
    )
    other.eos_token = "<|im_end|>"
    other.save_pretrained(tmp_path)
    tokenizer = base()
    made = given(tokenizer, tmp_path)
    assert made.end == "<|im_end|>"
    assert set(made.added.values()) == {"<|im_start|>", "<|im_end|>"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", AyaError, "leaves out what the assistant says"),
        ("{% for m in messages %}", AyaError, "cannot write a question and its answer"),
        ("", DataError, "is empty"),
    ],
)  # fmt: skip
def test_a_template_that_writes_no_answer_is_refused(tmp_path, text, error, message):
    file = tmp_path / "mine.jinja"
    file.write_text(text)
    with pytest.raises(error, match=message):
        given(base(), file)


def test_a_model_without_a_template_and_a_name_that_is_none_are_refused(tmp_path):
    base().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="its tokenizer has no chat template to take over"):
        given(base(), tmp_path)
    with pytest.raises(AyaError, match="did you mean 'chatml'"):
        given(base(), "chatlm")


def test_the_text_of_a_template_is_asked_for_as_a_file():
    with pytest.raises(ValueError, match=r"write it to a file that ends in \.jinja"):
        Sft(chat_template="{{ messages }}")


def test_tokens_with_a_bar_on_one_side_are_tokens_too(tmp_path):
    """As Gemma 4 writes its turns."""
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{% for m in messages %}{{ '<|turn>' + m.role + '\n' + m.content + '<turn|>\n' }}{% endfor %}"
        "{% if add_generation_prompt and 1 < 2 %}{{ '<|turn>assistant\n' }}{% endif %}"
    )
    made = given(base(), file)
    assert (made.end, set(made.added.values())) == ("<turn|>", {"<|turn>", "<turn|>"})


@pytest.mark.parametrize("from_folder", [False, True])
def test_an_end_of_text_after_the_last_turn_stays_what_it_was(tmp_path, from_folder):
    """As in Phi-3's template: turns end with a token of their own, and the conversation with the tokenizer's."""
    text = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
    )
    file = tmp_path / "mine.jinja"
    file.write_text(text)
    if from_folder:
        base("<|user|>", "<|assistant|>", "<|end|>", template=text).save_pretrained(tmp_path / "other")
        file = tmp_path / "other"
    tokenizer = base()
    assert given(tokenizer, file).end == "<|end|>"
    encoder = ChatEncoder(tokenizer, [tokenizer.convert_tokens_to_ids("</s>")], max_tokens=500, where="here")
    encoded = encoder.answers([(user_prompt("p", "en", "Hi"), "Hello")])
    assert tokenizer.decode(encoded.row(0)[int(encoded.answers[0]) :]) == "Hello<|end|>\n</s>"


def test_a_new_token_that_ends_turns_begins_as_the_one_that_ended_texts():
    """So a base model knows when to use it; all other new tokens begin at the mean of the old ones."""
    tokenizer = base()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    old = len(tokenizer)
    before = [table.weight[:old].clone() for table in (model.get_input_embeddings(), model.get_output_embeddings())]
    ended = tokenizer.eos_token_id
    made = given(tokenizer, "chatml")
    fit_model(model, tokenizer, made)
    end, start = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    for was, table in zip(before, (model.get_input_embeddings(), model.get_output_embeddings()), strict=True):
        assert torch.equal(table.weight[end], was[ended])
        assert torch.allclose(table.weight[start], was.mean(0), atol=1e-6)
        assert torch.equal(table.weight[:old], was)
    assert "that of '<|im_end|>' as that of '</s>'" in str(made)
