"""Reward models of any family: what transformers says of one answer, whatever it is batched with."""

import json
import shutil

import numpy
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from aya_core.api import DataError, Prompt, user_prompt
from aya_plugins.modeling.checkpoint import load_unscored
from aya_plugins.modeling.classifier import Classifier
from aya_plugins.modeling.settings import CheckpointSettings

WORDS = ["how", "many", "legs", "has", "a", "spider", "eight", "or", "six", "I", "do", "not", "know", "?", "."]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "initializer_range": 0.3, "num_labels": 1, "vocab_size": len(SPECIAL) + len(WORDS),
}  # fmt: skip
ENCODERS = {
    "bert": {},  # token types
    "xlm-roberta": {"type_vocab_size": 1},  # positions count from the padding's number
    "deberta-v2": {"type_vocab_size": 0, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 32},
    "electra": {"embedding_size": 32},
    "modernbert": {"global_attn_every_n_layers": 1},
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4},
}  # fmt: skip
TYPED = {"bert", "electra", "deberta-v2"}  # of which the last has types in its tokenizer alone
INPUTS = ["input_ids", "attention_mask"]
PAIRS = [
    (user_prompt("1", "en", "how many legs has a spider ?"), "eight"),
    (user_prompt("1", "en", "how many legs has a spider ?"), "I do not know how many legs a spider has ."),
    (user_prompt("2", "en", "legs"), ""),
    (user_prompt("3", "en", "six or eight ?"), "six . I do not know . eight or six"),
]


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # DeBERTa's code


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Make a tiny encoder with one label and no chat template; returns its folder."""

    def make(family, **config):
        folder = tmp_path_factory.mktemp(family)
        made = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s>:0 $A:0 </s>:0 $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=made, cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
            padding_side="right", model_input_names=[*INPUTS, "token_type_ids"] if family in TYPED else INPUTS,
        ).save_pretrained(folder)  # fmt: skip
        settings = {**SIZES, "pad_token_id": 1, **ENCODERS[family], **config}
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **settings))
        for parameter in model.parameters():  # an untrained head hardly tells answers apart
            torch.nn.init.normal_(parameter, std=0.2) if parameter.dim() > 1 else None
        model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def decoder(checkpoint, tmp_path_factory):
    """Make a tiny decoder with one label; returns its folder."""

    def make(family="llama"):
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        load_unscored(checkpoint(family, num_key_value_heads=2), 0).save_pretrained(folder)
        AutoTokenizer.from_pretrained(checkpoint(family, num_key_value_heads=2)).save_pretrained(folder)
        return folder

    return make


def load(where, dtype="float32", **settings):
    settings = {"max_tokens": 100, "system": None, **settings}
    return Classifier(CheckpointSettings(model=str(where), dtype=dtype, device="cpu"), **settings)


def score(classifier, pairs):
    encoded = classifier.encoder.conversations(pairs)
    assert not encoded.truncated.any()
    found = classifier(encoded, numpy.arange(len(pairs)))
    assert len({round(float(one), 4) for one in found}) == len(pairs)  # the model does tell them apart
    return found


def edit(folder, name, **settings):
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_reads_question_and_answer_as_a_pair(encoder, family):
    folder = encoder(family)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = score(load(folder), PAIRS)
    for (prompt, answer), ours in zip(PAIRS, found, strict=True):
        inputs = tokenizer(
            [prompt.text], [answer], return_tensors="pt"
        )  # outside lists, it takes "" for no second text
        with torch.no_grad():
            assert ours == pytest.approx(model(**inputs).logits.item(), abs=1e-5)


@pytest.mark.parametrize("family", [*ENCODERS, "llama", "gemma2", "mistral"])
def test_a_score_does_not_depend_on_its_neighbors(encoder, decoder, family):
    classifier = load(encoder(family) if family in ENCODERS else decoder(family))
    together = score(classifier, PAIRS)
    alone = [score(classifier, [pair])[0] for pair in PAIRS]
    backwards = score(classifier, PAIRS[::-1])[::-1]
    assert together == pytest.approx(alone, abs=1e-5)
    assert backwards == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(
    "padding", ["the model's own", "other than the tokenizer's", "none in the model", "none at all"]
)
def test_a_decoder_reads_its_score_at_the_last_token_of_the_template(decoder, tmp_path, padding):
    folder = shutil.copytree(decoder(), tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text(
        template.read_text().replace("<|END_OF_TURN_TOKEN|>' }}", "<|END_OF_TURN_TOKEN|>' }}{{ ' six' }}")
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if padding == "other than the tokenizer's":
        edit(folder, "config.json", pad_token_id=tokenizer.unk_token_id)
    if padding.startswith("none"):
        edit(folder, "config.json", pad_token_id=None)
    if padding == "none at all":
        edit(folder, "tokenizer_config.json", pad_token=None)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for (prompt, answer), ours in zip(PAIRS, score(load(folder), PAIRS), strict=True):
        turns = [*prompt.messages, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            assert ours == pytest.approx(model(ids).logits.item(), abs=1e-5)


def test_a_template_that_rewrites_the_prompt_is_no_matter_where_no_answer_is_sought(decoder, tmp_path):
    folder = shutil.copytree(decoder(), tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text("{{ messages|length }}" + template.read_text())
    assert numpy.isfinite(score(load(folder), PAIRS)).all()


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_system_message_comes_before_the_conversation(encoder, decoder, family):
    folder = encoder(family) if family == "bert" else decoder(family)
    turns = ({"role": "system", "content": "how many"}, *PAIRS[0][0].messages)
    asked = score(load(folder), [(Prompt("1", "en", turns), "eight")])
    assert score(load(folder, system="how many"), PAIRS[:1]) == pytest.approx(asked)
    assert asked != pytest.approx(score(load(folder), PAIRS[:1]))


def test_a_conversation_without_a_chat_format_is_its_messages_divided_by_blank_lines(encoder):
    classifier = load(encoder("bert"), system="know .")
    contents = ["has", "six", "or eight ?"]
    turns = tuple(
        {"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), contents, strict=True)
    )
    encoded = classifier.encoder.conversations([(Prompt("1", "en", turns), "eight")])
    tokenizer = classifier.encoder.tokenizer
    assert encoded.row(0) == tokenizer("know .\n\nhas\n\nsix\n\nor eight ?", "eight").input_ids
    assert tokenizer.decode(encoded.row(0)[encoded.answers[0] :]) == "eight </s>"


def test_positions_that_count_from_the_paddings_number_leave_fewer_tokens(encoder):
    long = [(user_prompt("1", "en", "legs " * 70), "six")]
    for family, positions in (("xlm-roberta", 62), ("bert", 64)):
        classifier = load(encoder(family))
        encoded = classifier.encoder.conversations(long)
        assert (encoded.lengths.tolist(), encoded.truncated.tolist()) == ([positions], [True])
        assert numpy.isfinite(classifier(encoded, numpy.arange(1))).all()


def test_scores_in_bfloat16_keep_more_than_its_8_bits(decoder):
    classifier = load(decoder(), dtype="bfloat16")
    found = score(classifier, PAIRS)
    assert classifier._model.dtype == torch.bfloat16
    assert (torch.tensor(found).bfloat16().float().numpy() != found).any()
    assert found == pytest.approx(score(load(decoder()), PAIRS), rel=0.1, abs=0.1)


def test_a_model_that_can_read_neither_chats_nor_pairs_is_refused(encoder, tmp_path):
    whole = encoder("bert")
    left = shutil.copytree(whole, tmp_path / "left")
    edit(left, "tokenizer_config.json", padding_side="left")
    with pytest.raises(DataError, match="pads on the left; expected an encoder"):
        load(left)
    lone = shutil.copytree(whole, tmp_path / "lone")
    edit(lone, "tokenizer_config.json", sep_token=None)
    with pytest.raises(DataError, match="no chat template, and no separator token"):
        load(lone)
