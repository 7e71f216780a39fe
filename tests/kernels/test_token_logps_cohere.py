"""token_logps on a tiny Cohere model, the family of Aya Expanse: scaled logits, tied embeddings."""

import pytest
import torch
from torch import Tensor

from aya_kernels import token_logps


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    from transformers import CohereConfig, CohereForCausalLM

    torch.manual_seed(0)
    config = CohereConfig(
        vocab_size=781,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        logit_scale=0.25,
        tie_word_embeddings=True,
        initializer_range=0.5,  # at the default 0.02 an untrained model is uniform and any scale would pass
    )
    return CohereForCausalLM(config).eval()


@pytest.fixture
def input_ids() -> Tensor:
    return torch.randint(5, 781, (2, 33), generator=torch.Generator().manual_seed(1))


def logps_from_hidden(model: torch.nn.Module, input_ids: Tensor, logit_scale: float, backend: str) -> Tensor:
    hidden = model.model(input_ids).last_hidden_state[:, :-1].flatten(0, 1)
    targets = input_ids[:, 1:].flatten()
    return token_logps(hidden, model.lm_head.weight, targets, logit_scale=logit_scale, chunk_tokens=16, backend=backend)


def logps_from_logits(model: torch.nn.Module, input_ids: Tensor) -> Tensor:
    logits = model(input_ids).logits[:, :-1].flatten(0, 1)
    return torch.log_softmax(logits, dim=-1).gather(1, input_ids[:, 1:].flatten()[:, None]).squeeze(1)


def test_hidden_states_give_the_log_probabilities_of_the_models_own_logits(
    model: torch.nn.Module, input_ids: Tensor, backend: str, device: str
) -> None:
    model, input_ids = model.to(device), input_ids.to(device)
    own = logps_from_logits(model, input_ids)
    torch.testing.assert_close(logps_from_hidden(model, input_ids, 0.25, backend), own)
    assert not torch.allclose(logps_from_hidden(model, input_ids, 1.0, backend), own, atol=0.1)  # the scale matters


def test_the_tied_embedding_gets_the_gradient_that_the_models_own_logits_give(
    model: torch.nn.Module, input_ids: Tensor, backend: str, device: str
) -> None:
    model, input_ids = model.to(device), input_ids.to(device)
    embedding = model.get_input_embeddings().weight
    assert embedding is model.lm_head.weight
    (fused,) = torch.autograd.grad(logps_from_hidden(model, input_ids, 0.25, backend).sum(), embedding)
    (own,) = torch.autograd.grad(logps_from_logits(model, input_ids).sum(), embedding)
    torch.testing.assert_close(fused, own, rtol=1e-4, atol=1e-4)
