"""Laws of the bundled objectives, one value by hand each, and equality with TRL's own code."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aya_core.api import PairLogps
from aya_plugins.objectives.dpo import Dpo, dpo_loss
from aya_plugins.objectives.ipo import Ipo, ipo_loss

nats = st.floats(-200, 0, width=32)


def pair(chosen, rejected, reference_chosen, reference_rejected, chosen_tokens=4, rejected_tokens=7):
    values = (chosen, rejected, reference_chosen, reference_rejected)
    tokens = (chosen_tokens, rejected_tokens)
    return PairLogps(*(torch.tensor([float(value)]) for value in values), *(torch.tensor([count]) for count in tokens))


def random_pairs(seed, pairs=6):
    numbers = torch.Generator().manual_seed(seed)
    logps = [-20 * torch.rand(pairs, generator=numbers) for _ in range(4)]
    tokens = [torch.randint(1, 12, (pairs,), generator=numbers) for _ in range(2)]
    logps[0].requires_grad_()
    logps[1].requires_grad_()
    return PairLogps(*logps, *tokens)


def trl_loss(pairs, loss_type, beta):
    """Run the loss of TRL's own trainer on given log-probabilities: a stand-in model gives them as token log-probs."""
    from trl.trainer.dpo_trainer import DPOTrainer

    tokens = torch.cat([pairs.chosen_tokens, pairs.rejected_tokens])
    mask = (torch.arange(int(tokens.max()) + 1) >= 1) & (torch.arange(int(tokens.max()) + 1) <= tokens[:, None])
    shifted = mask[:, 1:]
    logps = torch.cat([pairs.chosen, pairs.rejected])[:, None] * shifted / tokens[:, None]
    zeros = torch.zeros_like(logps)
    answer = SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=shifted)
    recorded = {}

    class Metrics(dict):
        def __missing__(self, key):
            self[key] = recorded[key] = []
            return self[key]

    accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x
    )  # fmt: skip
    trainer = SimpleNamespace(
        model=torch.nn.Linear(1, 1), accelerator=accelerator, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[loss_type], loss_weights=[1.0], beta=beta,
        use_weighting=False, label_smoothing=0.0, _metrics={"train": Metrics(), "eval": Metrics()}, _total_train_tokens=0,
        _tp_size=1,
    )  # fmt: skip
    inputs = {
        "input_ids": mask.long(), "attention_mask": mask.long(), "completion_mask": mask.long(),
        "ref_chosen_logps": pairs.reference_chosen, "ref_rejected_logps": pairs.reference_rejected,
    }  # fmt: skip
    loss = DPOTrainer._compute_loss(trainer, lambda **_: answer, inputs, return_outputs=False)
    return loss, {name: values[-1] for name, values in recorded.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("objective", "loss_type", "beta"),
    [(Dpo, "sigmoid", 0.1), (Dpo, "sigmoid", 0.5), (Ipo, "ipo", 0.1), (Ipo, "ipo", 1.0)],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_value_and_gradient_equal_those_of_trl(objective, loss_type, beta, seed):
    ours, theirs = random_pairs(seed), random_pairs(seed)
    said = objective(beta=beta).build()(ours)
    said.losses.mean().backward()
    loss, metrics = trl_loss(theirs, loss_type, beta)
    loss.backward()
    torch.testing.assert_close(said.losses.mean(), loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.chosen.grad, theirs.chosen.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.rejected.grad, theirs.rejected.grad, rtol=1e-5, atol=1e-6)
    assert said.chosen_rewards.mean().item() == pytest.approx(metrics["rewards/chosen"], rel=1e-5)
    assert said.rejected_rewards.mean().item() == pytest.approx(metrics["rewards/rejected"], rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_smoothed_dpo_is_a_mixture_of_trl_losses_of_both_orders(seed):
    pairs, e = random_pairs(seed), 0.2
    swapped = PairLogps(
        pairs.rejected, pairs.chosen, pairs.reference_rejected, pairs.reference_chosen, pairs.rejected_tokens,
        pairs.chosen_tokens,
    )  # fmt: skip
    expected = (1 - e) * trl_loss(pairs, "sigmoid", 0.3)[0] + e * trl_loss(swapped, "sigmoid", 0.3)[0]
    found = Dpo(beta=0.3, label_smoothing=e).build()(pairs).losses.mean()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@given(nats, nats, st.floats(0.01, 2), st.floats(0, 0.49))
def test_dpo_is_log_2_when_policy_and_reference_agree(chosen, rejected, beta, smoothing):
    loss = dpo_loss(pair(chosen, rejected, chosen, rejected), beta=beta, label_smoothing=smoothing)
    assert loss.losses.item() == pytest.approx(math.log(2), rel=1e-6)
    assert loss.chosen_rewards.item() == loss.rejected_rewards.item() == 0


@given(nats, nats, nats, nats, st.floats(-50, 50, width=32))
def test_dpo_does_not_change_when_both_answers_gain_as_much(chosen, rejected, reference_c, reference_r, shift):
    before = dpo_loss(pair(chosen, rejected, reference_c, reference_r), beta=0.1).losses
    after = dpo_loss(pair(chosen + shift, rejected + shift, reference_c, reference_r), beta=0.1).losses
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


@given(nats, nats, nats, nats, st.floats(0.1, 50))
def test_dpo_falls_as_the_margin_grows(chosen, rejected, reference_c, reference_r, gain):
    before = dpo_loss(pair(chosen, rejected, reference_c, reference_r), beta=0.1).losses.item()
    assert dpo_loss(pair(chosen + gain, rejected, reference_c, reference_r), beta=0.1).losses.item() <= before


def test_dpo_of_a_pair_worked_by_hand():
    """beta 0.5: r_chosen = 0.5 (-10 + 12) = 1, r_rejected = 0.5 (-11 + 9) = -1, loss = log(1 + exp(-2)) = 0.126928."""
    loss = dpo_loss(pair(-10, -11, -12, -9), beta=0.5)
    assert loss.losses.item() == pytest.approx(0.126928, abs=1e-6)
    assert (loss.chosen_rewards.item(), loss.rejected_rewards.item()) == (1.0, -1.0)


def test_smoothed_dpo_is_least_where_the_model_believes_as_much_as_the_labels():
    """The least of -(1 - e) log s - e log(1 - s) is at s = 1 - e: a margin of log((1 - e) / e), here 1.386294."""
    margin = torch.tensor([1.386294], requires_grad=True)
    zero = torch.zeros(1)
    dpo_loss(PairLogps(margin, zero, zero, zero, zero, zero), beta=1.0, label_smoothing=0.2).losses.backward()
    assert margin.grad.item() == pytest.approx(0, abs=1e-6)


def test_ipo_of_a_pair_worked_by_hand():
    """beta 0.5, 2 and 4 tokens: h = (-10 + 12) / 2 - (-11 + 9) / 4 = 1.5; loss = (1.5 - 1)^2 = 0.25."""
    loss = ipo_loss(pair(-10, -11, -12, -9, chosen_tokens=2, rejected_tokens=4), beta=0.5)
    assert loss.losses.item() == pytest.approx(0.25)
    assert (loss.chosen_rewards.item(), loss.rejected_rewards.item()) == (1.0, -1.0)


@given(nats, nats, st.floats(0.05, 2))
def test_ipo_is_its_squared_aim_when_policy_and_reference_agree(chosen, rejected, beta):
    loss = ipo_loss(pair(chosen, rejected, chosen, rejected), beta=beta).losses.item()
    assert loss == pytest.approx(1 / (4 * beta**2), rel=1e-5)


def test_ipo_grows_again_beyond_its_aim_while_dpo_keeps_falling():
    near, far = pair(4 * 5.0, 0, 0, 0), pair(4 * 50.0, 0, 0, 0)
    assert ipo_loss(near, beta=0.1).losses.item() == pytest.approx(0)
    assert ipo_loss(far, beta=0.1).losses > ipo_loss(near, beta=0.1).losses
    assert dpo_loss(far, beta=0.1).losses < dpo_loss(near, beta=0.1).losses


@pytest.mark.parametrize("strategy", [Dpo(), Ipo()])
def test_rewards_carry_no_gradient_and_losses_do(strategy):
    loss = strategy.build()(random_pairs(0))
    assert loss.losses.requires_grad
    assert not loss.chosen_rewards.requires_grad
    assert not loss.rejected_rewards.requires_grad
    assert loss.losses.shape == loss.chosen_rewards.shape == (6,)
