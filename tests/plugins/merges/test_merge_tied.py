"""Weights that are copies of others."""

import pytest
import torch
from checkpoints import load, merge

from aya_core.api import DataError
from aya_plugins.merges import DareTies, Weighted


class TestTiedWeights:
    """A head that is a copy of the embedding may be stored or left out."""

    @pytest.fixture
    def tied(self, write_model, random_tensors):
        def write(name, seed, stored):
            tensors = random_tensors(seed)
            if stored:
                tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
            return write_model(name, tensors)

        return write

    def test_a_copy_that_the_first_model_leaves_out_is_left_out(self, tied, out):
        merge(Weighted(), [tied("a", 0, False), tied("b", 1, True)], out)
        assert "lm_head.weight" not in load(out)

    def test_a_copy_that_only_the_first_model_stores_is_merged_with_their_embedding(self, tied, out):
        account = merge(DareTies(density=0.5), [tied("a", 0, False)], out, base=tied("b", 1, True))
        merged = load(out)
        assert torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])
        assert account["tied"] == {"model.embed_tokens.weight": "lm_head.weight"}

    def test_copies_that_all_models_store_stay_copies_of_each_other(self, tied, out):
        models = [tied(name, seed, True) for seed, name in enumerate("abc")]
        merge(DareTies(density=0.5), models[1:], out, base=models[0])
        merged = load(out)
        assert torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])

    def test_a_head_of_its_own_is_not_lost(self, tied, write_model, random_tensors, out):
        own = {**random_tensors(1), "lm_head.weight": torch.ones(48, 8)}
        with pytest.raises(DataError, match=r"only 'b' has 'lm_head.weight'"):
            merge(Weighted(), [tied("a", 0, False), write_model("b", own)], out)
