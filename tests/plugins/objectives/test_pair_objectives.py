"""Laws of the bundled objectives over pairs, and one value by hand each."""

import math

import pytest
import torch
from hypothesis import given, strategies as st

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

nats = st.floats(-200, -(2.0**-7), width=32)
betas = st.floats(0.01, 2)
ALL = [Dpo, Ipo, Hinge, Robust, Simpo, Orpo, Cpo, Kto, Exo, ApoZero, ApoDown, Sppo, DpoNorm]
AGAINST_A_REFERENCE = [kind for kind in ALL if getattr(kind, "needs_reference", True)]
OF_THE_MARGIN = [Dpo, Ipo, Hinge, Robust, Simpo, Exo, DpoNorm]
"""They do not change when both answers gain as much."""


def pair(chosen, rejected, reference_chosen=0, reference_rejected=0, chosen_tokens=4, rejected_tokens=7):
    values = (chosen, rejected, reference_chosen, reference_rejected)
    tokens = (chosen_tokens, rejected_tokens)
    return PairLogps(*(torch.tensor([float(value)]) for value in values), *(torch.tensor([count]) for count in tokens))


def loss(objective, pairs):
    return objective.build()(pairs).losses


def slopes(objective, *values, **tokens):
    """The gradients of the loss in the chosen and in the rejected log-probability."""
    made = pair(*values, **tokens)
    made.chosen.requires_grad_()
    made.rejected.requires_grad_()
    loss(objective, made).sum().backward()
    return made.chosen.grad.item(), made.rejected.grad.item()


# By hand: log-probabilities -10 and -11, references -12 and -9, 2 and 4 tokens, so log-ratios 2 and -2, margin 4 -------


def s(x):
    return 1 / (1 + math.exp(-x))


def odds(mean):
    return math.exp(mean) / (1 - math.exp(mean))


BY_HAND = [
    (Dpo(beta=0.5), math.log(1 + math.exp(-2)), (1, -1)),  # 0.126928
    (Ipo(beta=0.5), (2 / 2 + 2 / 4 - 1) ** 2, (1, -1)),
    (Hinge(beta=0.1), 1 - 0.4, (0.2, -0.2)),
    (Robust(beta=0.5, label_smoothing=0.1), (0.9 * 0.126928 - 0.1 * 2.126928) / 0.8, (1, -1)),
    (Simpo(beta=2, gamma=1.5), math.log(1 + math.exp(-(-10 + 5.5 - 1.5))), (-10, -5.5)),  # 2 (-5), 2 (-2.75)
    (Orpo(beta=0.1), 5 + 0.1 * math.log(1 + odds(-2.75) / odds(-5)), (-0.5, -0.275)),
    (Cpo(beta=0.5), math.log(1 + math.exp(-0.5)) + 5, (-5, -5.5)),
    (Kto(beta=0.5), (1 - s(1 - 0) + 1 - s(1 + 1)) / 2, (1, -1)),  # z: 0 of the rejected, 1 of the chosen
    (Exo(beta=0.5, label_smoothing=0.1), s(2) * math.log(s(2) / 0.9) + s(-2) * math.log(s(-2) / 0.1), (1, -1)),
    (ApoZero(beta=0.5), 1 - s(1) + s(-1), (1, -1)),
    (ApoDown(beta=0.5), s(1) + 1 - s(2), (1, -1)),
    (Sppo(beta=0.5), (2 - 1) ** 2 + (-2 + 1) ** 2, (1, -1)),
    (DpoNorm(beta=2), math.log(1 + math.exp(-2 * (1 + 0.5))), (2, -1)),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "expected", "rewards"), BY_HAND)
def test_a_pair_worked_by_hand(objective, expected, rewards):
    found = objective.build()(pair(-10, -11, -12, -9, chosen_tokens=2, rejected_tokens=4))
    assert found.losses.item() == pytest.approx(expected, rel=1e-5)
    assert (found.chosen_rewards.item(), found.rejected_rewards.item()) == pytest.approx(rewards)


def test_every_objective_has_a_value_worked_by_hand():
    assert {type(objective) for objective, _, _ in BY_HAND} == set(ALL)


# Where policy and reference agree -----------------------------------------------------------------------------------

AT_THE_REFERENCE = [
    (Dpo, lambda beta: math.log(2)),
    (Ipo, lambda beta: 1 / (4 * beta**2)),
    (Hinge, lambda beta: 1.0),
    (Robust, lambda beta: math.log(2)),
    (Kto, lambda beta: 0.5),
    (Exo, lambda beta: -0.5 * math.log(4 * 1e-3 * (1 - 1e-3))),
    (ApoZero, lambda beta: 1.0),
    (ApoDown, lambda beta: 1.0),
    (Sppo, lambda beta: 1 / (2 * beta**2)),
    (DpoNorm, lambda beta: math.log(2)),
]


@pytest.mark.parametrize(("kind", "value"), AT_THE_REFERENCE)
@given(chosen=nats, rejected=nats, beta=betas)
def test_the_loss_at_the_reference_is_the_same_for_every_pair(kind, value, chosen, rejected, beta):
    found = kind(beta=beta).build()(pair(chosen, rejected, chosen, rejected))
    assert found.losses.item() == pytest.approx(value(beta), rel=1e-5)
    assert found.chosen_rewards.item() == found.rejected_rewards.item() == 0


def test_every_objective_with_a_reference_has_its_value_there():
    assert {kind for kind, _ in AT_THE_REFERENCE} == set(AGAINST_A_REFERENCE)


@pytest.mark.parametrize("kind", [Simpo, Orpo, Cpo])
@given(reference_chosen=nats, reference_rejected=nats)
def test_an_objective_without_reference_does_not_look_at_one(kind, reference_chosen, reference_rejected):
    assert torch.equal(loss(kind(), pair(-3, -4, reference_chosen, reference_rejected)), loss(kind(), pair(-3, -4)))


# Gradients ----------------------------------------------------------------------------------------------------------

NEAR = (-10.0, -11.0, -10.5, -10.8)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not ApoDown])
def test_a_step_down_the_loss_raises_the_chosen_answer_and_sinks_the_rejected_one(kind):
    up, down = slopes(kind(), *NEAR)
    assert up < 0 < down


def test_apo_down_sinks_the_rejected_answer_always_and_the_chosen_one_once_its_margin_is_won():
    assert slopes(ApoDown(), -10, -20, -10, -20) == (0, pytest.approx(0.1 / 4))  # at the reference
    up, down = slopes(ApoDown(), -10, -40, -10, -20)
    assert up > 0
    assert down > 0


@pytest.mark.parametrize("kind", OF_THE_MARGIN)
@given(chosen=nats, rejected=nats, shift=st.floats(-20, 20, width=32))
def test_an_objective_of_the_margin_does_not_change_when_both_answers_gain_as_much(kind, chosen, rejected, shift):
    tokens = {"chosen_tokens": 5, "rejected_tokens": 5}
    before = loss(kind(), pair(chosen, rejected, -50, -60, **tokens))
    after = loss(kind(), pair(chosen + shift, rejected + shift, -50, -60, **tokens))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [Orpo, Cpo, Kto, ApoZero, ApoDown, Sppo])
def test_the_other_objectives_do_change_then(kind):
    tokens = {"chosen_tokens": 5, "rejected_tokens": 5}
    before = loss(kind(), pair(-10, -12, -11, -11, **tokens))
    assert before != loss(kind(), pair(-8, -10, -11, -11, **tokens))


@pytest.mark.parametrize("kind", [Dpo, Hinge, Simpo, Orpo, Cpo, ApoZero, DpoNorm])
@given(chosen=nats, rejected=nats, gain=st.floats(0.1, 50))
def test_the_loss_never_grows_with_the_margin(kind, chosen, rejected, gain):
    before = loss(kind(), pair(chosen - gain, rejected, -50, -60)).item()
    assert loss(kind(), pair(chosen, rejected, -50, -60)).item() <= before + 1e-5
    assert loss(kind(), pair(chosen - gain, rejected - gain, -50, -60)).item() <= before + 1e-5


@pytest.mark.parametrize("kind", ALL)
@given(data=st.data())
def test_a_pair_and_its_mirror_image_swap_their_rewards(kind, data):
    values = [data.draw(nats) for _ in range(4)]
    one = kind().build()(pair(*values))
    other = kind().build()(pair(values[1], values[0], values[3], values[2], chosen_tokens=7, rejected_tokens=4))
    torch.testing.assert_close(one.chosen_rewards, other.rejected_rewards)
    torch.testing.assert_close(one.rejected_rewards, other.chosen_rewards)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not Kto])
def test_the_loss_of_a_pair_does_not_depend_on_the_pairs_beside_it(kind):
    both = PairLogps(
        *(torch.tensor([one, 3 * one]) for one in (-10.0, -11.0, -12.0, -9.0)), *[torch.tensor([3, 5])] * 2
    )
    alone = pair(-10, -11, -12, -9, chosen_tokens=3, rejected_tokens=3)
    torch.testing.assert_close(loss(kind(), both)[:1], loss(kind(), alone))


# Single objectives --------------------------------------------------------------------------------------------------


def test_smoothed_dpo_is_least_where_the_model_believes_as_much_as_the_labels():
    """The least of -(1 - e) log s - e log(1 - s) is at s = 1 - e: a margin of log((1 - e) / e), here 1.386294."""
    up, down = slopes(Dpo(beta=1, label_smoothing=0.2), 1.386294, 0)
    assert (up, down) == pytest.approx((0, 0), abs=1e-6)


def test_ipo_grows_again_beyond_its_aim_while_dpo_keeps_falling():
    near, far = pair(4 * 5.0, 0), pair(4 * 50.0, 0)
    assert loss(Ipo(beta=0.1), near).item() == pytest.approx(0)
    assert loss(Ipo(beta=0.1), far) > loss(Ipo(beta=0.1), near)
    assert loss(Dpo(beta=0.1), far) < loss(Dpo(beta=0.1), near)


def test_hinge_leaves_a_pair_alone_whose_margin_is_wide_enough():
    assert slopes(Hinge(beta=0.1), 0, -9.9) == pytest.approx((-0.1, 0.1))
    assert slopes(Hinge(beta=0.1), 0, -10.1) == (0, 0)


@given(chosen=nats, rejected=nats, e=st.floats(0, 0.49))
def test_robust_over_flipped_labels_is_dpo_over_right_ones_on_average(chosen, rejected, e):
    robust = Robust(beta=0.1, label_smoothing=e)
    right, flipped = pair(chosen, rejected), pair(rejected, chosen)
    mean = (1 - e) * loss(robust, right).double() + e * loss(robust, flipped).double()
    assert mean.item() == pytest.approx(loss(Dpo(beta=0.1), right).item(), rel=1e-3, abs=1e-3)


def test_robust_without_flipped_labels_is_dpo():
    pairs = pair(*NEAR)
    torch.testing.assert_close(loss(Robust(label_smoothing=0), pairs), loss(Dpo(), pairs))


def test_simpo_with_a_wider_aim_pushes_harder():
    forces = [slopes(Simpo(gamma=gamma), -10, -11)[1] for gamma in (0, 1, 3)]
    assert forces == sorted(forces)
    assert forces[0] < forces[-1]


@given(chosen=nats, rejected=nats, times=st.integers(2, 5))
@pytest.mark.parametrize("objective", [Simpo(), DpoNorm(), Ipo(), Orpo()])
def test_an_objective_by_token_does_not_change_with_length(objective, chosen, rejected, times):
    short = pair(chosen, rejected, 1.1 * chosen, 0.9 * rejected)
    long = pair(times * chosen, times * rejected, times * 1.1 * chosen, times * 0.9 * rejected, 4 * times, 7 * times)
    torch.testing.assert_close(loss(objective, short), loss(objective, long), rtol=1e-4, atol=1e-4)


def test_orpo_of_an_answer_that_is_sure_has_a_gradient():
    for chosen, rejected in ((0, -3), (-3, 0), (0, 0), (-1e-9, -400)):
        found = slopes(Orpo(), chosen, rejected)
        assert all(math.isfinite(slope) for slope in found)


@pytest.mark.parametrize("kind", [Orpo, Cpo])
def test_the_likelihood_of_a_pair_is_a_mean_over_the_chosen_tokens_with_a_weight(kind):
    pairs = pair(-10, -11, chosen_tokens=5)
    without = loss(kind(nll_weight=0), pairs)
    torch.testing.assert_close(loss(kind(), pairs) - without, torch.tensor([2.0]))
    torch.testing.assert_close(loss(kind(nll_weight=0.25), pairs) - without, torch.tensor([0.5]))


def test_orpo_without_weight_on_the_odds_is_fine_tuning():
    assert slopes(Orpo(beta=0), -10, -11, chosen_tokens=5) == (pytest.approx(-1 / 5), 0)


def test_cpo_without_its_likelihood_is_dpo_under_a_uniform_reference():
    torch.testing.assert_close(loss(Cpo(nll_weight=0), pair(-10, -11)), loss(Dpo(), pair(-10, -11, -5, -5)))


def test_dpo_norm_is_dpo_with_a_share_of_its_beta_where_answers_are_equally_long():
    pairs = pair(-10, -11, -12, -9, chosen_tokens=8, rejected_tokens=8)
    torch.testing.assert_close(loss(DpoNorm(beta=4), pairs), loss(Dpo(beta=0.5), pairs))


def test_kto_takes_its_point_from_the_mean_of_the_other_answers_and_lets_no_gradient_through():
    values = [torch.tensor(numbers) for numbers in ([-10.0, -20.0], [-11.0, -13.0], [-12.0, -23.0], [-15.0, -16.0])]
    for place in (0, 1):
        values[place].requires_grad_()
    pairs = PairLogps(*values, *[torch.tensor([1, 1])] * 2)  # log-ratios 2 and 3; 4 and 3, of mean 3.5
    found = loss(Kto(beta=1), pairs)
    expected = [(1 - s(2 - 3.5) + 1 - s(2.5 - 4)) / 2, (1 - s(3 - 3.5) + 1 - s(2.5 - 3)) / 2]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    found[0].backward()
    assert pairs.chosen.grad[0].item() == pytest.approx(-s(-1.5) * s(1.5) / 2, rel=1e-5)
    assert pairs.chosen.grad[1] == 0


def test_kto_never_puts_its_point_below_the_reference():
    below = loss(Kto(beta=1), pair(-20, -30))
    assert below.item() == pytest.approx((1 - s(-20) + 1 - s(30)) / 2)


def test_exo_is_least_at_the_margin_of_its_labels_and_lets_go_of_hopeless_pairs():
    e = 0.1
    aim = math.log((1 - e) / e)
    assert loss(Exo(beta=1, label_smoothing=e), pair(aim, 0)).item() == pytest.approx(0, abs=1e-6)
    assert abs(slopes(Exo(beta=1), -30, 0)[0]) < 1e-6
    assert abs(slopes(Dpo(beta=1), -30, 0)[0]) == pytest.approx(1)


def test_sppo_is_zero_where_each_answer_is_at_its_aim():
    assert loss(Sppo(beta=0.05), pair(10, -10)).item() == 0
    assert slopes(Sppo(beta=0.05), 0, 0) == pytest.approx((-20, 20))


@pytest.mark.parametrize("kind", [Dpo, Hinge, Kto, ApoZero, ApoDown, Exo, Robust, DpoNorm])
def test_a_small_beta_makes_small_forces(kind):
    big, small = slopes(kind(beta=0.1), *NEAR)[1], slopes(kind(beta=1e-4), *NEAR)[1]
    assert abs(small) < 0.01 * abs(big)
