"""The vocabulary of a merge: which tokens it has, which row each model has for them, and what is written."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer
from vocabularies import ENGLISH, SPANISH, TEMPLATE, TURKISH, Model, model_of, save_tokenizer, tokenizer_of

from aya_core.api import AyaError, DataError, Vocabulary
from aya_plugins.merges.tokens.vocabulary import plan_vocabulary, vocabulary_tables

TEXTS = (
    "the cat sat on the log",
    "evlerimiz kütüğün üstünde",
    "los gatos en la alfombra",
    "newest 日本 ☃",
    " two  spaces ",
)


@pytest.fixture
def english(tmp_path):
    return model_of(tmp_path / "english", tokenizer_of(ENGLISH), template=TEMPLATE)


@pytest.fixture
def turkish(tmp_path):
    special = ("<pad>", "<s>", "</s>", "<|im_end|>")
    return model_of(tmp_path / "turkish", tokenizer_of(TURKISH, special, added=("<tool>",)))


def ids(model):
    return AutoTokenizer.from_pretrained(model.folder).get_vocab()


def written(plan, tmp_path, **options):
    out = tmp_path / "out"
    out.mkdir()
    plan.write(out, **options)
    return AutoTokenizer.from_pretrained(out)


def refused(pattern, models, base=0, error=AyaError, **settings):
    with pytest.raises(error, match=pattern):
        plan_vocabulary(models, base, Vocabulary(**settings))


@pytest.mark.parametrize("source", ["same", "base", "union"])
def test_one_vocabulary_changes_nothing(english, tmp_path, source):
    twin = model_of(tmp_path / "twin", tokenizer_of(ENGLISH))
    assert plan_vocabulary([english, twin], None, Vocabulary(source=source)) is None


def test_a_given_tokenizer_of_the_same_tokens_is_copied_byte_for_byte(english, tmp_path):
    given = save_tokenizer(tmp_path / "given", tokenizer_of(ENGLISH), template="{{ other }}")
    (given / "special_tokens_map.json").write_text('{"bos_token":   "<s>"}')
    plan = plan_vocabulary([english], None, Vocabulary(source=str(given)))
    assert plan.is_identity(0)
    assert plan.rows == english.config["vocab_size"]
    out = tmp_path / "out"
    out.mkdir()
    names = plan.write(out)
    assert sorted(path.name for path in given.iterdir()) == sorted(set(names) - {"generation_config.json"})
    assert all((out / path.name).read_bytes() == path.read_bytes() for path in given.iterdir())
    assert (out / "generation_config.json").read_bytes() == (english.folder / "generation_config.json").read_bytes()
    assert plan.config(english.config) == english.config


@pytest.mark.parametrize("base", [None, 0, 1])
def test_a_union_keeps_the_ids_of_the_base_and_appends_the_others_in_order(english, turkish, tmp_path, base):
    inputs = [english, turkish]
    donor, other = (turkish, english) if base == 1 else (english, turkish)
    plan = plan_vocabulary(inputs, base, Vocabulary(source="union"))
    union = written(plan, tmp_path).get_vocab()
    assert {token: union[token] for token in ids(donor)} == ids(donor)
    new = sorted(set(ids(other)) - set(ids(donor)), key=ids(other).get)
    assert new
    assert [union[token] for token in new] == list(range(len(ids(donor)), len(ids(donor)) + len(new)))
    assert len(union) == plan.rows == plan.config(donor.config)["vocab_size"]


@pytest.mark.parametrize("source", ["union", "base", "turkish"])
def test_rows_are_matched_by_token(english, turkish, tmp_path, source):
    spanish = model_of(tmp_path / "spanish", tokenizer_of(SPANISH, ("</s>", "<s>", "<pad>")), padding=3)
    models = [english, turkish, spanish]
    plan = plan_vocabulary(models, 0, Vocabulary(source=source))
    tokens = written(plan, tmp_path).get_vocab()
    for model, rows in zip(models, plan.maps, strict=True):
        own = ids(model)
        assert rows.dtype == np.int64
        assert rows.shape == (plan.rows,)
        assert {token: rows[index] for token, index in tokens.items()} == {
            token: own.get(token, -1) for token in tokens
        }


def test_a_permuted_vocabulary_is_undone(english, tmp_path):
    made = json.loads(tokenizer_of(ENGLISH, special=()).to_str())
    tokens = list(made["model"]["vocab"])
    ours = tmp_path / "ours"
    theirs = tmp_path / "theirs"
    for folder, seed in ((ours, 1), (theirs, 2)):
        random.Random(seed).shuffle(tokens)
        made["model"]["vocab"] = {token: index for index, token in enumerate(tokens)}
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(made))
    models = [Model(folder.name, folder, {"vocab_size": len(tokens)}) for folder in (ours, theirs)]
    plan = plan_vocabulary(models, 0, Vocabulary(source="union"))
    assert plan.is_identity(0)
    assert not plan.is_identity(1)
    assert sorted(plan.maps[1]) == list(range(len(tokens)))
    mine, other = (json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"] for folder in (ours, theirs))
    assert all(plan.maps[1][mine[token]] == other[token] for token in tokens)
    assert (ours / "tokenizer.json").read_bytes() == _copy(plan, tmp_path, "tokenizer.json")


def _copy(plan, tmp_path, name):
    out = tmp_path / "copy"
    out.mkdir()
    plan.write(out)
    return (out / name).read_bytes()


def test_what_a_union_encodes_it_decodes(english, turkish, tmp_path):
    plan = plan_vocabulary([english, turkish], 0, Vocabulary(source="union"))
    union = written(plan, tmp_path)
    for text in TEXTS:
        assert union.decode(union(text, add_special_tokens=False).input_ids) == text
    assert union.bos_token == "<s>"
    assert union.bos_token_id == ids(english)["<s>"]
    assert union.chat_template == TEMPLATE


def test_special_and_added_tokens_of_other_models_stay_what_they_are(english, turkish, tmp_path):
    union = written(plan_vocabulary([english, turkish], 0, Vocabulary(source="union")), tmp_path)
    kept = union("a<|im_end|><tool>b", add_special_tokens=False).input_ids
    assert union.convert_ids_to_tokens(kept) == ["a", "<|im_end|>", "<tool>", "b"]
    assert union.decode(kept, skip_special_tokens=True) == "a<tool>b"


def test_a_token_that_is_ordinary_in_the_base_and_added_elsewhere_becomes_added_under_its_id(english, tmp_path):
    chat = model_of(tmp_path / "chat", tokenizer_of(ENGLISH, added=("the",)))
    plan = plan_vocabulary([english, chat], 0, Vocabulary(source="union"))
    assert any("become added tokens, as they are in another model: 1 ('the')" in note for note in plan.notes)
    assert plan.is_identity(0)
    assert plan.is_identity(1)
    union = written(plan, tmp_path)
    assert union.get_vocab() == ids(english)
    assert union.get_added_vocab()["the"] == ids(english)["the"]


def test_a_token_that_only_tokenizer_config_names_has_the_id_that_transformers_gives_it(english, turkish, tmp_path):
    settings = json.loads((english.folder / "tokenizer_config.json").read_text())
    settings |= {"pad_token": "<late>", "mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True}}
    (english.folder / "tokenizer_config.json").write_text(json.dumps(settings))
    late = ids(english)
    assert {"<late>", "<mask>"} <= set(late)
    union = written(plan_vocabulary([english, turkish], 0, Vocabulary(source="union")), tmp_path).get_vocab()
    assert {token: union[token] for token in late} == late


class TestTheFilesOfATokenizer:
    def test_list_the_new_tokens_wherever_they_list_added_ones(self, english, turkish, tmp_path):
        path = english.folder / "tokenizer_config.json"
        known = ids(english)
        decoder = {known["<s>"]: {"content": "<s>", "special": True}}
        path.write_text(json.dumps({**json.loads(path.read_text()), "added_tokens_decoder": decoder}))
        (english.folder / "added_tokens.json").write_text("{}")
        union = written(plan_vocabulary([english, turkish], 0, Vocabulary(source="union")), tmp_path)
        listed = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["added_tokens_decoder"]
        assert {entry["content"]: int(index) for index, entry in listed.items()} == union.get_added_vocab()
        assert json.loads((tmp_path / "out" / "added_tokens.json").read_text()) == union.get_added_vocab()

    def test_follow_the_ids_where_these_move(self, english, turkish, tmp_path):
        config = {**english.config, "eos_token_id": [1, ids(english)["the"]], "text_config": {"pad_token_id": 2}}
        plan = plan_vocabulary([replace(english, config=config), turkish], 0, Vocabulary(source="turkish"))
        moved = plan.config(config)
        theirs = ids(turkish)
        assert "the" not in theirs
        assert moved["bos_token_id"] == theirs["<s>"]
        assert moved["eos_token_id"] == [theirs["</s>"]]
        assert moved["text_config"]["pad_token_id"] == theirs["<pad>"]
        assert moved["vocab_size"] == len(theirs)
        assert written(plan, tmp_path).get_vocab() == theirs
        generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
        assert generation == {"do_sample": True, "bos_token_id": theirs["<s>"], "eos_token_id": theirs["</s>"]}

    def test_carry_another_chat_template_where_one_is_asked_for(self, english, turkish, tmp_path):
        plan = plan_vocabulary([english, turkish], 0, Vocabulary(source="union"))
        assert written(plan, tmp_path, chat_template="{{ messages[0] }}").chat_template == "{{ messages[0] }}"


class TestPadding:
    def test_of_the_base_is_kept(self, turkish, tmp_path):
        base = model_of(tmp_path / "base", tokenizer_of(ENGLISH), padding=5)
        length = len(ids(base))
        plan = plan_vocabulary([turkish, base], 1, Vocabulary(source="base"))
        assert plan.is_identity(1)
        assert list(plan.padding) == list(range(length, length + 5))
        assert list(plan.maps[0][length:]) == [-1] * 5

    def test_is_that_of_each_model_that_has_it(self, tmp_path):
        special = ("<pad>", "<s>", "</s>")
        a = model_of(tmp_path / "a", tokenizer_of(ENGLISH), padding=5)
        b = model_of(tmp_path / "b", tokenizer_of(ENGLISH, special), padding=2)
        length = len(ids(a))
        plan = plan_vocabulary([a, b], 0, Vocabulary(source="base"))
        assert [list(rows[length:] - length) for rows in plan.maps] == [[0, 1, 2, 3, 4], [0, 1, *[-1 - length] * 3]]

    def test_makes_room_for_the_tokens_of_a_union(self, turkish, tmp_path):
        base = model_of(tmp_path / "base", tokenizer_of(ENGLISH), padding=200)
        plan = plan_vocabulary([base, turkish], 0, Vocabulary(source="union"))
        assert plan.rows == base.config["vocab_size"]
        assert plan.maps[0][len(ids(base))] == -1
        assert plan.maps[1][len(ids(base))] == ids(turkish)["<|im_end|>"]

    @pytest.mark.parametrize("source", ["same", "base"])
    def test_rounds_up_as_asked(self, english, source):
        plan = plan_vocabulary([english], None, Vocabulary(source=source, pad_to_multiple_of=64))
        assert plan.rows % 64 == 0
        assert 0 < plan.rows - english.config["vocab_size"] < 64
        assert not plan.is_identity(0)
        assert list(plan.new_padding) == list(range(english.config["vocab_size"], plan.rows))


def test_a_token_beyond_the_rows_of_its_model_is_one_it_lacks(english, tmp_path):
    made = tokenizer_of(ENGLISH, added=("<late>", "<later>"))
    short = model_of(tmp_path / "short", made, config={"vocab_size": made.get_vocab_size() - 1})
    plan = plan_vocabulary([english, short], 0, Vocabulary(source="union"))
    assert "<late>" in plan.tokenizer.tokens
    assert "<later>" not in plan.tokenizer.tokens
    alone = plan_vocabulary([short, english], 0, Vocabulary(source="base"))
    assert alone.rows == made.get_vocab_size()
    assert alone.maps[0][made.token_to_id("<later>")] == -1
    assert any("have a row in no model and get zeros: 1 ('<later>')" in note for note in alone.notes)


def test_conflicting_definitions_of_a_token_are_reported(tmp_path):
    a = model_of(tmp_path / "a", tokenizer_of(ENGLISH, added=("<tool>",)))
    b = model_of(tmp_path / "b", tokenizer_of(ENGLISH, added=("<tool>",)))
    path = b.folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"][-1]["lstrip"] = True
    path.write_text(json.dumps(content))
    plan = plan_vocabulary([a, b], 0, Vocabulary(source="union"))
    assert any("'b' defines otherwise" in note and "1 ('<tool>')" in note for note in plan.notes)
    assert not plan.extended


class TestTokensOfTheSettings:
    def test_are_added_with_the_definition_of_a_model_that_has_them(self, english, turkish, tmp_path):
        settings = Vocabulary(
            source="base", tokens={"<|im_end|>": {"source": "turkish"}, "<x>": {"source": {"kind": "zero"}}}
        )
        plan = plan_vocabulary([english, turkish], 0, settings)
        made = written(plan, tmp_path)
        assert made.get_vocab() == {**ids(english), "<|im_end|>": len(ids(english)), "<x>": len(ids(english)) + 1}
        assert made.decode([made.get_vocab()["<|im_end|>"]], skip_special_tokens=True) == ""
        assert plan.given[len(ids(english))] == (1, ids(turkish)["<|im_end|>"], False)
        assert plan.given[len(ids(english)) + 1].model is None

    def test_name_another_token_or_a_row(self, english, turkish):
        tokens = {
            "the": {"source": {"kind": "model_token", "model": "turkish", "token": "ev"}, "force": True},
            "cat": {"source": {"kind": "model_token", "model": "turkish", "token_id": 5}},
        }
        plan = plan_vocabulary([english, turkish], 0, Vocabulary(source="base", tokens=tokens))
        assert plan.given == {
            ids(english)["the"]: (1, ids(turkish)["ev"], True),
            ids(english)["cat"]: (1, 5, False),
        }
        assert not plan.is_identity(0)

    @pytest.mark.parametrize(
        ("source", "pattern"),
        [
            ("turkis", "no model 'turkis' in this merge; did you mean 'turkish'"),
            ("turkish", "'turkish' has no token 'Ġcat'"),
            ({"kind": "model_token", "model": "turkish", "token": "zzz"}, "'turkish' has no token 'zzz'"),
            ({"kind": "model_token", "model": "turkish", "token_id": 9999}, "row 9999 of model 'turkish', which has"),
        ],
    )
    def test_must_exist(self, english, turkish, source, pattern):
        refused(pattern, [english, turkish], source="base", tokens={"Ġcat": {"source": source}})

    @pytest.mark.parametrize(
        "source",
        [
            {"kind": "zero", "token": "a"},
            {"kind": "model_token", "model": "a"},
            {"kind": "model_token", "token": "a"},
            {"kind": "model_token", "model": "a", "token": "b", "token_id": 1},
            {"kind": "mean"},
        ],
    )
    def test_are_written_in_one_way(self, source):
        with pytest.raises(ValueError, match=r"token|kind"):
            Vocabulary(source="union", tokens={"<x>": {"source": source}})


class TestRefuses:
    def test_different_tokenizers_where_they_should_be_the_same(self, english, tmp_path):
        other = model_of(tmp_path / "other", tokenizer_of(ENGLISH, ("</s>", "<s>", "<pad>")))
        refused(r"differs between 'english' and 'other' \(token '</s>' is 1 and 0\); say whose", [english, other])

    def test_different_sizes_where_they_should_be_the_same(self, english, tmp_path):
        other = model_of(tmp_path / "other", tokenizer_of(ENGLISH), padding=1)
        refused("vocab_size is .* in 'english' and .* in 'other'; say whose tokens", [english, other])

    @pytest.mark.parametrize("source", ["same", "union"])
    def test_slow_tokenizers_that_differ(self, tmp_path, source):
        models = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "tokenizer.model").write_text(name)
            models.append(Model(name, tmp_path / name, {"vocab_size": 10}))
        pattern = "tokenizer.model differs" if source == "same" else "'a' has only tokenizer.model, a slow tokenizer"
        refused(pattern, models, error=DataError, source=source)
        (tmp_path / "b" / "tokenizer.model").write_text("a")
        assert plan_vocabulary(models, 0, Vocabulary(source=source)) is None

    def test_a_model_without_a_tokenizer(self, english, tmp_path):
        bare = Model("bare", tmp_path, {"vocab_size": 3})
        refused("model 'bare' has no tokenizer; rows are matched", [english, bare], source="union")

    def test_a_model_that_does_not_say_its_size(self, english, turkish):
        refused("no vocab_size in it", [english, replace(turkish, config={})], source="union")

    def test_a_source_that_is_nothing(self, english, tmp_path):
        refused("'unoin' is neither a model of this merge nor a folder", [english], source="unoin")
        refused("no tokenizer.json here", [english], source=str(tmp_path))

    def test_a_tokenizer_file_that_is_none(self, english, turkish):
        (turkish.folder / "tokenizer.json").write_text("[1")
        refused("tokenizer.json: not JSON", [english, turkish], source="union")
        (turkish.folder / "tokenizer.json").write_text('{"model": 3}')
        refused("tokenizer.json: not a tokenizer", [english, turkish], source="union")

    def test_to_add_tokens_where_ids_have_gaps(self, english, turkish):
        path = english.folder / "tokenizer.json"
        content = json.loads(path.read_text())
        content["model"]["vocab"]["Ġlog"] += 10
        path.write_text(json.dumps(content))
        refused("cannot add tokens to this tokenizer: .* its ids have gaps", [english, turkish], source="union")


@pytest.mark.parametrize("kind", [models.WordLevel, models.WordPiece, models.Unigram])
def test_tokenizers_of_any_kind_are_extended(kind, tmp_path):
    words = [["<unk>", "cat", "dog", "##s"], ["dog", "<unk>", "kedi", "##ler"]]
    found = []
    for name, known in zip("ab", words, strict=True):
        if kind is models.Unigram:
            made = Tokenizer(
                kind([(word, -1.0 - index) for index, word in enumerate(known)], unk_id=known.index("<unk>"))
            )
        else:
            made = Tokenizer(kind({word: index for index, word in enumerate(known)}, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        made.add_tokens([f"<{name}>"])
        folder = tmp_path / name
        folder.mkdir()
        made.save(str(folder / "tokenizer.json"))
        found.append(Model(name, folder, {"vocab_size": 5}))
    plan = plan_vocabulary(found, 0, Vocabulary(source="union"))
    (tmp_path / "out").mkdir()
    plan.write(tmp_path / "out")
    union = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert union.get_vocab() == {token: index for index, token in enumerate([*words[0], "<a>", "kedi", "##ler", "<b>"])}
    assert union.encode("dog kedi <b>").ids == [2, 5, 7]
    assert [list(rows) for rows in plan.maps] == [[0, 1, 2, 3, 4, -1, -1, -1], [1, -1, 0, -1, -1, 2, 3, 4]]


def test_ordinary_tokens_that_become_added_ones_are_reported(english, turkish):
    plan = plan_vocabulary([english, turkish], 0, Vocabulary(source="union"))
    new = set(ids(turkish)) - set(ids(english))
    appended, ordinary = plan.notes
    assert appended.startswith(f"tokens appended: {len(new)} ('<|im_end|>', ")
    assert f"wherever it stands: {len(new) - 2} (" in ordinary


def test_the_size_of_a_text_part_is_the_vocabularys(english, turkish):
    nested = {"model_type": "multimodal", "text_config": {"vocab_size": english.config["vocab_size"], "hidden_size": 8}}
    plan = plan_vocabulary([replace(english, config=nested), turkish], 0, Vocabulary(source="union"))
    changed = plan.config(nested)
    assert changed == {"model_type": "multimodal", "text_config": {"vocab_size": plan.rows, "hidden_size": 8}}
    both = plan.config({**nested, "vocab_size": 1})
    assert both["vocab_size"] == both["text_config"]["vocab_size"] == plan.rows


def test_vocabulary_tables_are_known_by_their_shape_and_place():
    ours = {
        "model.embed_tokens.weight": (50, 8),
        "lm_head.weight": (50, 8),
        "lm_head.bias": (50,),
        "model.norm.weight": (50,),
        "model.layers.0.mlp.weight": (50, 8),
        "model.position.weight": (60, 8),
        "scale": (),
    }
    theirs = {**ours, "model.embed_tokens.weight": (60, 8), "model.norm.weight": (60,), "lm_head.bias": (60,)}
    del theirs["lm_head.weight"]
    found = vocabulary_tables([ours, theirs], [50, 60])
    assert found == {"model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"}
