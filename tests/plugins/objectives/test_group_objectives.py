"""Laws of the bundled objectives over groups, values by hand, and equality with TRL's own trainers."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st
from trl_losses import GroupTrainer

from aya_core.api import GroupLogps
from aya_core.testing import tiny_causal_lm
from aya_plugins.objectives.groups import compare
from aya_plugins.objectives.grpo import Grpo
from aya_plugins.objectives.rloo import Rloo

DR_GRPO = Grpo(beta=0, scale_by_std=False, length_normalization="constant", constant_tokens=16)
VARIANTS = [Grpo(), DR_GRPO, Grpo(unbiased_kl=True), Rloo(), Rloo(beta=0)]


def random_groups(seed, sizes=(3, 3), width=6, drift=0.2):
    """Make groups of samples. drift: how far policy, sampler and reference are apart, nats a token."""
    numbers = torch.Generator().manual_seed(seed)
    samples = sum(sizes)
    tokens = torch.randint(1, width + 1, (samples,), generator=numbers)
    tokens[0] = width  # TRL's tables are as wide as the longest
    mask = torch.arange(width) < tokens[:, None]
    sampled = -(0.1 + 3 * torch.rand((samples, width), generator=numbers)) * mask
    policy, reference = (sampled + drift * torch.randn((samples, width), generator=numbers) * mask for _ in range(2))
    return GroupLogps(
        policy.requires_grad_(), sampled, reference, tokens, torch.randn(samples, generator=numbers),
        torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
    )  # fmt: skip


def group(scores, log_ratios, reference_ratios=None, sampled=-1.0):
    """Make one group of answers of a token each. log_ratios: log(policy / sampler). reference_ratios: log(reference / sampler)."""
    sampler = torch.full((len(scores), 1), sampled)
    reference = sampler + torch.tensor(reference_ratios or [0.0] * len(scores))[:, None]
    return GroupLogps(
        (sampler + torch.tensor(log_ratios)[:, None]).requires_grad_(), sampler, reference,
        torch.ones(len(scores), dtype=torch.int64), torch.tensor(scores), torch.zeros(len(scores), dtype=torch.int64),
    )  # fmt: skip


def replied(objective, groups):
    return objective.build()(groups)


# By hand ------------------------------------------------------------------------------------------------------------


def test_rloo_worked_by_hand():
    """Scores 1, 3, 8, beta 0.5, log(sampler / reference) -2, 0, 2: R = 2, 3, 7, baselines 5, 4.5, 2.5, advantages -3, -1.5, 4.5.

    Ratios 1, e^0.1 and e^0.3, of which the last is clipped to 1.2: losses 3, 1.5 e^0.1 and -5.4.
    """
    found = replied(Rloo(beta=0.5), group([1.0, 3.0, 8.0], [0.0, 0.1, 0.3], [2.0, 0.0, -2.0]))
    assert found.advantages.tolist() == pytest.approx([-3, -1.5, 4.5])
    assert found.losses.tolist() == pytest.approx([3, 1.5 * math.exp(0.1), -5.4])
    assert found.clip_ratio.tolist() == [0, 0, 1]
    expected = [math.exp(2) - 2 - 1, math.exp(-0.1) + 0.1 - 1, math.exp(-2.3) + 2.3 - 1]
    assert found.kl.tolist() == pytest.approx(expected, rel=1e-5)


def test_grpo_worked_by_hand():
    """Scores 1, 2, 6: mean 3, deviation sqrt(7), advantages -2, -1 and 3 over 2.645851; the first is clipped at 0.8."""
    found = replied(Grpo(beta=0.1), group([1.0, 2.0, 6.0], [-0.5, 0.1, 0.1], [0.0, 0.1, 0.4]))
    scaled = [value / (math.sqrt(7) + 1e-4) for value in (-2, -1, 3)]
    assert found.advantages.tolist() == pytest.approx(scaled)
    kl = [math.exp(0.5) - 0.5 - 1, 0, math.exp(0.3) - 0.3 - 1]
    assert found.kl.tolist() == pytest.approx(kl, abs=1e-6)
    terms = [0.8 * scaled[0], math.exp(0.1) * scaled[1], math.exp(0.1) * scaled[2]]
    assert found.losses.tolist() == pytest.approx([-term + 0.1 * k for term, k in zip(terms, kl, strict=True)])
    assert found.clip_ratio.tolist() == [1, 0, 0]


def test_dr_grpo_divides_sums_by_the_same_for_all_and_does_not_scale():
    groups = random_groups(0, drift=0.01)
    by_hand = -(
        ((groups.logps - groups.sampled_logps).exp() - (torch.arange(6) >= groups.tokens[:, None]).float()).sum(1)
    )
    centered = groups.scores - groups.scores.view(2, 3).mean(1).repeat_interleave(3)
    torch.testing.assert_close(replied(DR_GRPO, groups).losses, by_hand * centered / 16)


# TRL ----------------------------------------------------------------------------------------------------------------

TRL = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:TRL:UserWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def trl(tmp_path_factory):
    """Make both trainers of TRL once, on a tiny model that is never run."""
    from accelerate.state import AcceleratorState
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    folder = tmp_path_factory.mktemp("trl")
    model = str(tiny_causal_lm(folder / "model"))
    yield {
        "grpo": GroupTrainer(GRPOTrainer, GRPOConfig, model, folder / "grpo", loss_type="grpo"),
        "rloo": GroupTrainer(RLOOTrainer, RLOOConfig, model, folder / "rloo"),
    }
    AcceleratorState._reset_state(True)


def assert_same(objective, trainer, seed, **settings):
    ours, theirs = random_groups(seed), random_groups(seed)
    found = replied(objective, ours)
    found.losses.mean().backward()
    loss, metrics, advantages = trainer.loss(theirs, 3, **settings)
    loss.backward()
    torch.testing.assert_close(found.losses.mean(), loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.logps.grad, theirs.logps.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.advantages, advantages, rtol=1e-5, atol=1e-5)
    return found, metrics, ours


@TRL
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("beta", [0.0, 0.04, 0.5])
@pytest.mark.parametrize("scale_by_std", [True, False])
@pytest.mark.parametrize("bounds", [(0.2, 0.2), (0.1, 0.28)])
@pytest.mark.parametrize("unbiased", [False, True])
def test_value_and_gradient_of_grpo_equal_those_of_trl(trl, seed, beta, scale_by_std, bounds, unbiased):
    low, high = bounds
    objective = Grpo(beta=beta, scale_by_std=scale_by_std, clip_low=low, clip_high=high, unbiased_kl=unbiased)
    settings = {
        "epsilon_low": low, "epsilon_high": high, "scale_rewards": "group" if scale_by_std else "none",
        "use_bias_correction_kl": unbiased,
    }  # fmt: skip
    found, metrics, groups = assert_same(objective, trl["grpo"], seed, beta=beta, loss_type="grpo", **settings)
    tokens = groups.tokens.sum()
    if beta:
        assert (found.kl.sum() / tokens).item() == pytest.approx(metrics["kl"], rel=1e-4)
    clipped = (found.clip_ratio * groups.tokens).sum() / tokens
    assert clipped.item() == pytest.approx(metrics["clip_ratio/region_mean"], abs=1e-6)


@TRL
@pytest.mark.parametrize("seed", range(2))
def test_value_and_gradient_of_dr_grpo_equal_those_of_trl(trl, seed):
    settings = {"loss_type": "dr_grpo", "max_completion_length": 16, "scale_rewards": "none", "epsilon_low": 0.2}
    assert_same(DR_GRPO, trl["grpo"], seed, beta=0.0, epsilon_high=0.2, **settings)


@TRL
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("beta", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("bounds", [(0.2, 0.2), (0.1, 0.4)])
def test_value_and_gradient_of_rloo_equal_those_of_trl(trl, seed, beta, bounds):
    low, high = bounds
    objective = Rloo(beta=beta, clip_low=low, clip_high=high)
    found, metrics, _ = assert_same(objective, trl["rloo"], seed, beta=beta, epsilon_low=low, epsilon_high=high)
    assert found.clip_ratio.mean().item() == pytest.approx(metrics["clip_ratio/region_mean"], abs=1e-6)


@TRL
def test_some_ratios_are_clipped_in_the_comparisons_with_trl():
    shares = [replied(objective, random_groups(seed)).clip_ratio for seed in range(4) for objective in (Grpo(), Rloo())]
    assert 0.05 < torch.cat(shares).mean() < 0.9


# Laws ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [Grpo(beta=0), DR_GRPO, Rloo(beta=0)])
def test_the_gradient_at_the_sampler_is_that_of_reinforce(objective):
    groups = random_groups(0, drift=0)
    found = replied(objective, groups)
    found.losses.sum().backward()
    per_token = {Rloo: torch.ones(6), Grpo: 1 / groups.tokens}[type(objective)]
    if objective is DR_GRPO:
        per_token = torch.full((6,), 1 / 16)
    mask = torch.arange(6) < groups.tokens[:, None]
    torch.testing.assert_close(groups.logps.grad, -(found.advantages * per_token)[:, None] * mask)


@pytest.mark.parametrize("objective", VARIANTS)
def test_equal_scores_and_a_single_sample_have_no_advantage_to_the_bit(objective):
    groups = random_groups(1, sizes=(3, 1, 2), drift=0)
    groups = replace(groups, scores=torch.tensor([0.1, 0.1, 0.1, 5.0, -0.7, -0.7]))
    found = replied(objective, groups)
    assert found.advantages.tolist() == [0] * 6
    found.losses.sum().backward()
    assert not groups.logps.grad.any()


@given(st.lists(st.sampled_from([-3.0, -0.1, 0.1, 0.3, 7.7]), min_size=2, max_size=8), st.floats(-100, 100, width=32))
def test_advantages_add_up_to_nothing_and_a_score_more_for_all_changes_nothing(scores, shift):
    ids = torch.zeros(len(scores), dtype=torch.int64)
    centered, deviation, count = compare(torch.tensor(scores), ids)
    assert centered.sum().item() == pytest.approx(0, abs=1e-5)
    assert deviation[0].item() == pytest.approx(torch.tensor(scores).std().item(), abs=1e-5)
    assert count.tolist() == [len(scores)] * len(scores)
    torch.testing.assert_close(compare(torch.tensor(scores) + shift, ids)[0], centered, rtol=0, atol=1e-4)


@pytest.mark.parametrize("objective", VARIANTS)
@pytest.mark.parametrize("sizes", [(3, 3), (2, 4, 1), (1, 1, 5)])
def test_a_group_alone_says_what_it_says_beside_others(objective, sizes):
    groups = random_groups(2, sizes)
    found, start = replied(objective, groups), 0
    for size in sizes:
        part = slice(start, start + size)
        alone = replied(objective, GroupLogps(**{name: values[part] for name, values in vars(groups).items()}))
        for name, values in vars(alone).items():
            torch.testing.assert_close(values, getattr(found, name)[part], rtol=1e-5, atol=1e-6)
        start += size


@pytest.mark.parametrize("objective", VARIANTS)
def test_names_of_groups_do_not_matter(objective):
    groups = random_groups(3)
    other = replace(groups, groups=7 - groups.groups)
    torch.testing.assert_close(replied(objective, groups).losses, replied(objective, other).losses)


def test_grpo_does_not_change_with_the_scale_of_scores_unless_told():
    groups = random_groups(4)
    wide = replace(groups, scores=1000 * groups.scores)
    torch.testing.assert_close(replied(Grpo(), groups).losses, replied(Grpo(), wide).losses, rtol=1e-3, atol=1e-3)
    unscaled = Grpo(scale_by_std=False)
    torch.testing.assert_close(replied(unscaled, wide).advantages, 1000 * replied(unscaled, groups).advantages)


def test_the_mean_over_tokens_favors_short_right_answers_and_the_constant_does_not():
    """Of two right answers, one of 1 token and one of 6, a token of the short one is pushed six times as hard."""
    groups = random_groups(5, sizes=(3,), drift=0)
    groups = replace(groups, tokens=torch.tensor([6, 1, 6]), scores=torch.tensor([1.0, 1.0, 0.0]))
    for objective, times in ((Grpo(beta=0), 6), (DR_GRPO, 1)):
        groups.logps.grad = None
        replied(objective, groups).losses.sum().backward()
        force = groups.logps.grad[:, 0]
        assert (force[1] / force[0]).item() == pytest.approx(times)


@pytest.mark.parametrize("objective", [Grpo(beta=0), Rloo(beta=0)])
def test_a_ratio_beyond_its_bound_gives_no_gradient_in_the_direction_it_has_gone(objective):
    """The first two are better and worse than their group, and have gone too far; the last two came back too far."""
    ratios = [0.5, -0.5, -0.5, 0.5]
    groups = group([1.0, 0.0, 1.0, 0.0], ratios)
    found = replied(objective, groups)
    found.losses.sum().backward()
    assert groups.logps.grad[:2].flatten().tolist() == [0, 0]
    assert groups.logps.grad[2:].all()
    assert found.clip_ratio.tolist() == [1, 1, 0, 0]


@given(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32))
def test_the_divergence_is_never_below_zero_and_zero_where_both_agree(policy, reference):
    kl = replied(Grpo(), group([0.0, 1.0], [policy, 0.0], [reference, 0.0])).kl
    assert kl[0] >= -1e-6
    assert kl[1] == 0


def test_the_divergence_of_grpo_pulls_each_token_to_the_reference():
    groups = group([1.0, 1.0], [0.1, -0.1])
    replied(Grpo(beta=1), groups).losses.sum().backward()
    up, down = groups.logps.grad.flatten().tolist()
    assert up > 0 > down


def test_the_gradient_of_the_unbiased_divergence_is_that_of_the_divergence():
    """Over all tokens of a small vocabulary, weighed by how likely the sampler draws each."""
    numbers = torch.Generator().manual_seed(0)
    logits, drawn, kept = (torch.randn(5, generator=numbers) for _ in range(3))
    sampled, reference = drawn.log_softmax(0), kept.log_softmax(0)
    gradients = {}
    for name in ("exact", True, False):
        logits = logits.detach().requires_grad_()
        policy = logits.log_softmax(0)
        if name == "exact":
            (policy.exp() * (policy - reference)).sum().backward()
        else:
            ones = torch.ones(5, dtype=torch.int64)
            tables = [logps[:, None] for logps in (policy, sampled, reference)]
            groups = GroupLogps(*tables, ones, torch.zeros(5), torch.zeros(5, dtype=torch.int64))
            (sampled.exp() * replied(Grpo(beta=1, unbiased_kl=name), groups).losses).sum().backward()
        gradients[name] = logits.grad
    torch.testing.assert_close(gradients[True], gradients["exact"])
    assert not torch.allclose(gradients[False], gradients["exact"], atol=1e-2)


def test_the_divergence_of_rloo_counts_in_the_baseline_too():
    """A penalty that is the same for all samples of a group changes nothing."""
    groups = group([1.0, 3.0, 8.0], [0.0] * 3, [0.7] * 3)
    torch.testing.assert_close(replied(Rloo(beta=2), groups).advantages, replied(Rloo(beta=0), groups).advantages)


@pytest.mark.parametrize("kind", [Grpo, Rloo])
def test_a_reference_is_needed_where_the_divergence_has_a_weight(kind):
    assert kind().needs_reference
    assert not kind(beta=0).needs_reference
