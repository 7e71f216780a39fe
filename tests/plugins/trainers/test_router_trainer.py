"""Laws of router training: what verdicts teach, what the loss is, and what the checkpoint says."""

import math
import shutil

import numpy
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from aya_core.api import Completion, DataError, Judged, Prompt, Verdict, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.trainers.router import RouterTraining
from aya_plugins.trainers.runtime.router import read_lessons, rewards_of, routing_gain, routing_loss, spread, strongest

NAN = math.nan


def verdict(prompt, teacher, score, index=0):
    return Judged(Completion(prompt, teacher, index, "!"), Verdict.abstain("no") if score is None else Verdict(score))


@pytest.fixture(scope="module")
def folders(counting, rows_folder):
    """Verdicts on ana, good at prompts of one number, and bo, good at all others; and the prompts."""
    rows = []
    for row in counting:
        is_short = row.prompt.text.count("next") == 1
        rows += [verdict(row.prompt.id, "bo", float(not is_short)), verdict(row.prompt.id, "ana", float(is_short))]
    return rows_folder(rows), rows_folder([row.prompt for row in counting])


@pytest.fixture
def lessons(tmp_path):
    def read(verdicts, ids):
        for name in ("verdicts", "prompts"):
            (tmp_path / name).mkdir()
        write_rows(tmp_path / "verdicts", Judged, verdicts)
        write_rows(tmp_path / "prompts", Prompt, [user_prompt(id, "en", "?") for id in ids])
        return read_lessons(tmp_path / "verdicts", tmp_path / "prompts")

    return read


def test_the_loss_is_nought_where_the_router_says_what_the_rewards_say_and_positive_elsewhere():
    rewards = torch.tensor([[0.0, 1.0, 3.0], [0.5, NAN, 0.1], [2.0, 2.0, 2.0]])
    replied = rewards.nan_to_num(7.0) / 0.5 + torch.tensor([[1.0], [-4.0], [0.0]])  # a constant says nothing
    torch.testing.assert_close(routing_loss(replied, rewards, temperature=0.5), torch.zeros(3))
    assert (routing_loss(replied.flip(-1), rewards, temperature=0.5)[:2] > 0).all()


def test_the_loss_worked_by_hand():
    """Targets 3/4 and 1/4 against 1/2 and 1/2: 3/4 log(3/2) + 1/4 log(1/2) = 0.1308."""
    loss = routing_loss(torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]]), temperature=2.0)
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) - 0.25 * math.log(2))


def test_a_teacher_without_a_reward_is_neither_blamed_nor_praised():
    logits = torch.tensor([[0.3, 5.0, -0.2]], requires_grad=True)
    loss = routing_loss(logits, torch.tensor([[1.0, NAN, 0.0]]), temperature=1.0)
    loss.sum().backward()
    without = routing_loss(torch.tensor([[0.3, -0.2]]), torch.tensor([[1.0, 0.0]]), temperature=1.0)
    torch.testing.assert_close(loss.detach(), without)
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, [0, 2]].abs().min() > 0


def test_lessons_are_mean_rewards_by_teacher_in_the_order_of_the_prompts(lessons):
    verdicts = [
        verdict("b", "cem", 3), verdict("b", "ana", 1), verdict("b", "ana", 2, index=1), verdict("b", "bo", None),
        verdict("a", "bo", 5), verdict("a", "cem", 4),
        verdict("one", "ana", 1), verdict("one", "bo", None),
        verdict("none", "ana", None),
        verdict("unknown", "ana", 1), verdict("unknown", "bo", 2), verdict("one", "dee", None), verdict("none", "eve", 9),
    ]  # fmt: skip
    found = lessons(verdicts, ["never judged", "a", "one", "b", "none"])
    assert found.teachers == ("ana", "bo", "cem")
    assert [row.prompt.id for row in found.rows] == ["a", "b"]
    numpy.testing.assert_array_equal(rewards_of(found.rows), [[NAN, 5, 4], [1.5, NAN, 3]])
    assert found.account == {"dropped_rows": 2, "unknown_prompts": 1}


def test_verdicts_on_one_teacher_teach_no_router(lessons):
    with pytest.raises(DataError, match="score the answers of ana only; a router learns from two teachers or more"):
        lessons([verdict("a", "ana", 1), verdict("a", "bo", None)], ["a"])


def test_prompts_that_the_verdicts_are_not_of_are_an_error(lessons):
    with pytest.raises(DataError, match=r"\(1 prompts were judged, 0 of them are there\); expected the prompts of"):
        lessons([verdict("a", "ana", 1), verdict("a", "bo", 2)], ["b"])


def test_what_routing_gains_worked_by_hand():
    rewards = numpy.array([[0, 1, 2], [4, NAN, 0], [1, 1, NAN]], dtype=numpy.float32)
    logits = numpy.array([[0, 1, 0], [0, 9, 1], [0, 0, 9]], dtype=numpy.float32)  # takes 1, 2 (not 1), 0 (not 2)
    assert strongest(rewards) == 0  # gains: (-1 + 2 + 0) / 3, (0 + 0) / 2, (1 - 2) / 2
    assert routing_gain(logits, rewards, 1) == pytest.approx(
        {"n": 3, "routed": 2 / 3, "random": 4 / 3, "single": 4 / 3, "oracle": 7 / 3, "accuracy": 1 / 3}
    )
    assert strongest(numpy.array([[NAN, 1, 2], [NAN, 1, 0.5]], dtype=numpy.float32)) == 2
    assert spread(rewards) == pytest.approx((math.sqrt(2 / 3) + 2 + 0) / 3)


@pytest.mark.parametrize("family", ["llama", "xlm-roberta"])
def test_a_router_learns_who_is_good_at_what(checkpoint, encoder_checkpoint, folders, run_trainer, family):
    start = checkpoint(family) if family == "llama" else encoder_checkpoint(family)
    settings = RouterTraining(prompts=str(folders[1]), steps=60, batch_rows=24, learning_rate=3e-3, temperature=0.2)
    folder, measures = run_trainer(settings, folders[0], start=start)
    assert measures["training/routed"] == measures["training/oracle"] == 1
    assert measures["training/n"] + measures["validation/n"] == measures["rows"] == 27
    assert measures["training/random"] == 0.5
    assert measures["reward_spread"] == 0.5
    assert measures["regret"] < 0.1
    model, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    assert model.config.id2label == {0: "ana", 1: "bo"}
    assert model.config.label2id == {"ana": 0, "bo": 1}
    inputs = AutoTokenizer.from_pretrained(folder)("next two", return_tensors="pt", return_token_type_ids=False)
    assert model.config.id2label[model(**inputs).logits.argmax().item()] == "ana"
    assert "tags: [aya-core, router]" in (folder / "README.md").read_text()


def test_the_first_loss_does_not_depend_on_how_a_step_is_portioned(encoder_checkpoint, folders, run_trainer):
    first = []
    for tokens in (1000, 20):
        settings = RouterTraining(prompts=str(folders[1]), steps=1, batch_rows=16, forward_tokens=tokens)
        start = encoder_checkpoint("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        first.append(run_trainer(settings, folders[0], start=start)[1])
    for name in ("loss", "accuracy", "regret", "grad_norm"):
        assert first[0][name] == pytest.approx(first[1][name], rel=1e-4)


def test_prompts_that_are_cut_are_counted(checkpoint, folders, run_trainer):
    settings = RouterTraining(prompts=str(folders[1]), steps=1, max_tokens=8)
    assert run_trainer(settings, folders[0], start=checkpoint("llama"))[1]["truncated_rows"] == 0
    short = checkpoint("llama", max_position_embeddings=3)
    settings = RouterTraining(prompts=str(folders[1]), steps=1, validation={})
    _, measures = run_trainer(settings, folders[0], start=short)
    assert measures["truncated_rows"] == 9  # those of three times "next" and a number
    assert not any(name.startswith("validation/") for name in measures)


def test_a_router_may_start_from_a_classifier_of_other_labels(checkpoint, folders, run_trainer, rows_folder, tmp_path):
    settings = RouterTraining(prompts=str(folders[1]), steps=1)
    start, _ = run_trainer(settings, folders[0], start=checkpoint("llama"))
    rows = [verdict(f"{n}-1", name, n) for n in range(9) for name in ("ana", "bo", "cem")]
    folder, _ = run_trainer(settings, rows_folder(rows), start=shutil.copytree(start, tmp_path / "start"))
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label[2] == "cem"


def test_a_family_without_a_sequence_classifier_is_refused(checkpoint, folders, run_trainer):
    settings = RouterTraining(prompts=str(folders[1]))
    with pytest.raises(DataError, match="no sequence classifier for 'cohere' models; start from another family, such"):
        run_trainer(settings, folders[0], start=checkpoint())
