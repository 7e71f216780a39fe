"""A step that is split into forward passes by its answer tokens is the same step."""

from types import SimpleNamespace

import numpy
import pytest
import torch
from safetensors.torch import load_file

from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime import loop
from aya_plugins.trainers.runtime.order import PassLimits, forward_passes
from aya_plugins.trainers.runtime.pairs import EncodedPairs
from aya_plugins.trainers.runtime.reward import BradleyTerry, RewardTask
from aya_plugins.trainers.sft import Sft


def test_a_short_answer_fills_the_pass_of_a_long_prompt():
    """Lengths 10, 10, 9, 8 with 5, 5, 1, 1 answer tokens, at most 6 of them: two passes, not three."""
    sizes = SimpleNamespace(lengths=numpy.array([10, 10, 9, 8]), answer_tokens=numpy.array([5, 5, 1, 1]))
    passes = forward_passes(numpy.arange(4), sizes, PassLimits(100, 6), 0, 1)
    assert [part.tolist() for part in passes] == [[0, 2], [1, 3]]


@pytest.fixture
def few_answer_tokens(monkeypatch):
    """Have the loop put few answer tokens into a pass, as it does where the vocabulary is large; returns their number."""
    monkeypatch.setattr(AnswerLogps, "cheap_answer_tokens", 12)
    return 12


@pytest.fixture
def passes_made(monkeypatch):
    """Gathers how many forward passes each step takes."""
    made = []

    def watched(*args):
        made.append(len(found := forward_passes(*args)))
        return found

    monkeypatch.setattr(loop, "forward_passes", watched)
    return made


@pytest.mark.parametrize("family", ["cohere", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_any_split_of_a_step_gives_its_loss_and_its_update(
    checkpoint, pairs, rows_folder, run_trainer, monkeypatch, passes_made, family, tied
):
    start = checkpoint(family, tie_word_embeddings=tied)
    job = {"rows": rows_folder(pairs), "start": start, "objective": Dpo().build()}
    settings = {"steps": 3, "batch_rows": 16, "learning_rate": 1e-3}
    one, whole = run_trainer(PreferenceTraining(**settings), **job)
    assert passes_made == [1, 1, 1]
    for tokens in (12, 40):
        passes_made.clear()
        monkeypatch.setattr(AnswerLogps, "cheap_answer_tokens", tokens)
        many, split = run_trainer(PreferenceTraining(**settings), **job)
        assert min(passes_made) > 2
        assert split["loss"] == pytest.approx(whole["loss"], rel=1e-4)
        assert split["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
        one_weights, many_weights = (load_file(folder / "model.safetensors") for folder in (one, many))
        for name, tensor in one_weights.items():
            torch.testing.assert_close(many_weights[name], tensor, rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["cohere", "gemma2"])
def test_gradients_that_are_added_in_place_are_those_of_autograd(checkpoint, pairs, rows_folder, family, tied):
    start = checkpoint(family, tie_word_embeddings=tied)
    encoder = load_encoder(start, max_tokens=100)
    encoded = EncodedPairs.of(encoder, pairs, start, "preference")
    modules = [AnswerLogps(load_causal_lm(start, dtype=torch.float32)) for _ in range(2)]
    modules[1].accumulate_alone()
    for module in modules:
        for part in ([0, 1], [2, 3, 4], [5]):
            module(encoded.batch(numpy.array(part), torch.device("cpu"))).sum().backward()
    for (name, expected), found in zip(modules[0].named_parameters(), modules[1].parameters(), strict=True):
        assert found.grad.layout is torch.strided
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_later_passes_of_a_step_make_no_buffer_of_the_size_of_the_vocabulary(checkpoint, pairs):
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    module.accumulate_alone()
    encoded = EncodedPairs.of(load_encoder(checkpoint(), max_tokens=100), pairs, checkpoint(), "preference")
    weight = module.model.get_output_embeddings().weight
    where = set()
    for part in (0, 1, 2):
        module(encoded.batch(numpy.array([part]), torch.device("cpu"))).sum().backward()
        where.add(weight.grad.data_ptr())
    assert len(where) == 1


def test_a_wrapped_module_keeps_autograds_gradients(checkpoint):
    """A wrapper waits for the gradient of every weight; so nothing is added past it unless the loop asks."""
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    assert not module.adds_gradients
    assert not module.model.get_input_embeddings().sparse


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        ("cohere", {}, 2**26),
        ("llama", {}, 2**26),
        ("gemma2", {}, None),
        ("gemma2", {"final_logit_softcapping": None}, 2**26),
    ],
)
def test_the_limit_of_answer_tokens_follows_from_the_vocabulary_and_the_softcap(checkpoint, family, config, expected):
    module = AnswerLogps(load_causal_lm(checkpoint(family, **config), dtype=torch.float32))
    vocabulary = module.model.get_output_embeddings().weight.shape[0]
    assert module.cheap_answer_tokens == (None if expected is None else expected // vocabulary)
    module.model.to("meta")  # stands for a GPU, whose kernel keeps no logits
    assert module.cheap_answer_tokens is None


def test_a_reward_head_has_no_answer_tokens_and_a_likelihood_has(checkpoint, pairs):
    encoded = EncodedPairs.of(load_encoder(checkpoint(), max_tokens=100), pairs, checkpoint(), "reward")
    assert not RewardTask(encoded, BradleyTerry("head", beta=1.0, margin=0.0, center=0.0)).answer_tokens.any()
    assert RewardTask(encoded, BradleyTerry("likelihood", beta=1.0, margin=0.0, center=0.0)).answer_tokens.all()


@pytest.mark.usefixtures("few_answer_tokens")
def test_sft_splits_by_answer_tokens_too(checkpoint, counting, rows_folder, run_trainer, passes_made):
    _, measures = run_trainer(Sft(steps=1, batch_rows=16), rows_folder(counting), start=checkpoint())
    assert passes_made[0] > 2
    assert measures["steps"] == 1
