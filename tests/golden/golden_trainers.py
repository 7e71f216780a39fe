"""Two steps of every trainer on a tiny model."""

from functools import partial

import torch
from golden import Maker, bundled
from safetensors.torch import load_file

from aya_core.api import GroupLoss, PairLoss, Prompt, TrainingJob
from aya_core.contract.artifacts import write_rows
from aya_core.planning.registry import Registry
from aya_core.testing import sample_judged, sample_preferences, sample_prompts, tiny_causal_lm
from aya_core.testing.trainer import SAMPLES

FEW = {"steps": 2, "batch_rows": 4}
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
NOT_RESULTS = ("seconds", "per_second", "memory")
"""What is in the names of measures that tell of the machine."""


def makers(registry: Registry) -> dict[str, Maker]:
    return {f"trainer {name}": partial(_trained, registry, name) for name in bundled(registry, "trainer")}


def trained_router(registry, folder):
    """A checkpoint of the learned router."""
    return train(registry, "router", folder, sample_judged())[0]


def trained_reward_model(registry, folder):
    """A checkpoint of the reward model."""
    return train(registry, "reward", folder, sample_preferences())[0]


def train(registry, name, folder, rows):
    """Train on rows; returns the checkpoint and the final measures."""
    for one in ("rows", "out", "work", "prompts"):
        (folder / name / one).mkdir(parents=True)
    write_rows(folder / name / "prompts", Prompt, sample_prompts())
    write_rows(folder / name / "rows", type(rows[0]), rows)
    settings = {
        "initialize": {"config": {"model_type": "cohere", **SIZES}},
        "router": {**FEW, "prompts": str(folder / name / "prompts")},
    }
    strategy = registry.find("trainer", name)(**settings.get(name, FEW))
    family = "llama" if name in ("reward", "router") else "cohere"
    start = None if name == "initialize" else tiny_causal_lm(folder / name / "start", family)
    objective = _group_loss if strategy.objective_over == "groups" else _pair_loss
    given = {"objective": objective, "reference": start} if strategy.needs_objective else {}
    out = folder / name / "out"
    job = TrainingJob(folder / name / "rows", out, folder / name / "work", seed=1, start=start, **given)
    return out, strategy.build().train(job)


def _pair_loss(pairs):
    """A loss of the tests' own, so that a bundled one that changes does not change what a trainer does."""
    losses = -torch.nn.functional.logsigmoid(
        pairs.chosen - pairs.reference_chosen - pairs.rejected + pairs.reference_rejected
    )
    return PairLoss(losses, pairs.chosen.detach(), pairs.rejected.detach())


def _group_loss(groups):
    """The same for groups."""
    advantages = groups.scores - groups.scores.mean()
    kl = (groups.logps - groups.reference_logps).detach().sum(dim=1)
    return GroupLoss(-advantages * groups.logps.sum(dim=1), advantages, kl)


def _trained(registry, name, folder):
    out, measures = train(registry, name, folder, SAMPLES[registry.find("trainer", name).reads]())
    sums = {
        weight: [list(values.shape), values.double().abs().sum().item()]
        for path in sorted(out.glob("*.safetensors"))
        for weight, values in load_file(path).items()
    }
    kept = {measure: value for measure, value in measures.items() if not any(word in measure for word in NOT_RESULTS)}
    return {"measures": kept, **sums}
