"""Whole merges of models whose tokens differ."""

import json

import pytest
import torch
from checkpoints import load, merge
from ulps import assert_within_one_ulp
from vocabularies import ENGLISH, SPANISH, TEMPLATE, TURKISH, model_of, tokenizer_of

from aya_core.api import DataError, Vocabulary
from aya_plugins.merges import TaskArithmetic, Weighted

SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
}  # fmt: skip


def speaker(folder, texts, seed, *, tied=False, special=("<s>", "</s>", "<pad>"), **more):
    """Write a tiny Llama with a tokenizer of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    made = tokenizer_of(texts, special)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=made.get_vocab_size(), tie_word_embeddings=tied, **SIZES))
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.endswith("_token_id")}
    model_of(folder, made, config=config, **more)
    return folder


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def speakers(request, tmp_path):
    texts = {"english": ENGLISH, "turkish": TURKISH, "spanish": SPANISH}
    return [
        speaker(tmp_path / name, of, seed, tied=request.param, template=TEMPLATE)
        for seed, (name, of) in enumerate(texts.items())
    ]


def tokens_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder).get_vocab()


@pytest.mark.parametrize("source", ["union", "base"])
def test_every_row_of_the_merge_is_made_of_the_rows_of_its_token(source, speakers, out):
    merge(Weighted(), speakers, out, vocabulary=Vocabulary(source=source))
    merged = load(out)["model.embed_tokens.weight"]
    vocabulary = tokens_of(out)
    tables = [(load(folder)["model.embed_tokens.weight"], tokens_of(folder)) for folder in speakers]
    assert len(merged) == len(vocabulary) == json.loads((out / "config.json").read_text())["vocab_size"]
    assert set(vocabulary) == (set(tables[0][1]) if source == "base" else set().union(*(known for _, known in tables)))
    for token, row in vocabulary.items():
        known = [table[ids[token]] for table, ids in tables if token in ids]
        mean = sum(known) / len(known)
        expected = sum(table[ids[token]] if token in ids else mean for table, ids in tables) / len(tables)
        torch.testing.assert_close(merged[row], expected)


def test_the_merge_loads_and_speaks_all_languages(speakers, out):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    account = merge(Weighted(), speakers, out, vocabulary=Vocabulary(source="union"))
    model, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(out)
    for text in (*ENGLISH, *TURKISH, *SPANISH):
        ids = tokenizer(text, return_tensors="pt").input_ids
        assert tokenizer.decode(ids[0], skip_special_tokens=True) == text
        assert model(ids).logits.isfinite().all()
    assert tokenizer.chat_template == TEMPLATE
    assert {"tokenizer.json", "tokenizer_config.json", "generation_config.json"} <= set(account["copied"])
    assert json.loads((out / "generation_config.json").read_text())["do_sample"] is True


def test_special_ids_follow_their_tokens(tmp_path, out):
    models = [
        speaker(tmp_path / "a", ENGLISH, 0),
        speaker(tmp_path / "b", TURKISH, 1, special=("<pad>", "</s>", "<s>")),
    ]
    merge(Weighted(), models, out, vocabulary=Vocabulary(source="b"))
    for file in ("config.json", "generation_config.json"):
        ids = json.loads((out / file).read_text())
        assert (ids["bos_token_id"], ids["eos_token_id"]) == (2, 1)


def test_a_task_vector_of_a_token_that_the_model_lacks_is_none(tmp_path, out):
    base, model = speaker(tmp_path / "base", ENGLISH, 0), speaker(tmp_path / "model", TURKISH, 1)
    merge(TaskArithmetic(), [model], out, base=base, vocabulary=Vocabulary(source="base", missing="base"))
    merged, before = load(out)["lm_head.weight"], load(base)["lm_head.weight"]
    theirs, known = load(model)["lm_head.weight"], tokens_of(model)
    for token, row in tokens_of(base).items():
        assert_within_one_ulp(merged[row], theirs[known[token]] if token in known else before[row])


def test_different_tokens_are_refused_where_nothing_is_said(speakers, out):
    with pytest.raises(DataError, match="tokenizer: union, base, or a folder"):
        merge(Weighted(), speakers, out)


def test_another_template_is_stored(three, out):
    account = merge(Weighted(), three, out, chat_template="{{ messages }}")
    assert (out / "chat_template.jinja").read_text() == "{{ messages }}"
    assert "chat_template.jinja" in account["copied"]
