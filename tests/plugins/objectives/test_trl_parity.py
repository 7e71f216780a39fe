"""Values and gradients of the objectives over pairs equal those of TRL's own trainers, to 1e-5 in float32."""

import pytest
import torch
from trl_losses import dpo_trainer_loss, kto_trainer_loss, reference_free_loss

from aya_core.api import PairLogps
from aya_plugins.objectives.apo_down import ApoDown
from aya_plugins.objectives.apo_zero import ApoZero
from aya_plugins.objectives.cpo import Cpo
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.dpo_norm import DpoNorm
from aya_plugins.objectives.exo import Exo
from aya_plugins.objectives.hinge import Hinge
from aya_plugins.objectives.ipo import Ipo
from aya_plugins.objectives.kto import Kto
from aya_plugins.objectives.orpo import Orpo
from aya_plugins.objectives.robust import Robust
from aya_plugins.objectives.simpo import Simpo
from aya_plugins.objectives.sppo import Sppo

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:TRL:UserWarning"),
    pytest.mark.parametrize("seed", range(4)),
]


def random_pairs(seed, pairs=6, chosen_tokens=None):
    """Make pairs from summed log-probabilities that tokens can have. chosen_tokens: one length for all chosen answers."""
    numbers = torch.Generator().manual_seed(seed)
    tokens = [torch.randint(1, 12, (pairs,), generator=numbers) for _ in range(2)]
    if chosen_tokens is not None:
        tokens[0] = torch.full((pairs,), chosen_tokens)
    logps = [-(0.05 + 2 * torch.rand(pairs, generator=numbers)) * tokens[place % 2] for place in range(4)]
    logps[0].requires_grad_()
    logps[1].requires_grad_()
    return PairLogps(*logps, *tokens)


def assert_same(objective, run, **made):
    """Compare the mean loss, the gradients and the logged rewards. run: TRL's loss and metrics of some pairs."""
    ours, theirs = random_pairs(**made), random_pairs(**made)
    replied = objective.build()(ours)
    replied.losses.mean().backward()
    loss, metrics = run(theirs)
    loss.backward()
    torch.testing.assert_close(replied.losses.mean(), loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.chosen.grad, theirs.chosen.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.rejected.grad, theirs.rejected.grad, rtol=1e-5, atol=1e-6)
    if isinstance(objective, DpoNorm):
        return  # TRL logs the rewards of DPO there
    for name, rewards in (("chosen", replied.chosen_rewards), ("rejected", replied.rejected_rewards)):
        assert rewards.mean().item() == pytest.approx(float(metrics[f"rewards/{name}"]), rel=1e-5)


@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize(
    ("objective", "loss_type"),
    [(Dpo, "sigmoid"), (Ipo, "ipo"), (Hinge, "hinge"), (ApoZero, "apo_zero"), (ApoDown, "apo_down"), (Sppo, "sppo_hard"),
     (DpoNorm, "sigmoid_norm")],
)  # fmt: skip
def test_objectives_of_the_dpo_trainer(objective, loss_type, beta, seed):
    assert_same(objective(beta=beta), lambda pairs: dpo_trainer_loss(pairs, loss_type, beta), seed=seed)


@pytest.mark.parametrize(("objective", "loss_type"), [(Robust, "robust"), (Exo, "exo_pair")])
@pytest.mark.parametrize("smoothing", [1e-3, 0.3])
def test_objectives_of_the_dpo_trainer_that_smooth_labels(objective, loss_type, smoothing, seed):
    assert_same(
        objective(beta=0.3, label_smoothing=smoothing),
        lambda pairs: dpo_trainer_loss(pairs, loss_type, 0.3, smoothing), seed=seed,
    )  # fmt: skip


def test_smoothed_dpo_is_a_mixture_of_losses_of_both_orders(seed):
    """TRL's `sigmoid` does not smooth labels; what smoothing means is a mixture of its loss for both orders."""
    pairs, e = random_pairs(seed), 0.2
    swapped = PairLogps(
        pairs.rejected, pairs.chosen, pairs.reference_rejected, pairs.reference_chosen, pairs.rejected_tokens,
        pairs.chosen_tokens,
    )  # fmt: skip
    losses = [dpo_trainer_loss(order, "sigmoid", 0.3)[0] for order in (pairs, swapped)]
    found = Dpo(beta=0.3, label_smoothing=e).build()(pairs).losses.mean()
    torch.testing.assert_close(found, (1 - e) * losses[0] + e * losses[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_kto_of_pairs_is_that_of_the_kto_trainer_with_the_other_half_for_its_divergence(beta, seed):
    assert_same(Kto(beta=beta), lambda pairs: kto_trainer_loss(pairs, beta), seed=seed)


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (0.1, 0.5)])
def test_simpo_is_that_of_the_cpo_trainer_without_its_likelihood(beta, gamma, seed):
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    settings = {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": beta, "simpo_gamma": gamma}
    assert_same(
        Simpo(beta=beta, gamma=gamma), lambda pairs: reference_free_loss(pairs, CPOTrainer, **settings), seed=seed
    )


@pytest.mark.parametrize(("beta", "weight"), [(0.1, 1.0), (1.0, 0.3)])
def test_cpo_is_that_of_the_cpo_trainer_where_chosen_answers_are_equally_long(beta, weight, seed):
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    settings = {"loss_type": "sigmoid", "cpo_alpha": weight, "beta": beta}
    assert_same(
        Cpo(beta=beta, nll_weight=weight), lambda pairs: reference_free_loss(pairs, CPOTrainer, **settings),
        seed=seed, chosen_tokens=5,
    )  # fmt: skip


def test_cpo_without_its_likelihood_is_that_of_the_cpo_trainer_at_any_length(seed):
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    settings = {"loss_type": "sigmoid", "cpo_alpha": 0.0, "beta": 0.2}
    assert_same(
        Cpo(beta=0.2, nll_weight=0), lambda pairs: reference_free_loss(pairs, CPOTrainer, **settings), seed=seed
    )


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_is_that_of_the_orpo_trainer_where_chosen_answers_are_equally_long(beta, seed):
    """The stand-in prompt is one token, which nothing predicts: TRL's likelihood has the answers' tokens alone."""
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    assert_same(
        Orpo(beta=beta), lambda pairs: reference_free_loss(pairs, ORPOTrainer, beta=beta), seed=seed, chosen_tokens=5
    )


def test_the_likelihood_of_trl_weighs_long_answers_more_and_ours_does_not(seed):
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    pairs = random_pairs(seed)
    means = -pairs.chosen / pairs.chosen_tokens
    settings = {"loss_type": "sigmoid", "beta": 0.1}
    with_nll = reference_free_loss(pairs, CPOTrainer, cpo_alpha=1.0, **settings)[0]
    without = reference_free_loss(pairs, CPOTrainer, cpo_alpha=0.0, **settings)[0]
    by_tokens = -pairs.chosen.sum() / pairs.chosen_tokens.sum()
    torch.testing.assert_close(with_nll - without, by_tokens, rtol=1e-4, atol=1e-5)
    ours = (Cpo().build()(pairs).losses - Cpo(nll_weight=0).build()(pairs).losses).mean()
    torch.testing.assert_close(ours, means.mean(), rtol=1e-4, atol=1e-5)
