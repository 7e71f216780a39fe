"""A few steps of DPO, ours and TRL's own trainer from the same start on the same pairs."""

import numpy
import pytest
from datasets import Dataset

from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.ipo import Ipo
from aya_plugins.trainers.preference import PreferenceTraining

STEPS, RATE = 5, 3e-3
SAME_NAMES = [
    "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected",
]  # fmt: skip


def ours(run_trainer, rows, start, objective, **settings):
    replied = []
    strategy = PreferenceTraining(
        steps=STEPS, batch_rows=27, learning_rate=RATE, schedule="constant", warmup=0, log_every=1, betas=(0.9, 0.999), **settings
    )  # fmt: skip
    run_trainer(
        strategy,
        rows,
        start=start,
        objective=objective.build(),
        report=lambda done, total, measures: replied.append(measures),
    )
    return replied


def theirs(pairs, start, folder, loss_type, beta):
    """All pairs in each step, so that the order of the rows does not matter."""
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    rows = [
        {
            "prompt": list(pair.prompt.messages),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in pairs
    ]
    arguments = DPOConfig(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=27, learning_rate=RATE, lr_scheduler_type="constant",
        warmup_steps=0, logging_steps=1, report_to=[], save_strategy="no", beta=beta, loss_type=[loss_type], max_grad_norm=1.0,
        adam_beta1=0.9, adam_beta2=0.999, weight_decay=0.0, bf16=False, use_cpu=True, disable_tqdm=True, dataset_num_proc=None,
        disable_dropout=True, gradient_checkpointing=False, max_length=100, seed=0,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=str(start), args=arguments, train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(start),
    )  # fmt: skip
    trainer.train()
    return [step for step in trainer.state.log_history if "rewards/chosen" in step]


@pytest.mark.parametrize(
    ("family", "objective", "loss_type"), [("cohere", Dpo(beta=0.3), "sigmoid"), ("llama", Ipo(beta=0.3), "ipo")]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_losses_rewards_and_log_probabilities_are_those_of_trl(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path, family, objective, loss_type
):
    start = checkpoint(family)
    mine = ours(run_trainer, rows_folder(pairs), start, objective)
    other = theirs(pairs, start, tmp_path, loss_type, objective.beta)
    assert len(mine) == len(other) == STEPS
    for name in SAME_NAMES:
        one, two = (numpy.array([step[name] for step in replied], dtype=float) for replied in (mine, other))
        numpy.testing.assert_allclose(one[0], two[0], rtol=1e-5, atol=1e-5, err_msg=name)
        numpy.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4, err_msg=name)
    assert mine[-1]["loss"] < mine[0]["loss"] / 1.2
