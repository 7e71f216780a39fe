"""What training on groups makes of a tiny model, and objectives that need no reference."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import AyaError, DataError, Demonstration, TrainingJob, read_rows
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.objectives.cpo import Cpo
from aya_plugins.objectives.grpo import Grpo
from aya_plugins.objectives.orpo import Orpo
from aya_plugins.objectives.rloo import Rloo
from aya_plugins.objectives.simpo import Simpo
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.trainers.policy_gradient import PolicyGradient
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.policy_gradient import EncodedGroups, PolicyGradientTask
from aya_plugins.trainers.runtime.reference import reference_logps
from aya_plugins.trainers.sft import Sft

OBJECTIVES = [Rloo(), Grpo(), Grpo(beta=0, scale_by_std=False, length_normalization="constant", constant_tokens=8)]


@pytest.fixture(scope="module")
def scored(counting):
    """Groups of two to four samples: the right numbers score 1, others less, the more they differ."""
    rows = []
    for place, row in enumerate(counting):
        others = ["zero", " ".join(reversed(row.completion.split())) + " zero", row.completion + " two"]
        answers = [row.completion, *others[: 1 + place % 3]]
        rows += [Demonstration(row.prompt, text, "me", 1.0 - 0.25 * index) for index, text in enumerate(answers)]
    return rows


@pytest.fixture(scope="module")
def other(checkpoint, counting, rows_folder, run_trainer):
    """Make another model of the same tokenizer."""
    settings = Sft(steps=5, batch_rows=27, learning_rate=3e-3)
    return run_trainer(settings, rows_folder(counting), start=checkpoint())[0]


@pytest.fixture(scope="module")
def trained_elsewhere(checkpoint, counting, rows_folder, run_trainer):
    """Make a third model of the same tokenizer."""
    return run_trainer(
        Sft(steps=3, batch_rows=27, learning_rate=1e-2), rows_folder(counting), start=checkpoint(), seed=1
    )[0]


def preferred(folder, rows):
    """The mean of log p(best) - log p(worst) over groups, nats."""
    found = Transformers(model=str(folder)).build().log_likelihoods([(row.prompt, row.completion) for row in rows])
    groups = {}
    for row, one in zip(rows, found, strict=True):
        groups.setdefault(row.prompt.id, []).append((row.score, one.nats))
    return numpy.mean([max(group)[1] - min(group)[1] for group in groups.values()])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_samples_with_higher_scores_become_likelier(checkpoint, scored, rows_folder, run_trainer, objective):
    replied = []
    folder, measures = run_trainer(
        PolicyGradient(steps=12, batch_rows=27, learning_rate=3e-3, log_every=1), rows_folder(scored), start=checkpoint(),
        reference=checkpoint(), objective=objective.build(), report=lambda done, total, found: replied.append(found),
    )  # fmt: skip
    assert preferred(folder, scored) > preferred(checkpoint(), scored) + 1
    assert replied[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert replied[0]["clip_ratio/region_mean"] == 0
    assert replied[-1]["kl"] > 0.01
    assert replied[-1]["clip_ratio/region_mean"] > 0
    scores = [row.score for row in scored]
    assert measures["reward"] == pytest.approx(numpy.mean(scores))
    assert measures["reward_std"] == pytest.approx(numpy.std(scores, ddof=1))
    assert (measures["groups"], measures["rows"]) == (27, len(scored))


def test_the_loss_is_that_of_the_objective_on_the_log_probabilities_of_three_models(
    checkpoint, other, trained_elsewhere, scored, rows_folder, tmp_path
):
    """Policy, sampler and reference are three models; sums over answers are what a teacher says of them."""
    rows = list(read_rows(rows_folder(scored), Demonstration))
    groups = EncodedGroups.of(load_encoder(checkpoint(), max_tokens=64), rows, checkpoint(), "policy-gradient")
    settings = PolicyGradient(forward_tokens=50)
    accelerator = start_accelerator(settings)
    job = TrainingJob(rows=tmp_path, out=tmp_path, work=tmp_path, seed=0, start=checkpoint())
    sampled, reference = (
        reference_logps(job, where, groups.encoded, groups.pad_id, accelerator, settings)
        for where in (other, trained_elsewhere)
    )
    task = PolicyGradientTask(groups, Rloo(beta=0.1, clip_low=0.9, clip_high=99).build(), sampled, reference)
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    step = numpy.array([5, 0, 17, 26])
    parts = [task.loss(module, part, step) for part in (step[:1], step[1:])]
    nats = {
        where: [one.nats for one in Transformers(model=str(where)).build().log_likelihoods(
            [(row.prompt, row.completion) for row in rows]
        )]
        for where in (checkpoint(), other, trained_elsewhere)
    }  # fmt: skip
    losses = []
    for group in step:
        places = groups.rows_of(numpy.array([group]))
        assert len({rows[place].prompt.id for place in places}) == 1
        rewards = [rows[place].score - 0.1 * (nats[other][place] - nats[trained_elsewhere][place]) for place in places]
        for place, reward in zip(places, rewards, strict=True):
            advantage = reward - (sum(rewards) - reward) / (len(rewards) - 1)
            ratio = math.exp(nats[checkpoint()][place] - nats[other][place])
            losses.append(-min(ratio * advantage, min(max(ratio, 0.1), 100) * advantage))
    assert sum(part["loss"].item() for part in parts) == pytest.approx(numpy.mean(losses), rel=1e-3)
    scores = groups.scores[groups.rows_of(step)]
    assert sum(part["reward"].item() for part in parts) == pytest.approx(scores.mean())
    assert sum(part["reward_std"].item() for part in parts) == pytest.approx(scores.std(ddof=1))
    tokens = groups.encoded.answer_tokens[groups.rows_of(step)]
    assert sum(part["completions/mean_length"].item() for part in parts) == pytest.approx(tokens.mean())


def test_the_reference_is_another_model_when_told(checkpoint, other, scored, rows_folder, run_trainer):
    job = {"rows": rows_folder(scored), "start": checkpoint(), "objective": Rloo().build()}
    settings = PolicyGradient(steps=1, batch_rows=27)
    same, different = (run_trainer(settings, **job, reference=where)[1] for where in (checkpoint(), other))
    assert same["kl"] == pytest.approx(0, abs=1e-6)
    assert different["kl"] > 0.01
    assert different["loss"] != same["loss"]


def test_accumulated_passes_give_the_step_of_one_pass(checkpoint, scored, rows_folder, run_trainer):
    rows = rows_folder(scored)
    job = {"start": checkpoint(), "objective": Grpo().build()}
    one, small = (
        run_trainer(PolicyGradient(steps=4, batch_rows=9, learning_rate=1e-3, forward_tokens=tokens), rows, **job)
        for tokens in (100_000, 1)
    )
    for name, tensor in load_file(one[0] / "model.safetensors").items():
        torch.testing.assert_close(load_file(small[0] / "model.safetensors")[name], tensor, rtol=1e-3, atol=2e-5)
    for name in ("loss", "reward", "reward_std", "kl", "advantages/abs_mean"):
        assert small[1][name] == pytest.approx(one[1][name], rel=1e-3, abs=1e-5)


class KilledError(Exception):
    """Stands for a kill."""


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    checkpoint, scored, rows_folder, run_trainer, tmp_path
):
    settings = PolicyGradient(steps=6, batch_rows=8, learning_rate=1e-3, checkpoint_seconds=0, log_every=1)
    job = {"rows": rows_folder(scored), "start": checkpoint(), "objective": Rloo().build()}

    def interrupt(done, total, measures):
        if done >= 4:
            raise KilledError

    undisturbed, _ = run_trainer(settings, **job)
    with pytest.raises(KilledError):
        run_trainer(settings, **job, work=tmp_path, report=interrupt)
    resumed, _ = run_trainer(settings, **job, work=tmp_path)
    one, two = (load_file(folder / "model.safetensors") for folder in (undisturbed, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_groups_that_cannot_teach_anything_are_left_out_and_counted(
    checkpoint, scored, rows_folder, run_trainer, counting
):
    """They do not even change the step: the run without them ends with the same weights."""
    long = [
        Demonstration(row.prompt, row.completion, score=row.score) for row in scored if row.prompt.id.endswith("-3")
    ]
    settings = PolicyGradient(steps=2, batch_rows=4, learning_rate=1e-3, max_tokens=9)
    kept = [row for row in scored if row.prompt.id.endswith("-1")]
    single = [Demonstration(row.prompt, "zero", score=0.1) for row in counting[1:2]]
    equal = [Demonstration(counting[4].prompt, text, score=0.1) for text in ("zero", "one two", "two")]
    job = {"start": checkpoint(), "objective": Rloo().build()}
    alone, _ = run_trainer(settings, rows_folder(kept), **job)
    settings_wide = settings.model_copy(update={"max_tokens": 64})
    _, wide = run_trainer(settings_wide, rows_folder([*kept, *single, *equal]), **job)
    both, found = run_trainer(settings, rows_folder([*kept, *long]), **job)
    assert (wide["groups"], wide["single_sample_groups"], wide["equal_score_groups"]) == (9, 1, 1)
    assert (found["groups"], found["dropped_groups"]) == (9, 9)
    assert found["truncated_rows"] > 0
    one, two = (load_file(folder / "model.safetensors") for folder in (alone, both))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows[:3], Demonstration(rows[0].prompt, "two")], "has the score None; expected a finite number"),
        (lambda rows: [*rows[:3], Demonstration(rows[0].prompt, "two", score=math.nan)], "has the score nan"),
        (lambda rows: [*rows, rows[0]], "samples of '0-1' are in two places; expected those of a prompt one after the other"),
        (
            lambda rows: [Demonstration(rows[0].prompt, text, score=0.5) for text in ("one", "two")],
            r"no group of 1 can teach trainer 'policy-gradient' anything: 0 groups have a sample that is dropped, 0 groups have one "
            "sample, 1 have equal scores; sample more answers",
        ),
    ],
)  # fmt: skip
def test_rows_that_are_no_groups_are_a_data_error(checkpoint, scored, rows_folder, run_trainer, change, message):
    with pytest.raises(DataError, match=message):
        run_trainer(PolicyGradient(steps=1), rows_folder(change(scored)), start=checkpoint(), objective=Rloo().build())


def test_policy_gradients_without_an_objective_say_so(checkpoint, scored, rows_folder, run_trainer):
    with pytest.raises(AyaError, match="'policy-gradient' needs an objective"):
        run_trainer(PolicyGradient(), rows_folder(scored), start=checkpoint())


def test_policy_gradients_without_a_reference_measure_the_divergence_from_the_sampler(
    checkpoint, scored, rows_folder, run_trainer, tmp_path
):
    replied = []
    run_trainer(
        PolicyGradient(steps=3, batch_rows=27, learning_rate=3e-3, log_every=1), rows_folder(scored), start=checkpoint(),
        reference=tmp_path / "nowhere", needs_reference=False, objective=Grpo(beta=0).build(),
        report=lambda done, total, found: replied.append(found["kl"]),
    )  # fmt: skip
    assert replied[0] == pytest.approx(0, abs=1e-6)
    assert replied[-1] > 0


@pytest.mark.parametrize("objective", [Simpo(), Orpo(), Cpo()])
def test_preference_training_loads_no_reference_that_is_not_needed(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path, objective
):
    replied = []
    run_trainer(
        PreferenceTraining(steps=25, batch_rows=27, learning_rate=3e-3, log_every=1), rows_folder(pairs), start=checkpoint(),
        reference=tmp_path / "nowhere", needs_reference=False, objective=objective.build(),
        report=lambda done, total, found: replied.append(found),
    )  # fmt: skip
    assert replied[-1]["rewards/margins"] > replied[0]["rewards/margins"]
    assert replied[-1]["rewards/accuracies"] == 1
    assert replied[-1]["loss"] < replied[0]["loss"]


SCRIPT = """
import sys
from pathlib import Path
from aya_core.api import TrainingJob

from aya_plugins.objectives.grpo import Grpo
from aya_plugins.trainers.policy_gradient import PolicyGradient

rows, start, reference, out, work = map(Path, sys.argv[1:])
settings = PolicyGradient(steps=4, batch_rows=8, learning_rate=1e-3, forward_tokens=60)
settings.build().train(
    TrainingJob(rows=rows, start=start, out=out, work=work, seed=0, objective=Grpo().build(), reference=reference)
)
"""


@pytest.mark.slow
def test_two_processes_train_as_one_does_on_groups(
    checkpoint, other, scored, rows_folder, run_trainer, forked, tmp_path
):
    rows = rows_folder(scored)
    settings = PolicyGradient(steps=4, batch_rows=8, learning_rate=1e-3)
    alone, _ = run_trainer(settings, rows, start=checkpoint(), reference=other, objective=Grpo().build())
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    ended = forked(SCRIPT, rows, checkpoint(), other, out, work, processes=2, ACCELERATE_USE_CPU="true")
    assert ended.returncode == 0, ended.stderr[:6000]
    one, two = (load_file(folder / "model.safetensors") for folder in (alone, out))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=2e-5)


def test_a_sample_that_the_template_does_not_write_drops_its_group_alone(checkpoint, scored, tmp_path):
    encoder = load_encoder(checkpoint(), max_tokens=500)
    encoder.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role + eos_token + m.content.split('!')[-1] + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant' + eos_token }}{% endif %}"
    )
    cut = [
        replace(row, completion=f"lost! {row.completion}") if row.prompt.id == scored[0].prompt.id else row
        for row in scored
    ]
    groups = EncodedGroups.of(encoder, cut, tmp_path, "rloo")
    assert groups.account["dropped_groups"] == 1
    reason = "dropped/the chat template leaves out a part of the answer"
    assert groups.account[reason] == sum(row.prompt.id == scored[0].prompt.id for row in scored)
    lost = [row for row in cut if row.prompt.id == scored[0].prompt.id]
    with pytest.raises(
        DataError, match=r"1 groups have a sample that is dropped \(the chat template leaves out a part of the answer: "
    ):
        EncodedGroups.of(encoder, lost, tmp_path, "rloo")
