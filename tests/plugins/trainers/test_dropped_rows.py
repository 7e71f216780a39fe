"""Bad rows: counted by reason and left out, or refused before anything is trained."""

import shutil

import numpy
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.api import DataError, Demonstration, Preference, user_prompt
from aya_plugins.modeling import checkpoint as checkpoints, weights
from aya_plugins.modeling.rows import RowGatherer
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.runtime.dropping import why_not_rows
from aya_plugins.trainers.sft import Sft


def prompt(id, words="next one"):
    return user_prompt(id, "en", words)


BAD = [
    Preference(prompt("long", "next " * 60 + "one"), "one", "two"),
    Preference(prompt("same"), "one two", "one two"),
    Preference(prompt("space"), "one  two\n", "one two"),
    Preference(prompt("tail"), "one two " * 20 + "three", "one two " * 20 + "four"),  # alike as far as they are read
]
ACCOUNT = {
    "truncated_rows": 2,
    "dropped_rows": 4,
    "dropped/prompt too long": 1,
    "dropped/chosen equals rejected": 2,
    "dropped/chosen equals rejected as tokens": 1,
}


@pytest.mark.parametrize("settings", [PreferenceTraining, RewardTraining])
def test_bad_pairs_are_counted_by_reason_and_change_nothing_that_is_learned(
    checkpoint, pairs, rows_folder, run_trainer, settings
):
    job = {"start": checkpoint("llama"), "seed": 2}
    if settings is PreferenceTraining:
        job["objective"] = Dpo().build()
    trainer = settings(steps=2, batch_rows=8, max_tokens=40, learning_rate=1e-3)
    clean, before = run_trainer(trainer, rows_folder(pairs), **job)
    mixed, after = run_trainer(trainer, rows_folder([BAD[0], *pairs[:9], *BAD[1:3], *pairs[9:], BAD[3]]), **job)
    assert {name: after[name] for name in after if name.startswith(("dropped", "truncated"))} == ACCOUNT
    assert {name: before[name] for name in before if name.startswith(("dropped", "truncated"))} == {
        "dropped_rows": 0, "truncated_rows": 0,
    }  # fmt: skip
    assert after["rows"] == before["rows"] + len(BAD)
    one, other = (load_file(folder / "model.safetensors") for folder in (clean, mixed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "dropped/prompt too long: 1." in (mixed / "README.md").read_text()


def test_demonstrations_without_an_answer_left_are_counted_by_reason(checkpoint, counting, rows_folder, run_trainer):
    rows = [*counting, Demonstration(prompt("long", "next " * 60), "one")]
    _, measures = run_trainer(Sft(steps=1, max_tokens=40), rows_folder(rows), start=checkpoint())
    assert (measures["dropped_rows"], measures["dropped/prompt too long"], measures["truncated_rows"]) == (1, 1, 1)


def test_pairs_of_which_none_is_left_say_why_and_what_to_do(checkpoint, rows_folder, run_trainer):
    with pytest.raises(
        DataError, match=r"all 4 rows are dropped \(chosen equals rejected: 2, chosen .* pairs of answers"
    ):
        run_trainer(
            PreferenceTraining(max_tokens=40), rows_folder(BAD), start=checkpoint(), objective=Dpo().build()
        )  # fmt: skip


def test_an_answer_for_which_the_template_writes_nothing_is_no_answer(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path
):
    start = shutil.copytree(checkpoint("llama"), tmp_path / "bare")
    (start / "chat_template.jinja").write_text("{% for m in messages %} {{ m['content'] }}{% endfor %}")
    rows = [*pairs, Preference(prompt("empty"), "one", "")]
    _, measures = run_trainer(RewardTraining(steps=1, batch_rows=4), rows_folder(rows), start=start)
    assert (measures["dropped_rows"], measures["dropped/no answer token"]) == (1, 1)


def test_reasons_of_rows_worked_by_hand():
    rows = RowGatherer(4)
    for length, answer in ((4, 2), (6, 5), (3, 3), (1, 0), (2, 0)):  # the first token of a row is never scored
        rows.add([1] * length, answer)
    reasons = why_not_rows(rows.encoded()).tolist()
    assert reasons == ["", "prompt too long", "no answer token", "no answer token", ""]


def changed(checkpoint, tmp_path, change):
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "changed")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    change(tokenizer)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("settings", [Sft, PreferenceTraining, RewardTraining])
def test_tokens_that_the_model_has_no_embedding_for_are_refused_before_it_is_loaded(
    checkpoint, counting, pairs, rows_folder, run_trainer, tmp_path, monkeypatch, settings
):
    start = changed(checkpoint, tmp_path, lambda tokenizer: tokenizer.add_tokens(["twelve"]))
    for module in (weights, checkpoints):
        monkeypatch.setattr(module, "load_weights", lambda *_, **__: pytest.fail("the model was loaded"))
    extra = {
        Sft: [*counting, Demonstration(prompt("new"), "twelve")],
        PreferenceTraining: [*pairs, Preference(prompt("new"), "twelve", "one")],
    }
    rows = rows_folder(extra.get(settings, extra[PreferenceTraining]))
    job = {"objective": Dpo().build()} if settings is PreferenceTraining else {}
    with pytest.raises(
        DataError, match=r"changed: the model has 21 embeddings, its tokenizer 22 tokens.*21 \('twelve'\)"
    ):
        run_trainer(settings(steps=1), rows, start=start, **job)


def test_a_padding_token_without_an_embedding_is_refused_too(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    start = changed(checkpoint, tmp_path, lambda tokenizer: tokenizer.add_special_tokens({"pad_token": "<|pad|>"}))
    with pytest.raises(DataError, match=r"up to '<\|pad\|>' \(21\), have no embedding"):
        run_trainer(Sft(steps=1), rows_folder(counting), start=start)


def test_tokens_that_no_row_holds_and_embeddings_beyond_the_tokenizer_are_fine(
    checkpoint, counting, rows_folder, run_trainer, tmp_path
):
    start = changed(checkpoint, tmp_path, lambda tokenizer: tokenizer.add_tokens(["twelve"]))
    run_trainer(Sft(steps=1), rows_folder(counting), start=start)
    model = AutoModelForCausalLM.from_pretrained(start)
    model.resize_token_embeddings(64, mean_resizing=False)
    model.save_pretrained(start)
    rows = rows_folder([*counting, Demonstration(prompt("new"), "twelve")])
    assert numpy.isfinite(run_trainer(Sft(steps=1), rows, start=start)[1]["loss"])


def test_a_reference_that_reads_other_tokens_is_refused(checkpoint, pairs, rows_folder, run_trainer, tmp_path):
    other = shutil.copytree(checkpoint(), tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(
        text.replace('"two"', '"#"').replace('"three"', '"two"').replace('"#"', '"three"')
    )
    job = {"start": checkpoint(), "objective": Dpo().build()}
    with pytest.raises(DataError, match=r"other: its tokenizer has '(two|three)' for token \d+, that of the start"):
        run_trainer(PreferenceTraining(steps=1), rows_folder(pairs), reference=other, **job)
    for file in other.glob("*token*"):
        file.unlink()  # a bare reference is trusted
    run_trainer(PreferenceTraining(steps=1), rows_folder(pairs), reference=other, **job)
