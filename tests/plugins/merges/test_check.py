import hashlib
import json
import logging.handlers
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.api import DataError, MergeInput
from aya_core.testing.tiny import tiny_causal_lm
from aya_plugins.merges.runtime.perplexity import compare_perplexity, lines_of_file, perplexity_table

LINES = {
    "en": ["the cat sat on the mat", "dogs bark", "rain falls on the hill tonight"],
    "de": ["die katze schläft", "hunde bellen laut"],
    "el": ["η γάτα κοιμάται"],
}
TEXTS = [line for lines in LINES.values() for line in lines]


@pytest.fixture
def model(tmp_path):
    def make(name="a", family="llama", **settings):
        settings = {"texts": TEXTS, **settings}
        return MergeInput(name, tiny_causal_lm(tmp_path / name, family, **settings))

    return make


def edit(given, name, change):
    """Copy a model with other tensors."""
    folder = given.folder.with_name(name)
    shutil.copytree(given.folder, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return MergeInput(name, folder)


def scores(report, name):
    return {language: score["bits_per_byte"] for language, score in report["models"][name]["languages"].items()}


def independent(given, lines):
    """Bits per byte and perplexity of one language, from full logits, a line at a time."""
    model = AutoModelForCausalLM.from_pretrained(given.folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(given.folder)
    nats, tokens = 0.0, 0
    for line in lines:
        ids = [tokenizer.bos_token_id, *tokenizer(line, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logps = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        nats -= sum(float(logps[place, token]) for place, token in enumerate(ids[1:]))
        tokens += len(ids) - 1
    return nats / math.log(2) / sum(len(line.encode()) for line in lines), math.exp(nats / tokens), tokens


@pytest.mark.parametrize("family", ["llama", "cohere", "gemma2", "gpt2"])
def test_numbers_are_those_of_full_logits(model, family):
    given = model(family=family)
    report = compare_perplexity([given], LINES)
    assert report["models"]["a"]["faults"] == {}
    for language, lines in LINES.items():
        bits, perplexity, tokens = independent(given, lines)
        found = report["models"]["a"]["languages"][language]
        assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
        assert found["perplexity"] == pytest.approx(perplexity, rel=1e-4)
        assert found["tokens"] == tokens


def test_a_model_scores_as_itself_and_not_as_another(model):
    first = model("a")
    same = edit(first, "merged", lambda tensors: None)
    other = model("b", seed=3)
    report = compare_perplexity([same, first, other], LINES)
    assert list(report["models"]) == ["merged", "a", "b"]
    assert scores(report, "merged") == scores(report, "a")
    assert all(scores(report, "b")[language] != bits for language, bits in scores(report, "a").items())
    assert report == json.loads(json.dumps(report))


def test_tokens_that_a_tokenizer_puts_around_a_text_do_not_count(model):
    from tokenizers.processors import TemplateProcessing

    first = model()
    wrapping = edit(first, "wrapping", lambda tensors: None)
    tokenizer = AutoTokenizer.from_pretrained(wrapping.folder)
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<bos>", "<eos>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A <eos>", special_tokens=ids)
    tokenizer.save_pretrained(wrapping.folder)
    assert len(AutoTokenizer.from_pretrained(wrapping.folder)("dogs bark")["input_ids"]) == 4
    report = compare_perplexity([first, wrapping], LINES)
    assert report["same_tokens"]
    assert scores(report, "wrapping") == scores(report, "a")


def test_scores_do_not_depend_on_the_other_lines(model):
    given = model()
    alone = compare_perplexity([given], {"en": LINES["en"]})
    assert scores(alone, "a")["en"] == pytest.approx(scores(compare_perplexity([given], LINES), "a")["en"], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "missing", "model.norm.weight"),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(5)}),
            "mismatched",
            "model.norm.weight: (5,) in the file, (32,) expected",
        ),
    ],
)
def test_a_broken_result_is_reported_with_names_and_not_scored(model, change, kind, text):
    good = model()
    broken = edit(good, "merged", change)
    printed = logging.handlers.BufferingHandler(100)
    logging.getLogger("transformers").addHandler(printed)
    try:
        report = compare_perplexity([broken, good], LINES)
    finally:
        logging.getLogger("transformers").removeHandler(printed)
    assert not printed.buffer
    assert report["models"]["merged"] == {"faults": {kind: [text]}, "languages": {}}
    assert set(scores(report, "a")) == set(LINES)
    assert f"merged: {kind}: {text}" in perplexity_table(report)


def test_unexpected_tensors_are_reported_and_left_out(model):
    good = model()
    report = compare_perplexity(
        [edit(good, "merged", lambda tensors: tensors.update(extra=torch.ones(2))), good], LINES
    )
    assert report["models"]["merged"]["faults"] == {"unexpected": ["extra"]}
    assert scores(report, "merged") == scores(report, "a")


def test_values_that_are_not_finite_are_reported_by_language(model):
    good = model()
    word = AutoTokenizer.from_pretrained(good.folder)("bellen")["input_ids"][0]

    def spoil(tensors):
        tensors["model.embed_tokens.weight"][word] = math.nan

    report = compare_perplexity([edit(good, "merged", spoil), good], LINES)
    assert report["models"]["merged"]["faults"] == {"not finite": ["de"]}
    assert set(scores(report, "merged")) == {"en", "el"}
    json.dumps(report, allow_nan=False)


def test_tied_heads_are_not_missing(model):
    given = model(tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(given.folder / "model.safetensors")
    assert compare_perplexity([given], LINES)["models"]["a"]["faults"] == {}


def test_tokens_without_a_row_are_a_fault(model):
    good = model()
    vocabulary = len(AutoTokenizer.from_pretrained(good.folder))

    def shorten(tensors):
        tensors.update({n: value[:9].clone() for n, value in tensors.items() if len(value) == vocabulary})

    broken = edit(good, "merged", shorten)
    config = broken.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": 9}))
    report = compare_perplexity([broken, good], LINES)
    assert report["models"]["merged"]["faults"].keys() == {"tokens without a row"}
    assert "9 rows of embeddings" in perplexity_table(report)


def test_empty_and_long_lines_are_dropped_and_counted(model):
    given = model(max_position_embeddings=8)
    lines = {**LINES, "de": [*LINES["de"], "", "  \n", "hunde " * 8], "fr": []}
    report = compare_perplexity([given], lines)
    assert report["languages"]["de"] == {
        "lines": 2, "empty": 2, "too_long": 1, "bytes": sum(len(line.encode()) for line in LINES["de"])
    }  # fmt: skip
    assert report["languages"]["fr"] == {"lines": 0, "empty": 0, "too_long": 0, "bytes": 0}
    assert "fr" not in scores(report, "a")
    assert scores(report, "a") == pytest.approx(scores(compare_perplexity([given], LINES), "a"), rel=1e-6)
    table = perplexity_table(report)
    assert "Left out as empty: 2 lines" in table
    assert "Left out as too long: 1 lines" in table
    assert [row.split() for row in table.splitlines() if row.startswith("fr")] == [["fr", "0", "-"]]


def test_no_line_at_all_is_an_error(model):
    with pytest.raises(DataError, match="none of 1 lines can be scored"):
        compare_perplexity([model()], {"en": [" "]})


def test_the_table_gives_perplexity_only_where_tokens_agree(model):
    same = perplexity_table(compare_perplexity([model("a"), model("b", seed=1)], LINES))
    assert "perplexity per token); less is better" in same
    differ = compare_perplexity([model("c"), model("d", texts=[*reversed(TEXTS)])], LINES)
    assert not differ["same_tokens"]
    assert "perplexities per token cannot be compared" in perplexity_table(differ)
    assert "(" not in perplexity_table(differ)


def test_the_standard_error_is_that_of_a_ratio(model):
    report = compare_perplexity([model()], LINES)
    assert report["models"]["a"]["languages"]["el"]["standard_error"] is None
    given = MergeInput("a", model("again").folder)
    found = compare_perplexity([given], {"en": LINES["en"]})["models"]["a"]["languages"]["en"]
    sizes = [len(line.encode()) for line in LINES["en"]]
    bits = [independent(given, [line])[0] * size for line, size in zip(LINES["en"], sizes, strict=True)]
    rate = sum(bits) / sum(sizes)
    squares = sum((b - rate * size) ** 2 for b, size in zip(bits, sizes, strict=True))
    assert found["standard_error"] == pytest.approx(math.sqrt(3 / 2 * squares) / sum(sizes), rel=1e-3)


def test_an_input_with_an_adapter_is_scored_with_it_and_left_alone(model, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    given = model(tie_word_embeddings=True)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(given.folder), LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.5)
    adapted.save_pretrained(tmp_path / "lora")
    merged = tmp_path / "merged"
    shutil.copytree(given.folder, merged)
    PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(given.folder), tmp_path / "lora"
    ).merge_and_unload().save_pretrained(merged)
    before = hashlib.sha256((given.folder / "model.safetensors").read_bytes()).hexdigest()
    report = compare_perplexity(
        [MergeInput("merged", merged), MergeInput("adapted", given.folder, tmp_path / "lora"), given], LINES
    )
    assert scores(report, "adapted") == pytest.approx(scores(report, "merged"), rel=1e-5)
    assert scores(report, "adapted") != pytest.approx(scores(report, "a"), rel=1e-2)
    assert hashlib.sha256((given.folder / "model.safetensors").read_bytes()).hexdigest() == before


def test_lines_are_read_from_jsonl_and_parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [{"text": text, "language": language} for text in ("ab", "cd", "ef") for language in ("en", "de")]
    rows.insert(0, {"text": " ", "language": "en"})
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "lines.parquet")
    for name in ("lines.jsonl", "lines.parquet"):
        assert lines_of_file(tmp_path / name, per_language=2) == {"en": ["ab", "cd"], "de": ["ab", "cd"]}
    (tmp_path / "bad.jsonl").write_text('{"text": "ab", "language": "en"}\n{"text": "ab"}\n')
    with pytest.raises(DataError, match=r"bad.jsonl:2: no text in column 'language'"):
        lines_of_file(tmp_path / "bad.jsonl", per_language=2)
