"""Selection over pieces gives what a sort of the whole gives."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from aya_core.testing.merge import InMemory
from aya_plugins.merges.selection import SAMPLE, TopK, keep_largest, thresholds

LONG = 3 * SAMPLE + 77


def kept(tensors, number, rows):
    """Which values of tensors that are taken as one are kept, as selection has it."""
    from aya_kernels import merge_task_vectors

    wholes = [InMemory((tensor[:, None],), None, rows) for tensor in tensors]
    found = thresholds(wholes, [TopK(0, number)])
    masks = []
    for whole, (threshold,) in zip(wholes, found, strict=True):

        def chosen(piece, threshold=threshold):
            (values,) = piece.models
            return merge_task_vectors(torch.zeros_like(values), [values], [1.0], keep=[keep_largest(piece, threshold)])

        masks.append(torch.cat(whole.map(chosen))[:, 0] != 0)
    return torch.cat(masks)


def expected(tensors, number):
    """Say the same by a stable sort: the larger first, and of equals the earlier."""
    values = torch.cat(list(tensors))
    mask = torch.zeros(len(values), dtype=torch.bool)
    mask[values.abs().sort(descending=True, stable=True).indices[:number]] = True
    return mask & (values != 0)


def spread(kind, length, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(length, generator=generator)
    if kind == "few numbers":
        return (values * 3).round()
    if kind == "mostly zeros":
        return torch.where(values > 2, values, 0)
    if kind == "one number":
        return torch.full((length,), 0.25)
    if kind == "sorted":
        return values.sort().values
    if kind == "large where the sample does not look":
        values[torch.arange(length) % 17 != 0] += 100
        return values
    if kind == "small rows":
        return values * torch.linspace(0.001, 1, length // 1000 + 1).repeat_interleave(1000)[:length]
    return values


KINDS = [
    "normal",
    "few numbers",
    "mostly zeros",
    "one number",
    "sorted",
    "small rows",
    "large where the sample does not look",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=30),
    st.integers(0, 31),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_short_tensors_are_cut_where_a_sort_cuts_them(values, number, rows, chunks):
    tensors = [part for part in torch.tensor(values).float().chunk(chunks) if len(part)]
    assert torch.equal(kept(tensors, number, rows), expected(tensors, number))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("share", "rows"), [(1e-5, 1009), (0.2, 10_007), (0.5, None), (0.5, 1009), (0.99999, 10_007), (0.99999, None)]
)
def test_long_tensors_are_cut_where_a_sort_cuts_them(kind, share, rows):
    values = spread(kind, LONG, 1)
    number = max(1, int(share * LONG))
    for tensors in ([values], list(values.split(LONG // 3))):
        assert torch.equal(kept(tensors, number, rows), expected(tensors, number))


def test_all_and_none_need_no_look():
    class Unread:
        shape = (4, 5)

        def map(self, function):
            raise AssertionError("was read")

        map_some = map

    ((all_of_it, none_of_it),) = thresholds([Unread()], [TopK(0, 20), TopK(0, 0)])
    assert all_of_it.magnitude == 0
    assert none_of_it.magnitude == float("inf")
