"""What is remembered for L1 rescaling moves no bit."""

import pytest
import torch
from applying import apply, normal

from aya_plugins.merges import Breadcrumbs, DareLinear, DareTies, Della, Ties, rescaling


@pytest.mark.parametrize(
    "settings",
    [
        DareTies(density=0.4, rescale="l1"),
        DareLinear(density=0.4, rescale="l1"),
        Della(density=0.4, rescale="l1"),
        Ties(density=0.4, rescale="l1"),
        Breadcrumbs(density=0.4, gamma=0.1, rescale="l1"),
    ],
    ids=lambda settings: type(settings).__name__,
)
@pytest.mark.parametrize("rows", [2, None])
def test_what_is_forgotten_moves_no_bit(settings, rows, monkeypatch):
    base, *models = normal(1, 4, (7, 131))
    models[0][:3] = base[:3]  # differences of zero are neither kept nor dropped
    remembered = apply(settings, models, [0.5, 0.3, 0.9], base, 3, rows=rows)
    for room in (0, 3 * 2 * 131 // 8 + 3):  # nothing, and the first piece of two rows
        monkeypatch.setattr(rescaling, "REMEMBERED", room)
        forgotten = apply(settings, models, [0.5, 0.3, 0.9], base, 3, rows=rows)
        assert torch.equal(remembered.view(torch.int32), forgotten.view(torch.int32))
