"""What is drawn for an answer is its own: from its seed, prompt, index and step alone, and from the model's distribution."""

import numpy
import pytest
import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from aya_core.api import DataError, Sampling
from aya_plugins.modeling.draws import Draw, answer_keys, choose, uniforms
from aya_plugins.modeling.generate import samplers

ROWS = 20_000


def draws_from(scores, sampling):
    """Draw ROWS tokens from the same scores; returns how often each came."""
    draw = Draw(answer_keys(0, [str(row) for row in range(ROWS)], 1)[:, 0], 0, "model")
    kept = samplers(sampling, draw)(torch.zeros(ROWS, 0, dtype=torch.long), scores.expand(ROWS, -1).clone())
    return kept.argmax(-1).bincount(minlength=scores.shape[-1])


def test_keys_differ_by_seed_prompt_and_index():
    keys = numpy.stack([answer_keys(seed, ["a", "b", "c"], 4) for seed in (0, 1)])
    assert len(numpy.unique(keys)) == 24


def test_a_key_does_not_depend_on_the_prompts_beside_it():
    together = answer_keys(3, ["a", "b", "c"], 4)
    assert (answer_keys(3, ["b"], 2)[0] == together[1, :2]).all()


def test_numbers_are_uniform_over_rows_and_over_steps():
    keys = answer_keys(0, [str(row) for row in range(1000)], 1)[:, 0]
    numbers = numpy.stack([uniforms(keys, step) for step in range(100)])
    assert 0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    counts = numpy.histogram(numbers, bins=100, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 150  # chi-square of 99 degrees of freedom: p > 0.0007
    for axis in (0, 1):
        rest = numbers - 0.5
        moved = (rest * numpy.roll(rest, 1, axis)).mean() / rest.var()
        assert abs(moved) < 0.015  # autocorrelation; its standard error is 0.003


@pytest.mark.parametrize("vocabulary", [1, 2, 31, 63, 781])
def test_the_choice_is_the_inverse_of_the_cumulative_distribution(vocabulary):
    scores = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(0))
    ends = scores.double().softmax(-1).cumsum(-1)[0]
    middles = ends - scores.double().softmax(-1)[0] / 2
    assert choose(scores.expand(vocabulary, -1), middles).tolist() == list(range(vocabulary))


def test_a_token_of_probability_zero_is_never_chosen():
    scores = torch.full((2, 300), -torch.inf)
    scores[:, 130:140] = 0.0
    scores[:, 135] = -200.0  # underflows
    found = choose(scores, torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64))
    assert found.tolist() == [130, 139]
    assert 135 not in choose(scores[:1].expand(5000, -1), torch.linspace(0, 0.9999, 5000, dtype=torch.float64))


def test_rare_tokens_of_a_large_vocabulary_keep_their_places():
    """A running float32 sum over as many tokens is off by hundreds of places."""
    vocabulary = 256_000
    scores = torch.zeros(1, vocabulary)
    places = (torch.arange(0, vocabulary, 997, dtype=torch.float64) + 0.5) / vocabulary
    assert (choose(scores.expand(len(places), -1), places) == torch.arange(0, vocabulary, 997)).all()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_scores_that_are_not_numbers_are_an_error(broken):
    scores = torch.zeros(1, 5)
    scores[0, 2] = broken
    with pytest.raises(DataError, match="model: the model gives scores that are NaN or infinite"):
        Draw(answer_keys(0, ["a"], 1)[0], 0, "model")(torch.zeros(1, 0), scores)


@pytest.mark.parametrize(
    ("sampling", "warpers"),
    [
        (Sampling(temperature=1.0), []),
        (Sampling(temperature=0.5), [TemperatureLogitsWarper(0.5)]),
        (Sampling(temperature=1.0, top_k=5), [TopKLogitsWarper(5)]),
        (Sampling(temperature=2.0, top_p=0.8), [TemperatureLogitsWarper(2.0), TopPLogitsWarper(0.8)]),
        (
            Sampling(temperature=0.7, top_k=9, top_p=0.6),
            [TemperatureLogitsWarper(0.7), TopKLogitsWarper(9), TopPLogitsWarper(0.6)],
        ),
    ],
    ids=["plain", "temperature", "top_k", "top_p", "all"],
)
def test_draws_follow_the_distribution_that_transformers_warpers_leave(sampling, warpers):
    scores = torch.randn(1, 30, generator=torch.Generator().manual_seed(1)) * 1.5
    expected = LogitsProcessorList(warpers)(torch.zeros(1, 0), scores).softmax(-1)[0] * ROWS
    counts = draws_from(scores, sampling)
    assert (counts[expected == 0] == 0).all()
    kept = expected > 0
    chi_square = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum().item()
    degrees = int(kept.sum()) - 1
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5 + 4
