"""The loop that all trainers share: order, portions, learning rates, interruptions, and what is reported."""

import math
from types import SimpleNamespace

import numpy
import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import load_file

from aya_core.api import AyaError
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.optimizers import learning_rate
from aya_plugins.trainers.runtime.order import PassLimits, RowOrder, count_steps, forward_passes
from aya_plugins.trainers.sft import Sft


class KilledError(Exception):
    """Stands for a kill."""


def interrupt_at(step):
    def report(done, total, measures):
        if done >= step:
            raise KilledError

    return report


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 1000))
def test_steps_walk_through_shuffles_of_all_rows(rows, batch_rows, seed):
    order = RowOrder(rows, batch_rows, seed)
    steps = -(-3 * rows // batch_rows)
    seen = numpy.concatenate([order.step(step) for step in range(steps)])
    for epoch in range(3):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    late = RowOrder(rows, batch_rows, seed).step(steps - 1)  # asked for at once, as after a resumption
    assert late.tolist() == seen[-batch_rows:].tolist()


def test_epochs_and_seeds_shuffle_differently():
    first, second = (RowOrder(50, 50, 0).step(step).tolist() for step in (0, 1))
    assert first != second
    assert first != RowOrder(50, 50, 1).step(0).tolist()


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=40),
    st.integers(1, 200),
    st.integers(1, 60) | st.none(),
    st.booleans(),
    st.sampled_from([1, 2, 4]),
)
def test_every_row_of_a_step_is_passed_once_by_one_device_within_the_budgets(sizes, tokens, answers, is_free, ranks):
    lengths, answer_tokens = numpy.array(sizes * ranks).T
    sizes, limits = SimpleNamespace(lengths=lengths, answer_tokens=answer_tokens), PassLimits(tokens, answers, is_free)
    rows = numpy.random.default_rng(0).permutation(len(lengths))
    passes = [forward_passes(rows, sizes, limits, rank, ranks) for rank in range(ranks)]
    assert sorted(numpy.concatenate([part for device in passes for part in device])) == list(range(len(lengths)))
    assert len({len(device) for device in passes}) == 1
    for part in (part for device in passes for part in device if len(part) > 1):
        assert (lengths[part].sum() if is_free else len(part) * lengths[part].max()) <= tokens
        assert answers is None or answer_tokens[part].sum() <= answers


def test_a_step_that_cannot_be_shared_evenly_is_refused():
    ones = SimpleNamespace(lengths=numpy.ones(5, dtype=int), answer_tokens=numpy.ones(5, dtype=int))
    with pytest.raises(AyaError, match="batch_rows 5 cannot be shared by 2 processes; make it a multiple of 2"):
        forward_passes(numpy.arange(5), ones, PassLimits(10), 0, 2)


@pytest.mark.parametrize(("epochs", "steps", "expected"), [(1, None, 2), (3, None, 5), (0.01, None, 1), (3, 7, 7)])
def test_epochs_become_whole_steps(epochs, steps, expected):
    assert count_steps(27, 16, epochs, steps) == expected


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rates_rise_to_the_peak_and_never_rise_again(schedule):
    settings = Sft(learning_rate=2.0, schedule=schedule, warmup=0.1, min_lr_ratio=0.25)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] > 0
    assert rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] >= 0.5
    if schedule != "constant":
        assert rates[-1] < 0.52


def test_learning_rates_worked_by_hand():
    """10 steps without warm-up: linear at half way is 0.5; cosine at a quarter is (1 + cos(pi / 4)) / 2."""
    linear = Sft(learning_rate=1.0, schedule="linear", warmup=0)
    assert learning_rate(5, 10, linear) == 0.5
    cosine = Sft(learning_rate=1.0, schedule="cosine", warmup=0)
    assert learning_rate(2, 8, cosine) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_two_runs_of_one_seed_give_the_same_weights_to_the_bit(checkpoint, counting, rows_folder, run_trainer):
    settings, rows = Sft(steps=8, batch_rows=8, learning_rate=1e-2), rows_folder(counting)
    one, measures = run_trainer(settings, rows, start=checkpoint())
    other, again = run_trainer(settings, rows, start=checkpoint())
    assert_same_weights(one, other)
    assert measures["loss"] == again["loss"]
    different, _ = run_trainer(settings, rows, start=checkpoint(), seed=1)
    assert not torch.equal(weights(one)["model.norm.weight"], weights(different)["model.norm.weight"])


@pytest.mark.parametrize("killed_at", [1, 3, 7])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, killed_at
):
    settings = Sft(steps=8, batch_rows=8, learning_rate=1e-2, checkpoint_seconds=0, log_every=1)
    rows = rows_folder(counting)
    undisturbed, measures = run_trainer(settings, rows, start=checkpoint())
    with pytest.raises(KilledError):
        run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=interrupt_at(killed_at))
    reported = []
    resumed, again = run_trainer(
        settings, rows, start=checkpoint(), work=tmp_path, report=lambda done, *_: reported.append(done)
    )
    assert reported[0] == killed_at  # the step whose save was missed is done again, no earlier one
    assert_same_weights(undisturbed, resumed)
    assert measures["loss"] == again["loss"]


def test_a_save_between_two_reports_keeps_what_the_next_report_says(
    checkpoint, counting, rows_folder, run_trainer, tmp_path
):
    settings = Sft(steps=9, batch_rows=8, learning_rate=1e-2, checkpoint_seconds=0, log_every=3)
    rows = rows_folder(counting)
    whole, parts = {}, {}
    run_trainer(
        settings, rows, start=checkpoint(), report=lambda done, total, replied: whole.update({done: replied["loss"]})
    )

    def report(done, total, replied):
        if done == 6 and 6 not in parts:
            parts[6] = None
            raise KilledError
        parts[done] = replied["loss"]

    with pytest.raises(KilledError):
        run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=report)
    run_trainer(settings, rows, start=checkpoint(), work=tmp_path, report=report)
    assert parts == whole


def test_preference_training_resumes_too(checkpoint, pairs, rows_folder, run_trainer, tmp_path):
    settings = PreferenceTraining(steps=6, batch_rows=8, learning_rate=1e-3, checkpoint_seconds=0, log_every=1)
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "reference": checkpoint(), "objective": Dpo().build()}
    undisturbed, _ = run_trainer(settings, **job)
    with pytest.raises(KilledError):
        run_trainer(settings, **job, work=tmp_path, report=interrupt_at(4))
    assert_same_weights(undisturbed, run_trainer(settings, **job, work=tmp_path)[0])


KILLED = """
import os, signal, sys
from pathlib import Path
from aya_core.api import TrainingJob

from aya_plugins.trainers.sft import Sft

rows, start, out, work = map(Path, sys.argv[1:])

def report(done, total, measures):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

settings = Sft(steps=8, batch_rows=8, learning_rate=1e-2, checkpoint_seconds=0, log_every=1)
settings.build().train(TrainingJob(rows=rows, start=start, out=out, work=work, seed=0, report=report))
"""


def test_a_process_killed_for_real_leaves_a_state_to_resume_from(
    checkpoint, counting, rows_folder, run_trainer, forked, tmp_path
):
    settings = Sft(steps=8, batch_rows=8, learning_rate=1e-2, checkpoint_seconds=0, log_every=1)
    rows = rows_folder(counting)
    undisturbed, _ = run_trainer(settings, rows, start=checkpoint())
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    ended = forked(KILLED, rows, checkpoint(), out, work)
    assert ended.returncode == -9, ended.stderr
    assert sorted(path.name for path in work.iterdir()) == ["step-000000003", "step-000000004"]
    assert_same_weights(undisturbed, run_trainer(settings, rows, start=checkpoint(), work=work)[0])


def test_accumulated_passes_give_the_step_of_one_pass(checkpoint, counting, rows_folder, run_trainer):
    rows = rows_folder(counting)
    one, small = (
        run_trainer(Sft(steps=4, batch_rows=16, learning_rate=1e-3, forward_tokens=tokens), rows, start=checkpoint())
        for tokens in (10_000, 30)
    )
    for name, tensor in weights(one[0]).items():
        torch.testing.assert_close(tensor, weights(small[0])[name], rtol=1e-3, atol=2e-5)
    assert one[1]["loss"] == pytest.approx(small[1]["loss"], rel=1e-4)


def test_activation_checkpointing_changes_nothing_but_memory(checkpoint, counting, rows_folder, run_trainer):
    rows = rows_folder(counting)
    plain, recomputed = (
        run_trainer(Sft(steps=3, batch_rows=8, activation_checkpointing=flag), rows, start=checkpoint())[0]
        for flag in (False, True)
    )
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(tensor, weights(recomputed)[name], rtol=1e-5, atol=1e-6)


def test_reports_carry_the_names_that_users_of_trl_know(checkpoint, counting, pairs, rows_folder, run_trainer):
    seen = []

    def report(done, total, measures):
        seen.append((done, total, set(measures)))

    settings = {"steps": 5, "batch_rows": 8, "log_every": 2}
    run_trainer(Sft(**settings), rows_folder(counting), start=checkpoint(), report=report)
    names = {"loss", "grad_norm", "learning_rate", "tokens_per_second", "memory_mib"}
    assert seen == [(2, 5, names), (4, 5, names), (5, 5, names)]
    seen.clear()
    run_trainer(
        PreferenceTraining(**settings), rows_folder(pairs), start=checkpoint(), objective=Dpo().build(), report=report
    )
    rewards = {f"rewards/{name}" for name in ("chosen", "rejected", "margins", "accuracies")}
    assert seen[-1] == (5, 5, names | rewards | {"logps/chosen", "logps/rejected"})
