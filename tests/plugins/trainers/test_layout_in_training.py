"""Training with rows laid end to end gives what padded rows give."""

import pytest
import torch
from safetensors.torch import load_file

from aya_core.api import AyaError
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.sft import Sft


def assert_like(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=5e-5, msg=name)


@pytest.mark.parametrize("forward_tokens", [60, 10_000])
def test_sft_packs_rows_without_one_seeing_another(checkpoint, counting, rows_folder, run_trainer, forward_tokens):
    rows, settings = rows_folder(counting), {"steps": 4, "batch_rows": 16, "learning_rate": 1e-3}
    padded, expected = run_trainer(Sft(**settings, layout="padded"), rows, start=checkpoint())
    line, found = run_trainer(
        Sft(**settings, layout="padding-free", forward_tokens=forward_tokens), rows, start=checkpoint()
    )
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert_like(padded, line)


def test_preferences_and_likelihoods_go_end_to_end_too(checkpoint, pairs, rows_folder, run_trainer):
    rows, settings = rows_folder(pairs), {"steps": 3, "batch_rows": 8, "learning_rate": 1e-3}
    for strategy, job in ((PreferenceTraining, {"objective": Dpo().build()}), (RewardTraining, {})):
        options = {**settings, "score": "likelihood"} if strategy is RewardTraining else settings
        padded, line = (
            run_trainer(strategy(**options, layout=layout), rows, start=checkpoint(), **job)[0]
            for layout in ("padded", "padding-free")
        )
        assert_like(padded, line)


def test_a_reward_head_takes_padded_rows(checkpoint, pairs, rows_folder, run_trainer):
    rows = rows_folder(pairs)
    with pytest.raises(AyaError, match="layout: padding-free is for models that give log-probabilities"):
        run_trainer(RewardTraining(steps=1, layout="padding-free"), rows, start=checkpoint("llama"))
    _, measures = run_trainer(RewardTraining(steps=1), rows, start=checkpoint("llama"))
    assert measures["steps"] == 1
