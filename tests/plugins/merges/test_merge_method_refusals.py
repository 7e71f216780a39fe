"""What merges refuse, and what they say."""

import pytest
import torch
from applying import apply, normal
from pydantic import ValidationError

from aya_core.api import AyaError
from aya_plugins.merges import (
    Breadcrumbs,
    DareLinear,
    DareTies,
    Della,
    Karcher,
    Mergekit,
    ModelStock,
    MultiSlerp,
    NearSwap,
    Passthrough,
    Sce,
    TaskArithmetic,
    Ties,
)

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")


@pytest.mark.parametrize("kind", [Ties, DareTies, DareLinear, Della, Breadcrumbs, TaskArithmetic, Sce, ModelStock])
def test_a_merge_of_differences_without_a_base_is_refused(kind):
    with pytest.raises(AyaError, match="name it with `base:`"):
        apply(kind(), normal(0, 2))


@pytest.mark.parametrize("kind", [Ties, DareTies, DareLinear, Della, Breadcrumbs])
def test_a_density_that_keeps_nothing_of_any_model_is_refused(kind):
    for density in (0, {"a": 0, "b": [0, 0]}):
        with pytest.raises(ValidationError, match="the merge would be the base"):
            kind(density=density)
    for density in (-0.1, 1.1, [0.5, 2]):
        with pytest.raises(ValidationError, match="density"):
            kind(density=density)


@pytest.mark.parametrize("kind", [Ties, DareTies, DareLinear, Della, Breadcrumbs])
def test_a_density_of_0_keeps_nothing_of_that_model(kind):
    base, *models = normal(0, 3)
    settings = kind(density={"model-0": 0, "model-1": 1})
    torch.testing.assert_close(apply(settings, models, None, base), models[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("merge", "models", "message"),
    [
        (ModelStock(), 1, "model-stock': got 1 model, expected two or more beside the base; add models"),
        (NearSwap(), 2, "nearswap': got 2 models, expected one beside the base"),
        (Passthrough(), 2, "passthrough': got 2 models, expected one"),
        (Sce(select_topk=0.5), 1, "one model has no variance"),
    ],
    ids=str,
)
def test_a_number_of_models_that_a_merge_cannot_take_is_refused(merge, models, message):
    with pytest.raises(AyaError, match=message):
        apply(merge, normal(0, models), None, torch.zeros(7, 13))


@pytest.mark.parametrize("merge", [ModelStock(), Sce(), Mergekit(method="karcher")], ids=str)
def test_weights_are_refused_where_they_have_no_meaning(merge):
    with pytest.raises(AyaError, match=r"weights \[0.3, 0.7\] have no meaning here"):
        apply(merge, normal(0, 2), [0.3, 0.7], torch.zeros(7, 13))


@pytest.mark.parametrize("merge", [NearSwap(), Passthrough()], ids=str)
def test_the_weight_of_a_single_model_is_refused(merge):
    with pytest.raises(AyaError, match="have no meaning here"):
        apply(merge, normal(0, 1), [0.5], torch.zeros(7, 13))


@pytest.mark.parametrize("merge", [TaskArithmetic(normalize=True), DareLinear(normalize=True), MultiSlerp()], ids=str)
def test_weights_that_sum_to_zero_are_refused_where_they_are_normalized(merge):
    with pytest.raises(AyaError, match="sum to 0"):
        apply(merge, normal(0, 2), [1.0, -1.0], torch.zeros(7, 13))


@pytest.mark.parametrize("weights", [[1.0, -0.5], [0.0, 0.0]], ids=str)
def test_karcher_refuses_weights_that_pull_nowhere(weights):
    with pytest.raises(AyaError, match="expected none below 0"):
        apply(Karcher(), normal(0, 2), weights)


def test_an_epsilon_that_leaves_no_probability_is_refused():
    with pytest.raises(AyaError, match="lower epsilon"):
        apply(Della(density=0.1, epsilon=0.2), normal(0, 2), None, torch.zeros(7, 13))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "tise"}, "no method 'tise'; did you mean 'ties'"),
        ({"method": "ties", "parameters": {"desnity": 0.5}}, "no parameter 'desnity'; did you mean 'density'"),
        ({"method": "ties", "parameters": {"weight": 0.5}}, "give them as the merge's weights"),
        ({"method": "ties", "parameters": {"density": "much"}}, "parameter 'density'"),
        ({"method": "ties", "parameters": {"normalize": 0.3}}, "parameter 'normalize'"),
        ({"method": "slerp"}, "needs t in its parameters"),
        ({"method": "linear", "from_base": True}, "uses no base; drop from_base"),
    ],
    ids=str,
)
def test_what_mergekit_does_not_know_is_refused_before_any_work(settings, message):
    pytest.importorskip("mergekit")
    with pytest.raises(AyaError, match=message):
        Mergekit(**settings).build()


def test_what_mergekit_refuses_is_told_with_the_tensor():
    pytest.importorskip("mergekit")
    with pytest.raises(AyaError, match=r"method 'slerp' refuses 'model.weight': .*exactly 2 inputs"):
        apply(Mergekit(method="slerp", parameters={"t": 0.5}), normal(0, 3), None, torch.zeros(7, 13))


def test_mergekits_random_methods_draw_from_the_key_and_leave_the_generator_alone():
    pytest.importorskip("mergekit")
    merge = Mergekit(method="dare_ties", parameters={"density": 0.5})
    base, *models = normal(0, 3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = apply(merge, models, None, base, key=2**63 + 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(first, apply(merge, models, None, base, key=2**63 + 1))
    assert not torch.equal(first, apply(merge, models, None, base, key=2**63 + 2))


def test_mergekits_parameters_may_vary_as_ours_do():
    pytest.importorskip("mergekit")
    base, *models = normal(0, 3)
    by_model = Mergekit(method="ties", parameters={"density": {"model-0": 0.2, "model-1": 0.7}})
    ours = Ties(density={"model-0": 0.2, "model-1": 0.7})
    torch.testing.assert_close(apply(by_model, models, None, base), apply(ours, models, None, base))
    by_name = Mergekit(method="nearswap", parameters={"t": [{"filter": "weight", "value": 0.5}, 0.1]})
    torch.testing.assert_close(apply(by_name, models[:1], None, base), apply(NearSwap(t=0.5), models[:1], None, base))


def test_mergekits_merges_do_not_hand_back_their_inputs():
    pytest.importorskip("mergekit")
    (model,) = normal(0, 1)
    merged = apply(Mergekit(method="passthrough"), [model])
    assert torch.equal(merged, model)
    assert merged.data_ptr() != model.data_ptr()
