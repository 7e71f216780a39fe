"""Compare tensors by units in the last place."""

import torch


def assert_within_one_ulp(a, b):
    """Differ by at most one unit in the last place.

    Both sides compute in float32, in another order, so that the last places of float32 itself differ. Three
    units are allowed there, of a number as large as the terms that were added up: at least 1.
    """
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    size = torch.maximum(a.abs(), b.abs()).double().clamp(min=torch.finfo(a.dtype).smallest_normal)
    ulp = torch.finfo(a.dtype).eps * torch.exp2(size.log2().floor())
    float32_ulp = torch.finfo(torch.float32).eps * size.clamp(min=1)
    excess = (a.double() - b.double()).abs() - torch.maximum(ulp, 3 * float32_ulp)
    assert excess.max().item() <= 0
