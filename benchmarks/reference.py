"""Time a step of preference training whose reference stands in the store, against a forward and backward pass of the policy alone.

python benchmarks/reference.py [--vocabulary N] [--steps N] trains a small Cohere model with random weights on pairs of about 250
tokens and prints the median seconds of a step (optimizer, clipping and reports included), of the same passes through the policy alone,
and of what looking the reference up costs: in a first pass and in a filled store. The two kinds of step take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import torch
from transformers import AutoModelForCausalLM, CohereConfig

from aya_core.api import Preference, TrainingJob, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.scoring import row_sums
from aya_plugins.modeling.tokenizers import make_tokenizer
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime import preference
from aya_plugins.trainers.runtime.order import PassLimits, RowOrder, forward_passes

WORDS = [f"word{number}" for number in range(500)]


def make_model(folder: Path, vocabulary: int) -> None:
    """Write a model: hidden 256, 4 layers, tied embeddings."""
    tokenizer = make_tokenizer("words", None, [" ".join(WORDS)])
    config = CohereConfig(
        hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=vocabulary, logit_scale=0.0625, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_pairs(folder: Path, pairs: int) -> None:
    """Write pairs whose prompts have about 125 words, as the answers have."""
    numbers = numpy.random.default_rng(0)

    def text() -> str:
        return " ".join(numbers.choice(WORDS, int(numbers.integers(100, 150))))

    write_rows(
        folder, Preference, (Preference(user_prompt(str(i), "en", text()), text(), text()) for i in range(pairs))
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=32_000, help="embeddings of the model")
    parser.add_argument("--steps", type=int, default=5, help="steps of each kind")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("model", "rows", "out", "work"):
            (folder / part).mkdir()
        make_model(folder / "model", given.vocabulary)
        make_pairs(folder / "rows", 8 * given.steps)
        settings = PreferenceTraining(
            steps=given.steps, batch_rows=8, log_every=1, learning_rate=1e-6, forward_tokens=4096
        )
        base = {
            "rows": folder / "rows",
            "out": folder / "out",
            "seed": 0,
            "start": folder / "model",
            "store": folder / "store",
        }
        looking = Looking()
        alone = Alone(folder, settings)
        trainer = settings.build()
        trainer.train(TrainingJob(work=fresh(folder), objective=Dpo().build(), **base))  # fills the store, warms up
        clock = Clock(alone)
        trainer.train(TrainingJob(work=fresh(folder), objective=Dpo().build(), report=clock.report, **base))
        step, policy = median(clock.steps), median(clock.alone)
        print(f"step {step:.3f} s, policy's forward and backward {policy:.3f} s, ratio {step / policy:.3f}")
        print(
            f"reference: first pass {looking.seconds[0]:.3f} s, filled store {looking.seconds[1]:.3f} s, {8 * given.steps} pairs"
        )


def fresh(folder: Path) -> Path:
    """A new work folder, so that no training resumes."""
    return Path(tempfile.mkdtemp(dir=folder))


class Looking:
    """Times each look-up of the reference."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.look_up = preference.reference_logps
        preference.reference_logps = self  # type: ignore[assignment]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Look it up."""
        started = time.perf_counter()
        found = self.look_up(*arguments, **named)
        self.seconds.append(time.perf_counter() - started)
        return found


class Alone:
    """The policy without anything around it: forward and backward over the rows of a step."""

    def __init__(self, folder: Path, settings: PreferenceTraining) -> None:
        encoder = load_encoder(folder / "model", max_tokens=settings.max_tokens)
        rows = list(preference.read_rows(folder / "rows", Preference))
        self.pairs = preference.EncodedPairs.of(encoder, rows, folder, "preference")
        self.order = RowOrder(len(rows), settings.batch_rows, 0)
        self.module = AnswerLogps(load_causal_lm(folder / "model", dtype=torch.float32)).train()
        self.module.accumulate_alone()
        self.limits = PassLimits(settings.forward_tokens, self.module.cheap_answer_tokens)

    def step(self, step: int) -> None:
        """Run the rows of a step."""
        for part in forward_passes(self.order.step(step), self.pairs, self.limits, 0, 1):
            row_sums(self.module(self.pairs.batch(part, torch.device("cpu")))).sum().backward()
        self.module.zero_grad()


class Clock:
    """Times the steps of a training between its reports, and after each of them the policy alone on the same rows."""

    def __init__(self, alone: Alone) -> None:
        self.policy = alone
        self.steps: list[float] = []
        self.alone: list[float] = []
        self.last: float | None = None

    def report(self, done: int, total: int, measures: Any) -> None:
        """Take the time. The first step stands after the set-up and is not counted."""
        now = time.perf_counter()
        if self.last is not None:
            self.steps.append(now - self.last)
            self.alone.append(timed(lambda: self.policy.step(done - 1)))
        self.last = time.perf_counter()


def timed(run: Callable[[], None]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
