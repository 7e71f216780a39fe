"""What an objective must do."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from aya_core.contract.kinds import GroupLogps, GroupLoss, ObjectiveStrategy, PairLogps, PairLoss
from aya_core.testing.strategy import Rules, check_strategy

if TYPE_CHECKING:
    from torch import Tensor

PAIRS = 7
GROUPS = (3, 2, 1, 4)
"""Samples of each sample group: one is single, and the scores of the last are equal."""


def check_objective(strategy: ObjectiveStrategy) -> None:
    """Check an objective on a batch of pairs, or of groups where it is `over = "groups"`.

    Raises AssertionError that says which rule is broken. Needs torch.
    """
    check_strategy(strategy, "objective")
    expect = Rules(strategy)
    if strategy.over == "pairs":
        _check(expect, strategy, sample_pairs(), ("chosen", "rejected"), PairLoss, PAIRS, "pair")
    else:
        _check(expect, strategy, sample_group_logps(), ("logps",), GroupLoss, sum(GROUPS), "sample")
        _check_padding(expect, strategy.build())


def _check(
    expect: Rules, strategy: ObjectiveStrategy, given: Any, learned: tuple[str, ...], expected: type[Any], count: int, unit: str
) -> None:  # fmt: skip
    """Check what is asked of both kinds. learned: the inputs in which losses must have a gradient."""
    import torch

    objective = strategy.build()
    before = {field.name: getattr(given, field.name).detach().clone() for field in fields(given)}
    found = _with_seed(0, objective, given)
    expect(isinstance(found, expected), f"returned {type(found).__name__}; expected {expected.__name__}")
    for name, values in _values(found).items():
        expect(
            tuple(values.shape) == (count,),
            f"{name} has shape {tuple(values.shape)}; expected one value per {unit}, ({count},)",
        )
        expect(bool(torch.isfinite(values).all()), f"{name} must be finite")
        if name == "losses":
            expect(values.requires_grad, "losses must carry a gradient")
        else:
            expect(not values.requires_grad, f"{name} must carry no gradient (detach them)")
    found.losses.sum().backward()
    gradients = [getattr(given, name).grad for name in learned if getattr(given, name).grad is not None]
    expect(
        bool(gradients) and all(bool(torch.isfinite(gradient).all()) for gradient in gradients),
        "losses must have a finite gradient in the log-probabilities of the policy",
    )
    for name, values in before.items():
        expect(torch.equal(getattr(given, name), values), f"must not change its input: {name}")
    again = _values(_with_seed(1, objective, given))
    is_same = all(torch.equal(values, again[name]) for name, values in _values(found).items())
    expect(is_same, f"must be a pure function: the same {unit}s gave other losses")
    if not strategy.needs_reference:
        names = [name for name in before if name.startswith("reference")]
        other = {name: (place + 1.5) * before[name] for place, name in enumerate(names)}  # no change that pairs share
        unlike = _with_seed(0, objective, replace(given, **other))
        expect(
            torch.equal(unlike.losses, found.losses),
            "says that it needs no reference (`needs_reference`), but its losses change with the reference",
        )


def _check_padding(expect: Rules, objective: Any) -> None:
    """Check that tables may be wider than the longest sample."""
    import torch

    groups = sample_group_logps()
    tables = {
        name: torch.nn.functional.pad(getattr(groups, name), (0, 3))
        for name in ("logps", "sampled_logps", "reference_logps")
    }
    found, wider = objective(groups), objective(replace(groups, **tables))
    expect(
        torch.allclose(found.losses, wider.losses, rtol=1e-5, atol=1e-6),
        "losses must not change with the width of the tables; what lies beyond the `tokens` of a sample is no token",
    )


def _values(loss: Any) -> dict[str, Tensor]:
    """What an objective said, by name; an optional part may be missing."""
    named = {field.name: getattr(loss, field.name) for field in fields(loss)}
    return {name: values for name, values in named.items() if values is not None}


def _with_seed(seed: int, objective: Any, given: Any) -> Any:
    """Call with this state of the global random numbers, which must make no difference."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return objective(given)


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


def sample_group_logps() -> GroupLogps:
    """Make four groups of samples; in the first, policy, sampler and reference agree."""
    import torch

    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor(GROUPS)
    samples, width = int(sizes.sum()), 9
    groups = torch.arange(len(GROUPS)).repeat_interleave(sizes)
    tokens = torch.randint(1, width + 1, (samples,), generator=generator)
    mask = torch.arange(width) < tokens[:, None]
    sampled = (-2 * torch.rand((samples, width), generator=generator) - 0.5) * mask
    reference, policy = (
        sampled + 0.3 * torch.randn((samples, width), generator=generator) * mask * (groups > 0)[:, None]
        for _ in range(2)
    )
    scores = torch.rand(samples, generator=generator)
    scores[groups == len(GROUPS) - 1] = 0.7
    return GroupLogps(
        logps=policy.clone().requires_grad_(),
        sampled_logps=sampled,
        reference_logps=reference,
        tokens=tokens,
        scores=scores,
        groups=groups,
    )
