"""Every kernel on small tensors, by its CPU path. A kernel has no version of its own: it is part of what calls it."""

from functools import partial

import torch
from golden import Maker

from aya_kernels import Keep, census, draws, gram, kth_magnitude, merge_task_vectors, token_logps, weighted_sum


def makers() -> dict[str, Maker]:
    kernels = {
        "token_logps": _token_logps,
        "weighted_sum": _weighted_sum,
        "merge_task_vectors": _merge_task_vectors,
        "draws": lambda: {"words": draws((1, 2), 3, 6)},
        "gram": lambda: {"products": gram(_tensors(3)), "of differences": gram(_tensors(3), _tensors(4)[3])},
        "census": lambda: dict(zip(("above", "inside"), census(_tensors(1)[0], 0.5, 1.0), strict=True)),
        "kth_magnitude": lambda: {f"k = {k}": kth_magnitude(_tensors(1)[0], k) for k in (1, 5, 24)},
    }
    return {f"kernel {name}": partial(lambda run, _: run(), run) for name, run in kernels.items()}


def _tensors(count, shape=(3, 8)):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def _token_logps():
    targets = torch.tensor([1, -100, 4])
    settings = {
        "plain": {},
        "scaled": {"logit_scale": 0.25, "temperature": 0.7},
        "capped": {"softcap": 3.0, "bias": torch.linspace(-1, 1, 6)},
    }
    results = {}
    for case, how in settings.items():
        hidden = _tensors(1)[0].requires_grad_()
        weight = _tensors(2, (6, 8))[1].requires_grad_()
        logps, entropy = token_logps(hidden, weight, targets, with_entropy=True, **how)
        logps.sum().backward()
        results[case] = {"logps": logps, "entropy": entropy, "in hidden": hidden.grad[0], "in weight": weight.grad[1]}
    return results


def _weighted_sum():
    tensors = _tensors(2)
    halves = [tensor.bfloat16() for tensor in tensors]
    return {"float32": weighted_sum(tensors, [0.7, -0.2]), "bfloat16": weighted_sum(halves, [0.7, -0.2])}


def _merge_task_vectors():
    base, *tensors = _tensors(4)
    keep = [Keep(low=0.4), Keep(density=0.5, key=(1, 2), scale=2.0), Keep(high=1.5)]
    return {
        "all": merge_task_vectors(base, tensors, [0.5, 0.3, 0.4]),
        "some": merge_task_vectors(base, tensors, [0.5, 0.3, 0.4], keep=keep, lambda_=0.8),
        "elected": merge_task_vectors(base, tensors, [0.5, 0.3, 0.4], keep=keep, elect="weighted", normalize=True),
    }
