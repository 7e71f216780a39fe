"""Chats as tokens: one template, one BOS, answers found by offsets, ends guaranteed, nothing cut in silence."""

import json
import shutil

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from aya_core.api import DataError, user_prompt
from aya_plugins.modeling import chat_writer
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.modeling.tokenizers import make_tokenizer

PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def bytes_encoder():
    tokenizer = make_tokenizer(
        "bpe", 400, ["the cat sat on the mat", "die Katze saß auf der Matte", "猫がマットの上に座った"]
    )
    return ChatEncoder(tokenizer, [], max_tokens=500, where="bytes")


@pytest.fixture(scope="module")
def merging_encoder():
    """A tokenizer that merges "a" and "b", under a template that puts nothing between question and answer."""
    made = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "c": 2, "ab": 3, "</s>": 4}, merges=[("a", "b")]))
    made.pre_tokenizer = pre_tokenizers.Split("|", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    tokenizer.chat_template = PLAIN
    return ChatEncoder(tokenizer, [], max_tokens=50, where="merging")


def test_a_conversation_is_exactly_the_chat_template_with_one_bos(checkpoint):
    encoder = load_encoder(checkpoint(), max_tokens=100)
    encoded = encoder.answers([(user_prompt("1", "en", "next one"), "two")])
    expected = (
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>next one<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>two<|END_OF_TURN_TOKEN|>"
    )
    tokens = encoder.tokenizer.convert_ids_to_tokens(encoded.row(0))
    assert "".join(tokens).replace("nextone", "next one") == expected
    assert tokens.count("<BOS_TOKEN>") == 1
    assert tokens[encoded.answers[0] :] == ["two", "<|END_OF_TURN_TOKEN|>"]


def test_a_tokenizer_that_adds_bos_itself_gives_one_bos(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint(), tmp_path / "adds-bos")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    bos = tokenizer.bos_token_id
    saved = json.loads((folder / "tokenizer.json").read_text())
    saved["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<BOS_TOKEN>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<BOS_TOKEN>": {"id": "<BOS_TOKEN>", "ids": [bos], "tokens": ["<BOS_TOKEN>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    assert AutoTokenizer.from_pretrained(folder)("one").input_ids[0] == bos
    encoder = load_encoder(folder, max_tokens=100)
    prompt = user_prompt("1", "en", "next one")
    assert encoder.answers([(prompt, "two")]).row(0).count(bos) == 1
    assert encoder.prompts([prompt]).row(0).count(bos) == 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_the_answer_begins_at_the_first_token_that_holds_any_of_it(bytes_encoder, question, answer):
    prompt = user_prompt("1", "und", question)
    encoded = bytes_encoder.answers([(prompt, answer)])
    before = bytes_encoder.prompts([prompt]).row(0)
    ids = encoded.row(0)
    assert ids[: encoded.answers[0]] == before  # turns are divided by special tokens: nothing merges
    decoded = bytes_encoder.tokenizer.decode(ids[encoded.answers[0] :], skip_special_tokens=False)
    assert decoded == answer + "<|END_OF_TURN_TOKEN|>"


def test_a_token_across_the_border_counts_as_the_answers(merging_encoder):
    encoded = merging_encoder.answers([(user_prompt("1", "en", "ca"), "bc"), (user_prompt("2", "en", "ca"), "cb")])
    assert encoded.row(0) == [2, 3, 2, 4]  # c ab c </s>
    assert encoded.answers.tolist() == [1, 2]
    assert encoded.row(1) == [2, 0, 2, 1, 4]  # c a c b </s>


def test_an_end_that_the_template_omits_is_appended(merging_encoder):
    assert merging_encoder.answers([(user_prompt("1", "en", "c"), "c")]).row(0)[-1] == 4


def test_an_empty_answer_is_its_end_of_turn_alone(merging_encoder, checkpoint):
    encoded = merging_encoder.answers([(user_prompt("1", "en", "cc"), "")])
    assert (encoded.row(0), encoded.answer_tokens.tolist()) == ([2, 2, 4], [1])
    encoder = load_encoder(checkpoint(), max_tokens=100)
    assert encoder.answers([(user_prompt("1", "en", "one"), "")]).answer_tokens.tolist() == [1]


def test_what_a_template_writes_after_the_end_of_turn_is_dropped(checkpoint):
    encoder = load_encoder(checkpoint(kind="bpe", vocab_size=300), max_tokens=100)
    encoder.tokenizer.chat_template = encoder.tokenizer.chat_template.replace(
        "+ '<|END_OF_TURN_TOKEN|>' }}", "+ '<|END_OF_TURN_TOKEN|>\n' }}"
    )
    encoded = encoder.answers([(user_prompt("1", "en", "one"), "two")])
    assert encoder.tokenizer.decode(encoded.row(0)[encoded.answers[0] :]) == "two<|END_OF_TURN_TOKEN|>"


def test_what_a_reward_model_reads_is_the_template_to_its_last_token_in_training_as_in_judging(checkpoint):
    encoder = load_encoder(checkpoint(kind="bpe", vocab_size=300), max_tokens=100)
    encoder.tokenizer.chat_template = encoder.tokenizer.chat_template.replace(
        "+ '<|END_OF_TURN_TOKEN|>' }}", "+ '<|END_OF_TURN_TOKEN|>\n' }}"
    )
    pairs = [(user_prompt("1", "en", "one"), "two"), (user_prompt("2", "en", "one two"), "")]
    judged, trained = encoder.conversations(pairs), encoder.answers(pairs, is_whole=True)
    for place, (prompt, answer) in enumerate(pairs):
        turns = [*prompt.messages, {"role": "assistant", "content": answer}]
        whole = encoder.tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
        assert judged.row(place) == trained.row(place) == whole
        assert encoder.tokenizer.decode(whole[trained.answers[place] :]) == f"{answer}<|END_OF_TURN_TOKEN|>\n"


def test_an_end_token_inside_an_answer_does_not_cut_it_short(merging_encoder):
    encoded = merging_encoder.answers([(user_prompt("1", "en", "c"), "a</s>cb")])
    assert encoded.row(0) == [2, 0, 4, 2, 1, 4]


def test_truncation_is_marked_and_a_prompt_that_fills_all_has_no_answer():
    tokenizer = make_tokenizer("words", None, ["one two three"])
    encoder = ChatEncoder(tokenizer, [], max_tokens=9, where="short")
    pairs = [
        (user_prompt("fits", "en", "one"), "two"),
        (user_prompt("cut", "en", "one"), "two three one two"),
        (user_prompt("lost", "en", "one two three one two three"), "one"),
    ]
    encoded = encoder.answers(pairs)
    assert encoded.lengths.tolist() == [9, 9, 9]
    assert encoded.truncated.tolist() == [False, True, True]
    assert encoded.answer_tokens.tolist() == [2, 2, 0]


def test_a_system_message_comes_first():
    encoder = ChatEncoder(make_tokenizer("words", None, ["one"]), [], max_tokens=50, where="here", system="one")
    tokens = encoder.tokenizer.convert_ids_to_tokens(encoder.prompts([user_prompt("1", "en", "one")]).row(0))
    assert tokens[:5] == ["<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "one", "<|END_OF_TURN_TOKEN|>"]


def test_a_template_that_rewrites_the_prompt_is_refused():
    tokenizer = make_tokenizer("words", None, ["one"])
    tokenizer.chat_template = "{{ messages|length }}" + tokenizer.chat_template
    encoder = ChatEncoder(tokenizer, [], max_tokens=50, where="models/odd")
    with pytest.raises(DataError, match="models/odd: its chat template renders prompt 'p7' differently"):
        encoder.answers([(user_prompt("p7", "en", "one"), "one")])


def test_a_role_that_the_template_refuses_is_named():
    encoder = ChatEncoder(make_tokenizer("words", None, ["one"]), [], max_tokens=50, where="models/x")
    prompt = user_prompt("1", "en", "one")
    odd = type(prompt)("1", "en", ({"role": "tool", "content": "one"},))
    with pytest.raises(DataError, match=r"models/x: its chat template refuses a conversation .*tool"):
        encoder.prompts([odd])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("chat_template.jinja", "no chat template; copy tokenizer.json"),
        ("tokenizer.json", "tokenizer"),
    ],
)
def test_a_checkpoint_that_cannot_chat_says_what_to_copy(checkpoint, tmp_path, missing, message):
    folder = shutil.copytree(checkpoint(), tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=message) as raised:
        load_encoder(folder, max_tokens=10)
    assert str(folder) in str(raised.value)


def test_a_folder_without_a_model_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="expected a Hugging Face checkpoint"):
        load_encoder(tmp_path, max_tokens=10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_rows_do_not_depend_on_their_neighbors(bytes_encoder, rows):
    pairs = [(user_prompt(str(place), "und", question), answer) for place, (question, answer) in enumerate(rows)]
    together = bytes_encoder.answers(pairs)
    for place, one in enumerate(pairs):
        alone = bytes_encoder.answers([one])
        assert together.row(place) == alone.row(0)
        assert together.answers[place] == alone.answers[0]


OPENING = "{{% for m in messages %}}{}{{% endfor %}}{}"
TURN = "<|START_OF_TURN_TOKEN|>{{ m['role'] }}:\n{{ m['content'] }}<|END_OF_TURN_TOKEN|>"
MARKER = "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|>assistant:\\n' }}{% endif %}"


def test_a_template_without_a_generation_marker_is_refused_with_the_marker_that_mends_it():
    tokenizer = make_tokenizer("bpe", 300, ["one two"])
    tokenizer.chat_template = OPENING.format(TURN, "")
    pairs = [(user_prompt("1", "en", "one"), "two")]
    encoder = ChatEncoder(tokenizer, [], max_tokens=50, where="models/bare")
    with pytest.raises(DataError, match=r"models/bare: its chat template has no generation marker.*end chat") as raised:
        encoder.answers(pairs)
    assert str(raised.value).endswith(MARKER)
    tokenizer.chat_template = OPENING.format(TURN, MARKER)
    mended = ChatEncoder(tokenizer, [], max_tokens=50, where="models/bare").answers(pairs)
    assert tokenizer.decode(mended.row(0)[mended.answers[0] :]) == "two<|END_OF_TURN_TOKEN|>"


def test_what_a_reward_model_reads_needs_no_generation_marker():
    tokenizer = make_tokenizer("bpe", 300, ["one two"])
    tokenizer.chat_template = OPENING.format(TURN, "")
    encoder = ChatEncoder(tokenizer, [], max_tokens=50, where="models/bare")
    assert len(encoder.answers([(user_prompt("1", "en", "one"), "two")], is_whole=True)) == 1


def test_a_template_in_which_answers_follow_at_once_needs_no_generation_marker():
    """As Llama 2's: `[INST] question [/INST] answer </s>`."""
    tokenizer = make_tokenizer("bpe", 300, ["one two"])
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
    )
    encoded = ChatEncoder(tokenizer, [], max_tokens=50, where="here").answers([(user_prompt("1", "en", "one"), "two")])
    assert tokenizer.decode(encoded.row(0)[encoded.answers[0] :]) == " two <|END_OF_TURN_TOKEN|>"


def test_a_template_that_leaves_answers_out_is_refused():
    tokenizer = make_tokenizer("bpe", 300, ["one two"])
    tokenizer.chat_template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(DataError, match="models/mute: its chat template leaves out what the assistant says"):
        ChatEncoder(tokenizer, [], max_tokens=50, where="models/mute").answers([(user_prompt("1", "en", "one"), "two")])


ENDLESS = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}{{ messages }}"


def test_a_template_that_does_not_end_is_given_up(monkeypatch):
    """It comes with a model, from whoever made that."""
    tokenizer = make_tokenizer("bpe", 300, ["the cat sat"])
    tokenizer.chat_template = ENDLESS
    monkeypatch.setattr(chat_writer, "SECONDS", 0.5)
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    prompt = user_prompt("p", "en", "Hi")
    for ask in (lambda: encoder.prompts([prompt]), lambda: encoder.answers([(prompt, "Hello")], refuses=True)):
        with pytest.raises(
            DataError, match=r"here: its chat template takes longer than 1 s to write 1 conversation; look at"
        ):
            ask()
