"""What a preference objective must do."""

from __future__ import annotations

from dataclasses import fields

from aya_core.kinds import Objective, PairLogps, PairLoss
from aya_core.strategies import Strategy
from aya_core.testing.rules import expect
from aya_core.testing.strategy import check_strategy

PAIRS = 7


def check_objective(strategy: Strategy[Objective]) -> None:
    """Check an objective on a batch of pairs. Raises AssertionError that says which rule is broken. Needs torch."""
    import torch

    check_strategy(strategy)
    objective = strategy.build()
    pairs = sample_pairs()
    before = {field.name: getattr(pairs, field.name).detach().clone() for field in fields(pairs)}
    found = _with_seed(0, objective, pairs)
    expect(isinstance(found, PairLoss), strategy, f"returned {type(found).__name__}; expected PairLoss")
    for field in fields(found):
        values = getattr(found, field.name)
        expect(
            tuple(values.shape) == (PAIRS,),
            strategy,
            f"{field.name} has shape {tuple(values.shape)}; expected one value per pair, ({PAIRS},)",
        )
        expect(bool(torch.isfinite(values).all()), strategy, f"{field.name} must be finite")
    expect(found.losses.requires_grad, strategy, "losses must carry a gradient")
    expect(
        not found.chosen_rewards.requires_grad and not found.rejected_rewards.requires_grad,
        strategy,
        "rewards must carry no gradient (detach them)",
    )
    found.losses.sum().backward()  # type: ignore[no-untyped-call]
    gradients = [values.grad for values in (pairs.chosen, pairs.rejected) if values.grad is not None]
    expect(
        bool(gradients) and all(bool(torch.isfinite(gradient).all()) for gradient in gradients),
        strategy,
        "losses must have a finite gradient in the log-probabilities of the policy",
    )
    for name, values in before.items():
        expect(torch.equal(getattr(pairs, name), values), strategy, f"must not change its input: {name}")
    again = _with_seed(1, objective, sample_pairs())
    expect(
        all(torch.equal(getattr(again, field.name), getattr(found, field.name)) for field in fields(found)),
        strategy,
        "must be a pure function: the same pairs gave other losses",
    )


def _with_seed(seed: int, objective: Objective, pairs: PairLogps) -> PairLoss:
    """Call with this state of the global random numbers, which must make no difference."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return objective(pairs)


def sample_pairs() -> PairLogps:
    """Make seven pairs; in the first, policy and reference agree."""
    import torch

    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 40, (2, PAIRS), generator=generator).float()
    reference = -2.0 * tokens - torch.rand((2, PAIRS), generator=generator)
    policy = reference + torch.randn((2, PAIRS), generator=generator)
    policy[:, 0] = reference[:, 0]
    return PairLogps(
        chosen=policy[0].clone().requires_grad_(),
        rejected=policy[1].clone().requires_grad_(),
        reference_chosen=reference[0],
        reference_rejected=reference[1],
        chosen_tokens=tokens[0],
        rejected_tokens=tokens[1],
    )
