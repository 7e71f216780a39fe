"""draws against its definition and against numpy, on both backends."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from aya_kernels import draws
from aya_kernels.draws.reference import reference_draws

KEYS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@pytest.mark.parametrize(
    ("key", "start", "count"),
    [
        ((0, 0), 0, 40),
        ((2**64 - 1, 2**63), 5, 1),
        ((1, 2), 7, 0),
        ((3, 4), 2**63 - 3, 21),
        ((5, 6), 8 * 2**32 - 3, 9),
    ],
)
@pytest.mark.usefixtures("poisoned")
def test_words_are_the_references(key: tuple[int, int], start: int, count: int, backend: str, device: str) -> None:
    words = draws(key, start, count, device=device, backend=backend)
    assert words.dtype is torch.int64
    assert torch.equal(words.cpu(), reference_draws(key, start, count))


def test_the_triton_stream_is_numpys_over_more_than_a_program(backend: str, device: str) -> None:
    raw = np.random.Philox(key=np.array((7, 8), np.uint64)).random_raw(1100)
    words = draws((7, 8), 0, 2200, device=device, backend=backend)
    assert np.array_equal(words.cpu().numpy().astype("<u4"), raw.astype("<u8").view("<u4"))


@given(key=KEYS, count=st.integers(0, 300))
def test_words_are_numpys_raw_stream_low_half_first(key: tuple[int, int], count: int) -> None:
    raw = np.random.Philox(key=np.array(key, np.uint64)).random_raw(150)
    assert draws(key, 0, count).tolist() == raw.astype("<u8").view("<u4")[:count].tolist()


@given(key=KEYS, start=st.integers(0, 2**40), cuts=st.lists(st.integers(0, 70), min_size=1, max_size=6))
def test_words_do_not_depend_on_how_the_range_is_cut(key: tuple[int, int], start: int, cuts: list[int]) -> None:
    parts, position = [], start
    for cut in cuts:
        parts.append(draws(key, position, cut))
        position += cut
    assert torch.equal(torch.cat(parts), draws(key, start, sum(cuts)))


def test_each_half_of_the_key_names_another_stream() -> None:
    streams = [draws(key, 0, 64) for key in ((0, 0), (1, 0), (0, 1), (1, 1))]
    for i, words in enumerate(streams):
        assert not any((words == other).any() for other in streams[:i])


@pytest.mark.parametrize(
    ("key", "start", "count", "message"),
    [
        ((-1, 0), 0, 1, r"key\[0\] is -1"),
        ((0, 2**64), 0, 1, r"key\[1\] is 18446744073709551616"),
        ((0, 0), -5, 1, "start is -5"),
        ((0, 0), 2**63, 1, "start is 9223372036854775808"),
        ((0, 0), 0, -1, "count is -1"),
    ],
)
def test_what_is_out_of_range_is_refused_and_named(key: tuple[int, int], start: int, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draws(key, start, count)
