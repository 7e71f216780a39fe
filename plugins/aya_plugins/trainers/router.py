"""Routers that are learned."""

from __future__ import annotations

from pathlib import Path

from aya_core.api import Field, RowsRef, Trainer, TrainerStrategy
from aya_plugins.trainers.runtime.settings import LOOP_IMPORTS, LoopSettings, Validation


class RouterTraining(LoopSettings, TrainerStrategy):
    """Train a classifier that says from a prompt alone which teacher will answer it best, for the router `learned`.

    The data are verdicts on the answers of several teachers. With r the mean score of a teacher's answers to a
    prompt, the loss is KL(softmax(r / temperature) || softmax(logits)), over the teachers scored on that prompt. The
    prompt is read as plain text.

    The measures compare routed, random, single best and best possible teacher, and `accuracy` is how often the routed
    teacher is a best one: `validation/` on prompts that were not trained on, `training/` on at most 2,000 that were.
    `reward_spread` is the mean standard deviation of a prompt's rewards, to choose the temperature by.

    Sources: Odumakinde et al. 2024 (multilingual arbitrage), arXiv 2408.14960, learned routing; Lu et al. 2023
    (Zooter), arXiv 2311.08692, which distils rewards by this loss.
    """

    imports = (*LOOP_IMPORTS, "aya_plugins.trainers.runtime.router")
    extra = "train"
    reads = "judged"

    prompts: RowsRef = Field(
        description="Rows with the prompts of the verdicts, such as `arbitrage.prompts`; prompts not among them are not learned from."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        description="Divides rewards before the softmax that makes targets of them, in units of the arbiter's scores; one "
        "much larger than `reward_spread` makes targets nearly alike, which take more steps to learn.",
    )
    validation: Validation = Field(
        Validation(hold_back=0.1), description="Prompts that are not trained on but measured on."
    )
    max_tokens: int = Field(1024, ge=8, description="Longer prompts lose their middle; how many is reported.")

    def build(self) -> Trainer:
        """Make the trainer."""
        from aya_plugins.trainers.runtime.router import RouterTrainer

        return RouterTrainer(self, Path(self.prompts), self.temperature)
