"""The nucleus is that of transformers' TopPLogitsWarper, however it is looked for."""

import pytest
import torch
from transformers import TopPLogitsWarper

from aya_plugins.modeling import nucleus
from aya_plugins.modeling.nucleus import NucleusWarper


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("likeliest", [4, 1024])
def test_it_leaves_what_transformers_leaves(share, sharpness, likeliest, monkeypatch):
    monkeypatch.setattr(nucleus, "LIKELIEST", likeliest)
    scores = sharpness * torch.randn(16, 3000, generator=torch.Generator().manual_seed(1))
    ours, theirs = NucleusWarper(share)(None, scores.clone()), TopPLogitsWarper(share)(None, scores.clone())
    differ = ours != theirs
    assert int(differ.sum()) <= 2  # where a running sum in float32 meets the share to its last digit
    assert torch.equal(ours[~differ], theirs[~differ])
    assert bool(ours.isfinite().any(-1).all())


def test_one_token_always_stays():
    scores = torch.tensor([[0.0, 9.0, 1.0], [-torch.inf, 0.0, -torch.inf]])
    assert NucleusWarper(1e-9)(None, scores).isfinite().sum(-1).tolist() == [1, 1]


def test_tokens_that_were_taken_out_stay_out():
    scores = torch.full((1, 50), -torch.inf)
    scores[0, 3:5] = torch.tensor([1.0, 2.0])
    assert NucleusWarper(0.99999)(None, scores).isfinite().nonzero()[:, 1].tolist() == [3, 4]
