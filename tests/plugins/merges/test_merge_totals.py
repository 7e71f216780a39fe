"""Weights that nearly cancel where they are divided by their sum, and sums that no dtype holds."""

import pytest
import torch
from applying import apply, normal
from checkpoints import load, merge

from aya_core.api import AyaError, DataError
from aya_plugins.merges import DareLinear, DareTies, Della, MultiSlerp, TaskArithmetic, Ties, Weighted

CANCELLING = [[0.1, 0.2, -0.3], [1.0, -0.9999, 0.0], [1e-30, 1.0, -1.0], [0.7, -0.4, -0.3], [3.0, -1.0, -1.999]]


@pytest.mark.parametrize("weights", CANCELLING, ids=str)
@pytest.mark.parametrize(
    "settings", [Weighted(), MultiSlerp(), TaskArithmetic(normalize=True), DareLinear(normalize=True)], ids=str
)
def test_a_sum_that_is_next_to_nothing_beside_the_weights_is_not_divided_by(settings, weights):
    base, *models = normal(0, 4)
    with pytest.raises(
        AyaError, match=r"sum to .* and cannot be normalized; change them, or set normalize(_weights)?: false"
    ):
        apply(settings, models, weights, base)


@pytest.mark.parametrize("weights", [[0.1, 0.2, -0.1], [1.0, -0.9, 0.0], [1e-8, 2e-8, 1e-9], [5.0, 1.0, -5.5]], ids=str)
@pytest.mark.parametrize("settings", [Weighted(), TaskArithmetic(normalize=True), Ties(density=1.0)], ids=str)
def test_small_and_negative_weights_that_do_not_cancel_are_divided_by_their_sum(settings, weights):
    base, *models = normal(0, 4)
    assert apply(settings, models, weights, base).abs().max() < 100 * max(model.abs().max() for model in models)


def test_what_does_not_divide_takes_any_weights():
    base, *models = normal(0, 4)
    apply(Weighted(normalize=False), models, [0.1, 0.2, -0.3], base)
    apply(TaskArithmetic(), models, [0.1, 0.2, -0.3], base)
    apply(Ties(density=1.0, normalize=False), models, [0.1, 0.2, -0.3], base)


@pytest.mark.parametrize("settings", [Ties(density=0.5), DareTies(density=0.5), Della(density=0.5)], ids=str)
def test_weights_of_models_that_agree_must_not_nearly_cancel(settings):
    base, *models = normal(0, 4)
    with pytest.raises(AyaError, match=r"weights \[0.1, 0.2, -0.3\] sum to 2.8e-17, .* where these models agree"):
        apply(settings, models, [0.1, 0.2, -0.3], base)
    with pytest.raises(AyaError, match=r"weights \[1.0, -0.9999\] sum to 0.0001"):
        apply(settings, models, [1.0, 0.5, -0.9999], base)
    merged = apply(settings, models, [1.0, 1.0, -1.0], base)  # a sum of 0 is taken as 1, as mergekit does
    assert torch.isfinite(merged).all()


def test_values_that_would_round_to_infinity_in_bfloat16_are_refused(write_model, random_tensors, out):
    for value, fits in ((3.3895e38, True), (3.4e38, False), (-3.4e38, False)):
        tensors = {**random_tensors(0), "model.norm.weight": torch.full((8,), value)}
        model = write_model(f"{value}", tensors)
        folder = out / f"{value}"
        if fits:
            merge(Weighted(), [model], folder, dtype="bfloat16")
            assert torch.isfinite(load(folder)["model.norm.weight"]).all()
        else:
            with pytest.raises(DataError, match=r"'model.norm.weight' has values that bfloat16 cannot hold"):
                merge(Weighted(), [model], folder, dtype="bfloat16")
