"""weighted_sum in plain torch, one cache-sized block at a time. Runs on any device; fast on CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aya_kernels.weighted_sum.reference import sum_dtype

# Per thread: a float32 sum, a float32 product and the input stay in a 1 MiB level-2 cache.
_VALUES_PER_THREAD = 1 << 16


def blocked_weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float], out_dtype: torch.dtype) -> Tensor:
    """Compute what reference_weighted_sum defines, bit for bit, with scratch space of a few blocks only.

    Product and sum are two roundings, not one fused multiply-add: torch fuses in its vector loops but not at
    their ends, so fused results would depend on how threads and blocks cut the tensor.
    """
    wide = sum_dtype(tensors, out_dtype)
    out = torch.empty(tensors[0].shape, dtype=out_dtype, device=tensors[0].device)
    flat_out = out.view(-1)
    flats = [tensor.reshape(-1) for tensor in tensors]  # copies only what is not contiguous
    length = flat_out.numel()
    block = min(length, _VALUES_PER_THREAD * torch.get_num_threads()) if out.device.type == "cpu" else length
    total, product = (torch.empty(block, dtype=wide, device=out.device) for _ in range(2))
    for start in range(0, length, max(block, 1)):
        size = min(block, length - start)
        block_total, block_product = total[:size].zero_(), product[:size]
        for flat, weight in zip(flats, weights, strict=True):
            values = flat[start : start + size]
            if values.dtype == wide:
                torch.mul(values, weight, out=block_product)
            else:  # widen first: the product of a bf16 tensor and a number is rounded to bf16
                block_product.copy_(values).mul_(weight)
            block_total.add_(block_product)
        flat_out[start : start + size] = block_total
    return out
