"""What is measured on held-out rows, and what follows from it."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import load_file

from aya_core.api import AyaError, DataError, Demonstration, Preference, Prompt, TrainingJob, user_prompt
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.runtime.loop import fit, start_accelerator
from aya_plugins.trainers.runtime.settings import Validation
from aya_plugins.trainers.runtime.sft import SftTask
from aya_plugins.trainers.runtime.training import is_held_back, split
from aya_plugins.trainers.runtime.validation import Once
from aya_plugins.trainers.sft import Sft

EACH = {"batch_rows": 9, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0.0}


def weights(folder):
    return load_file(folder / "model.safetensors")


def spoken(rows):
    """The same rows, a third of them each in one of three languages."""
    out = []
    for place, row in enumerate(rows):
        prompt = user_prompt(row.prompt.id, ["de", "en", "tr"][place % 3], row.prompt.text)
        if isinstance(row, Preference):
            out.append(Preference(prompt, row.chosen, row.rejected))
        else:
            out.append(Demonstration(prompt, row.completion))
    return out


@pytest.fixture
def output():
    """Gather what is reported of held-out rows: by steps done."""
    seen = {}

    def report(done, total, measures):
        found = {name: value for name, value in measures.items() if name.startswith("validation/")}
        if found:
            assert done not in seen
            seen[done] = found

    return seen, report


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=30, unique=True), st.floats(0, 0.99))
def test_what_is_held_back_depends_on_the_prompt_alone_and_grows_with_the_share(ids, share):
    for id in ids:
        assert not is_held_back(id, 0.0)
        assert is_held_back(id, share) <= is_held_back(id, min(share * 1.5 + 0.001, 0.99))


def test_a_share_of_prompts_is_held_back():
    held = sum(is_held_back(str(number), 0.2) for number in range(5000))
    assert 900 < held < 1100


def test_no_prompt_is_in_both_parts_and_no_row_is_lost(tmp_path):
    rows = [
        Preference(user_prompt(f"{n // 2}", "en", f"{n // 2}?"), f"a{n % 2}", "b") for n in range(200)
    ]  # two of each prompt
    others = [Preference(user_prompt(f"{n}", "en", f"{n}?"), "c", "b") for n in (3, 4, 500)]
    job = TrainingJob(rows=tmp_path, out=tmp_path, work=tmp_path, seed=0)
    parts = split(job, rows, others, Sft(validation={"hold_back": 0.3}))
    trained = {row.prompt.id for row in parts.training}
    measured = Counter(row.prompt.id for row in parts.validation)
    assert not trained & measured.keys()
    assert trained | (measured.keys() - {"500"}) == {row.prompt.id for row in rows}
    assert (measured["3"], measured["500"]) == (1, 1)  # the stage's own rows stand in for those of the same prompt
    assert parts.rows == rows
    without = split(job, rows, others, Sft())
    assert len(without.training) == 196
    assert list(without.validation) == others


def test_a_row_is_known_again_by_what_it_says_and_not_by_its_place_in_a_file(tmp_path):
    """Files without ids number their rows, so that two files may have the same ids; and one file may be given under two names."""
    rows = [Demonstration(user_prompt(f"rows-{n}", "en", f"What is {n}?"), f"It is {n}.") for n in range(8)]
    texts = [Demonstration(user_prompt(f"text-{n}", "en", "Write English."), f"Text {n}.") for n in range(8)]
    job = TrainingJob(rows=tmp_path, out=tmp_path, work=tmp_path, seed=0)
    other_file = [Demonstration(user_prompt(row.prompt.id, "en", "Something else?"), "No.") for row in rows]
    assert list(split(job, rows, other_file, Sft()).training) == rows
    copied = [Demonstration(user_prompt(f"copy-{n}", "en", f"What is {n}?"), f"It is {n}.") for n in range(4)]
    assert list(split(job, rows, copied, Sft()).training) == rows[4:]
    asked_again = [Demonstration(user_prompt("rows-0", "en", "What is 0?"), "Nothing.")]
    assert list(split(job, rows, asked_again, Sft()).training) == rows[1:]
    assert list(split(job, texts[:4], texts[4:], Sft()).training) == texts[:4]
    with pytest.raises(DataError, match="give the stage other rows for `validation`"):
        split(job, rows, rows, Sft())
    asked = user_prompt("one", "en", "Weather?")
    calls = [
        {"tool_calls": [{"type": "function", "function": {"name": "w", "arguments": {"c": c}}}]}
        for c in ("Oslo", "Rome")
    ]
    oslo, rome = (Demonstration(replace(asked, id=str(n)), "", more=more) for n, more in enumerate(calls))
    assert list(split(job, [oslo], [rome], Sft()).training) == [oslo]
    bad = [Preference(replace(asked, id=f"bad-{n}"), None, answer) for n, answer in enumerate(("a", "b"))]
    assert list(split(job, bad[:1], bad[1:], Sft()).training) == bad[:1]
    plain = [Demonstration(Prompt("data-1", "en", ()), text) for text in ("one", "two")]
    assert list(split(job, plain[:1], plain[1:], Sft()).training) == plain[:1]


def test_training_is_measured_before_at_and_after_every_so_manieth_step(
    checkpoint, counting, rows_folder, run_trainer, output
):
    seen, report = output
    settings = Sft(**EACH, steps=7, validation={"hold_back": 0.3, "every": 3})
    _, measures = run_trainer(settings, rows_folder(spoken(counting)), start=checkpoint(), report=report)
    assert list(seen) == [0, 3, 6, 7]
    assert seen[7]["validation/loss"] < seen[0]["validation/loss"]
    assert measures.items() >= seen[7].items()
    assert measures["held_back_rows"] == measures["validation_rows"] > 0
    assert measures["rows"] == 27


def test_held_out_rows_of_the_stage_are_measured_as_a_whole_and_by_language(
    checkpoint, counting, rows_folder, run_trainer, output
):
    """The loss over held-out rows is that of a training step over them; that of a language, of a step over its rows."""
    seen, report = output
    rows = spoken(counting)
    trained, held_out = rows[:9], rows[9:]
    job = {"start": checkpoint(), "rows": rows_folder(trained), "validation": rows_folder(held_out)}
    run_trainer(Sft(**EACH, steps=1, forward_tokens=40), **job, report=report)
    parts = {
        "": held_out,
        **{f"/{code}": [row for row in held_out if row.prompt.language == code] for code in ("de", "tr")},
    }
    for name, part in parts.items():
        one_step = Sft(**{**EACH, "batch_rows": len(part)}, steps=1)
        expected = run_trainer(one_step, rows_folder(part), start=checkpoint())[1]["loss"]
        assert seen[0][f"validation/loss{name}"] == pytest.approx(expected, rel=1e-5)
    assert set(seen[0]) == {f"validation/loss{end}" for end in ("", "/de", "/en", "/tr")}


def test_margins_rise_on_held_out_pairs_in_each_language(checkpoint, pairs, rows_folder, run_trainer, output):
    seen, report = output
    settings = PreferenceTraining(**{**EACH, "learning_rate": 3e-3}, steps=30, validation={"hold_back": 0.3})
    run_trainer(settings, rows_folder(spoken(pairs)), start=checkpoint(), objective=Dpo().build(), report=report)
    for end in ("", "/de", "/en", "/tr"):
        assert seen[0][f"validation/rewards/margins{end}"] == pytest.approx(0, abs=1e-5)
        assert seen[30][f"validation/rewards/margins{end}"] > 0.2


def test_measuring_changes_nothing_of_training(checkpoint, pairs, rows_folder, run_trainer):
    """Held-out rows of the stage leave the rows to train on as they are; dropout draws the same numbers."""
    rows, others = pairs[:18], pairs[18:]
    settings = {**EACH, "steps": 4, "lora": {"dropout": 0.3}}
    job = {"rows": rows_folder(rows), "start": checkpoint(), "objective": Dpo().build()}
    plain, _ = run_trainer(PreferenceTraining(**settings), **job)
    watched = PreferenceTraining(**settings, validation={"every": 1})
    measured, _ = run_trainer(watched, **job, validation=rows_folder(others))
    assert all(torch.equal(tensor, weights(measured)[name]) for name, tensor in weights(plain).items())


def test_rows_of_a_reward_model_are_held_out_too(checkpoint, pairs, rows_folder, run_trainer):
    settings = RewardTraining(**EACH, steps=2, validation={"hold_back": 0.3})
    _, measures = run_trainer(settings, rows_folder(pairs), start=checkpoint("llama"))
    assert 0 <= measures["validation/rewards/accuracies"] <= 1
    assert measures["validation/rewards/accuracies/en"] == measures["validation/rewards/accuracies"]


OVERFIT = {**EACH, "learning_rate": 3e-2, "steps": 24}


def test_the_best_evaluation_is_written_and_training_stops_when_it_is_long_ago(
    checkpoint, counting, rows_folder, run_trainer, output
):
    seen, report = output
    rows = rows_folder(counting)
    validation = {"hold_back": 0.3, "every": 2, "keep": "best", "patience": 3}
    best, measures = run_trainer(Sft(**OVERFIT, validation=validation), rows, start=checkpoint(), report=report)
    losses = {done: found["validation/loss"] for done, found in seen.items()}
    chosen = min(losses, key=losses.get)
    assert measures["best_step"] == chosen
    assert measures["validation/loss"] == losses[chosen]
    assert measures["steps"] == max(losses) == chosen + 6 < 24
    # The weights are those that a run would have that ends there: the schedule is constant.
    held_back = {**OVERFIT, "steps": chosen, "validation": {"hold_back": 0.3}}
    expected, ended = run_trainer(Sft(**held_back), rows, start=checkpoint())
    assert ended["validation/loss"] == losses[chosen]
    assert all(torch.equal(tensor, weights(best)[name]) for name, tensor in weights(expected).items())
    last, at_the_end = run_trainer(
        Sft(**OVERFIT, validation={**validation, "keep": "last"}), rows, start=checkpoint()
    )  # fmt: skip
    assert at_the_end["steps"] == measures["steps"]
    assert at_the_end["validation/loss"] == losses[max(losses)]
    assert not torch.equal(weights(last)["model.norm.weight"], weights(best)["model.norm.weight"])


def test_a_measure_that_should_be_high_is_known_as_such(checkpoint, pairs, rows_folder, run_trainer, output):
    seen, report = output
    validation = {"hold_back": 0.3, "every": 1, "keep": "best", "best_by": "rewards/margins/de"}
    settings = PreferenceTraining(**EACH, steps=5, validation=validation)
    job = {"rows": rows_folder(spoken(pairs)), "start": checkpoint(), "objective": Dpo().build()}
    _, measures = run_trainer(settings, **job, report=report)
    margins = {done: found["validation/rewards/margins/de"] for done, found in seen.items()}
    assert measures["best_step"] == max(margins, key=margins.get) > 0


def test_a_measure_that_is_not_taken_is_refused_before_the_first_step(checkpoint, counting, rows_folder, run_trainer):
    reported = []
    settings = Sft(**EACH, validation={"hold_back": 0.3, "every": 1, "keep": "best", "best_by": "rewards/margins"})
    with pytest.raises(AyaError, match=r"best_by is 'rewards/margins'; expected one of loss, or .* as loss/en"):
        run_trainer(
            settings, rows_folder(counting), start=checkpoint(), report=lambda *replied: reported.append(replied)
        )
    assert not reported


def test_evaluations_without_rows_to_measure_on_are_refused(checkpoint, counting, rows_folder, run_trainer):
    with pytest.raises(AyaError, match=r"no rows to measure on, as none are held out; raise validation.hold_back"):
        run_trainer(Sft(validation={"every": 1}), rows_folder(counting), start=checkpoint())
    with pytest.raises(AyaError, match=r"a share of 1e-06 of its prompts holds none back"):
        run_trainer(Sft(validation={"hold_back": 1e-6, "every": 1}), rows_folder(counting), start=checkpoint())


def test_a_trainer_that_holds_nothing_out_refuses_evaluations(checkpoint, counting, tmp_path):
    encoder = load_encoder(checkpoint(), max_tokens=50)
    settings = Sft(validation={"every": 1})
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    job = TrainingJob(rows=tmp_path, out=tmp_path, work=tmp_path, seed=0)
    with pytest.raises(AyaError, match=r"trainer 'sft' has no held-out rows for `validation.every`"):
        fit(start_accelerator(settings), module, SftTask.of(encoder, counting, tmp_path), settings, job)


def test_rows_that_are_all_held_out_are_refused(checkpoint, counting, rows_folder, run_trainer):
    rows = rows_folder(counting)
    with pytest.raises(DataError, match="all 27 rows are held out to be measured on, and none is left to train on"):
        run_trainer(Sft(), rows, start=checkpoint(), validation=rows)


def test_choosing_among_evaluations_takes_more_than_two():
    with pytest.raises(ValueError, match="choose among evaluations; set `every`"):
        Validation(hold_back=0.1, keep="best")
    with pytest.raises(ValueError, match="set `every`"):
        Validation(patience=2)


def test_a_module_runs_once_for_two_totals():
    calls = []
    once = Once(lambda value: calls.append(value) or value + 1)
    assert [once(1), once(5)] == [2, 6]
    once.rewind()
    assert [once(1), once(5)] == [2, 6]
    assert calls == [1, 5]
