"""Our merges beside mergekit 0.1.5's own functions, tensor by tensor."""

import pytest
import torch
from applying import apply
from ulps import assert_within_one_ulp

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
    Slerp,
    TaskArithmetic,
    Ties,
    Weighted,
)

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
# rows: of a piece. Every dtype, shape and cut, but not all of one with all of another: dtypes are rounded to at the end, and that
# cuts change no bit is a law of its own.
TENSORS = pytest.mark.parametrize(
    ("dtype", "shape", "rows"),
    [
        (torch.float32, (781,), None),
        (torch.bfloat16, (63, 129), None),
        (torch.float16, (63, 129), 7),
        (torch.float32, (40, 5, 5), 9),
        (torch.bfloat16, (40, 5, 5), None),
    ],
    ids=str,
)
WEIGHTS = [0.9, 0.4, 1.3]
# In float32, mergekit's own functions for these are up to nine units away from what they give in float64; ours are one.
EXACT = {"within": torch.float64}


@pytest.fixture
def theirs():
    """Merge one tensor with mergekit, in float32 unless told otherwise, rounded to the asked dtype at the end."""
    pytest.importorskip("mergekit")
    from mergekit.merge_methods.api import merge_tensors

    def merge(method, tensors, dtype, base_index=None, within=torch.float32, **parameters):
        return merge_tensors(
            tensors, method, parameters=parameters, base_index=base_index, dtype=within, out_dtype=dtype
        )

    return merge


def fresh(count, shape, dtype, seed=0):
    """Make models that differ from the first as fine-tuned ones differ from their base."""
    generator = torch.Generator().manual_seed(seed + count * 1000 + len(shape))
    base = torch.randn(shape, generator=generator)
    rest = [base + 0.3 * torch.randn(shape, generator=generator) for _ in range(count - 1)]
    return [tensor.to(dtype) for tensor in (base, *rest)]


def ours(settings, tensors, weights, base, dtype, rows=None):
    wide = [tensor.float() for tensor in tensors]
    return apply(settings, wide, weights, None if base is None else base.float(), rows=rows).to(dtype)


@TENSORS
@pytest.mark.parametrize("normalize", [True, False])
def test_weighted_is_mergekits_linear(theirs, dtype, shape, rows, normalize):
    tensors = fresh(4, shape, dtype)
    weights = [0.1, 0.7, 1.3, 0.4]
    expected = theirs("linear", tensors, dtype, weight=weights, normalize=normalize)
    assert_within_one_ulp(ours(Weighted(normalize=normalize), tensors, weights, None, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_slerp_is_mergekits(theirs, dtype, shape, rows, t):
    tensors = fresh(2, shape, dtype)
    expected = theirs("slerp", tensors, dtype, base_index=0, t=t)
    assert_within_one_ulp(ours(Slerp(t=t), tensors, [1.0, 1.0], None, dtype, rows), expected)


@DTYPES
@pytest.mark.parametrize("nearness", [1e-3, 0.02, 0.04])
def test_slerp_takes_the_line_where_mergekit_does(theirs, dtype, nearness):
    base = fresh(1, (500,), torch.float32)[0]
    other = base + nearness * base.flip(0)
    tensors = [base.to(dtype), other.to(dtype)]
    expected = theirs("slerp", tensors, dtype, base_index=0, t=0.3)
    assert_within_one_ulp(ours(Slerp(t=0.3), tensors, [1.0, 1.0], None, dtype), expected)


@TENSORS
@pytest.mark.parametrize("normalize_weights", [True, False])
@pytest.mark.parametrize("from_base", [True, False])
def test_multislerp_is_mergekits(theirs, dtype, shape, rows, normalize_weights, from_base):
    base, *models = fresh(4, shape, dtype)
    inputs, index = ([base, *models], 0) if from_base else (models, None)
    expected = theirs("multislerp", inputs, dtype, index, weight=WEIGHTS, normalize_weights=normalize_weights, **EXACT)
    settings = MultiSlerp(normalize_weights=normalize_weights, from_base=from_base)
    assert_within_one_ulp(ours(settings, models, WEIGHTS, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("max_iter", [0, 1, 10])
def test_karcher_is_mergekits(theirs, dtype, shape, rows, max_iter):
    tensors = [tensor + shift for tensor, shift in zip(fresh(3, shape, dtype), (0, 0.7, -0.4), strict=True)]
    expected = theirs("karcher", tensors, dtype, max_iter=max_iter, tol=1e-5, **EXACT)
    assert_within_one_ulp(ours(Karcher(max_iter=max_iter), tensors, [1.0] * 3, None, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("filter_wise", [True, False])
@pytest.mark.parametrize("count", [2, 3])
def test_model_stock_is_mergekits(theirs, dtype, shape, rows, filter_wise, count):
    base, *models = fresh(count + 1, shape, dtype)
    models = [model + 0.2 * (models[0] - base) for model in models]  # so that they agree in part
    expected = theirs("model_stock", [base, *models], dtype, 0, filter_wise=filter_wise, **EXACT)
    settings = ModelStock(filter_wise=filter_wise)
    assert_within_one_ulp(ours(settings, models, [1.0] * count, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("normalize", [True, False])
def test_task_arithmetic_is_mergekits(theirs, dtype, shape, rows, normalize):
    base, *models = fresh(4, shape, dtype)
    parameters = {"weight": WEIGHTS, "normalize": normalize, "lambda": 0.8}
    expected = theirs("task_arithmetic", [base, *models], dtype, 0, **parameters)
    settings = TaskArithmetic(normalize=normalize, lambda_=0.8)
    assert_within_one_ulp(ours(settings, models, WEIGHTS, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("density", [[0.2, 0.6, 0.0], [0.53] * 3, [1.0] * 3], ids=str)
@pytest.mark.parametrize(("normalize", "rescale"), [(True, "none"), (False, "l1")])
def test_ties_is_mergekits(theirs, dtype, shape, rows, density, normalize, rescale):
    # In float32, where no two magnitudes are equal: mergekit leaves open which of equals it keeps.
    base, *models = fresh(4, shape, torch.float32)
    parameters = {"weight": WEIGHTS, "density": density, "normalize": normalize, "lambda": 0.8}
    expected = theirs("ties", [base, *models], dtype, 0, rescale=rescale == "l1", **parameters)
    by_model = {f"model-{index}": value for index, value in enumerate(density)}
    settings = Ties(density=by_model, normalize=normalize, lambda_=0.8, rescale=rescale)
    assert_within_one_ulp(ours(settings, models, WEIGHTS, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("density", [0.3, 0.95, 1.0])
@pytest.mark.parametrize(("elect", "method"), [("none", "breadcrumbs"), ("weighted", "breadcrumbs_ties")])
@pytest.mark.parametrize("rescale", ["none", "l1"])
def test_breadcrumbs_is_mergekits(theirs, dtype, shape, rows, density, elect, method, rescale):
    base, *models = fresh(4, shape, torch.float32)
    parameters = {"weight": WEIGHTS, "density": density, "gamma": 0.1, "lambda": 0.8, "rescale": rescale == "l1"}
    expected = theirs(method, [base, *models], dtype, 0, **parameters)
    settings = Breadcrumbs(density=density, gamma=0.1, lambda_=0.8, elect=elect, rescale=rescale)
    assert_within_one_ulp(ours(settings, models, WEIGHTS, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("select_topk", [0.3, 1.0])
def test_sce_is_mergekits(theirs, dtype, shape, rows, select_topk):
    base, *models = fresh(4, shape, torch.float32)
    expected = theirs("sce", [base, *models], dtype, 0, select_topk=select_topk)
    assert_within_one_ulp(ours(Sce(select_topk=select_topk), models, [1.0] * 3, base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("t", [1e-4, 0.1])
def test_nearswap_is_mergekits(theirs, dtype, shape, rows, t):
    base, model = fresh(2, shape, dtype)
    expected = theirs("nearswap", [base, model], dtype, 0, t=t)
    assert_within_one_ulp(ours(NearSwap(t=t), [model], [1.0], base, dtype, rows), expected)


@TENSORS
@pytest.mark.parametrize("density", [0.0, 1.0])
@pytest.mark.parametrize(
    ("settings", "method", "elect"),
    [
        (DareLinear, "dare_linear", {}),
        (DareTies, "dare_ties", {}),
        (Della, "della", {"elect": "weighted"}),
        (Della, "della_linear", {"elect": "none"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("normalize", [True, False])
def test_random_merges_are_mergekits_where_nothing_is_left_to_chance(
    theirs, dtype, shape, rows, density, settings, method, elect, normalize
):
    base, *models = fresh(4, shape, torch.float32)
    parameters = {"weight": WEIGHTS, "density": [1.0, density, 1.0], "normalize": normalize, "lambda": 0.8}
    expected = theirs(method, [base, *models], dtype, 0, **parameters)
    by_model = {"model-0": 1, "model-1": density, "model-2": 1}
    chosen = settings(density=by_model, normalize=normalize, lambda_=0.8, rescale="l1", **elect)
    assert_within_one_ulp(ours(chosen, models, WEIGHTS, base, dtype, rows), expected)


def test_l1_rescaling_of_dare_is_mergekits(theirs):
    from mergekit.sparsify import RescaleNorm, rescaled_masked_tensor

    (vector,) = fresh(1, (3000,), torch.float32)
    merged = apply(DareTies(density=0.4, rescale="l1"), [vector], [1.0], torch.zeros(3000), key=1)
    mask = (merged != 0).float()
    torch.testing.assert_close(merged, rescaled_masked_tensor(vector, mask, RescaleNorm.l1), rtol=1e-6, atol=0)


def test_the_ranks_of_della_are_mergekits(theirs, monkeypatch):
    import mergekit.sparsify

    from aya_plugins.merges.della import by_rank, probabilities

    seen = []
    monkeypatch.setattr(
        mergekit.sparsify.torch, "bernoulli", lambda chances: seen.append(chances) or torch.ones_like(chances)
    )
    (vector,) = fresh(1, (30, 41), torch.float32)
    mergekit.sparsify.della_magprune(vector, density=0.4, epsilon=0.2)
    ours = torch.empty(30, 41).scatter_(-1, by_rank(vector), probabilities(41, 0.4, 0.2).float().expand(30, 41))
    torch.testing.assert_close(ours, seen[0], rtol=1e-5, atol=1e-6)


@TENSORS
def test_passthrough_is_mergekits(theirs, dtype, shape, rows):
    (model,) = fresh(1, shape, dtype)
    expected = theirs("passthrough", [model], dtype, scale=0.3)
    assert_within_one_ulp(ours(Passthrough(scale=0.3), [model], [1.0], None, dtype, rows), expected)


@pytest.mark.parametrize(
    ("method", "models", "has_base", "weights", "parameters"),
    [
        ("linear", 3, False, WEIGHTS, {}),
        ("ties", 3, True, WEIGHTS, {"density": 0.4}),
        ("slerp", 1, True, None, {"t": 0.3}),
        ("nuslerp", 2, False, [0.3, 0.6], {}),
        ("nuslerp", 2, True, [0.3, 0.6], {"nuslerp_row_wise": True, "nuslerp_flatten": False}),
        ("arcee_fusion", 1, True, None, {}),
        ("ram", 2, True, None, {}),
        ("ramplus_tl", 2, True, None, {"r": 0.2}),
        ("karcher", 3, False, None, {"max_iter": 5}),
        ("passthrough", 1, False, None, {"scale": 0.4}),
    ],
)
def test_mergekits_methods_are_mergekits(theirs, method, models, has_base, weights, parameters):
    base, *tensors = fresh(models + 1, (21, 33), torch.float32)
    inputs, index = ([base, *tensors], 0) if has_base else (tensors, None)
    given = {**parameters, **({"weight": weights} if weights else {})}
    expected = theirs(method, inputs, torch.float32, index, **given)
    settings = Mergekit(method=method, parameters=parameters, from_base=has_base and method == "nuslerp")
    merged = apply(settings, tensors, weights or [1.0] * models, base if has_base else None)
    assert torch.equal(merged, expected)
