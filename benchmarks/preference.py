"""Time one step of offline DPO, and its memory: our trainer and TRL's DPOTrainer on the same pairs, one after the other.

    python benchmarks/preference.py [--vocabulary 128000] [--pairs 8] [--steps 4]

A tiny Cohere (hidden 256, 4 layers, tied embeddings, logit scale 0.0625) in float32, pairs of about 250 tokens of which half are
prompt, a reference that is another model and whose log-probabilities are computed beforehand. Each trainer runs in a process of its
own; all steps see the same pairs, and the losses of all steps must agree. A step is the time between two reports; the first is left out.
Processor seconds are those of all threads together: they say what is done, where other work keeps threads waiting.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from aya_core.api import Preference, TrainingJob, read_rows, user_prompt
from aya_core.contract.artifacts import write_rows

CONFIG = {
    "model_type": "cohere",
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "logit_scale": 0.0625,
    "initializer_range": 0.2,
}
WORDS = (100, 150)
"""Least and most words of a prompt, and of an answer; a word is a token."""

BETA, RATE, BETAS = 0.1, 1e-4, (0.9, 0.95)


def main() -> None:
    """Print a table of both trainers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=128_000)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--part", choices=["data", "ours", "trl"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["ours", "trl"], action="append", help="run these parts alone")
    options = parser.parse_args()
    if options.part:
        found = PARTS[options.part](options)
        print(json.dumps({**found, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    with tempfile.TemporaryDirectory(prefix="aya-bench-") as folder:
        shape = run("data", options, folder)
        run("ours", options, folder, steps=1)  # fills the store of the reference
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; {shape['said']}")
        print(f"{'':>6} {'s a step, median':>17} {'of all':>30} {'processor s':>12} {'peak MiB':>9}")
        results = {}
        for part in options.only or ["ours", "trl"]:
            results[part] = found = run(part, options, folder)
            times = " ".join(f"{seconds:.2f}" for seconds in found["seconds"])
            print(
                f"{part:>6} {median(found):17.2f} {times:>30} {median(found, 'processor'):12.2f} {found['peak_mib']:9.0f}",
                flush=True,
            )
        compare(results)


def run(part: str, options: argparse.Namespace, folder: str, steps: int | None = None) -> dict[str, Any]:
    """Run a part in a fresh process; its last line is its result."""
    command = [sys.executable, __file__, "--part", part, "--folder", folder, "--vocabulary", str(options.vocabulary)]
    command += ["--pairs", str(options.pairs), "--steps", str(steps or options.steps)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{part}: {ended.stdout}\n{ended.stderr}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def median(found: Mapping[str, Any], what: str = "seconds") -> float:
    """Give the median time of a step, the first one left out."""
    return statistics.median(found[what][1:] or found[what])


def compare(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print ratios. Ends with an error where losses differ."""
    if {"ours", "trl"} <= results.keys():
        ours, theirs = results["ours"], results["trl"]
        for what in ("seconds", "processor"):
            print(f"{what}: {median(theirs, what) / median(ours, what):.1f} times faster than TRL")
        print(f"memory / TRL's: {ours['peak_mib'] / theirs['peak_mib']:.2f}")
        print(f"losses: {ours['losses']} and {theirs['losses']}")
        if any(abs(one - two) > 1e-4 for one, two in zip(ours["losses"], theirs["losses"], strict=True)):
            sys.exit("the losses differ by more than 1e-4")


def make_data(options: argparse.Namespace) -> dict[str, Any]:
    """Write pairs of random words, a policy and another model as reference."""
    from aya_plugins.modeling.checkpoint import load_encoder
    from aya_plugins.trainers.initialize import Initialize

    draw = random.Random(0)
    words = [f"w{number}" for number in range(options.vocabulary - 8)]  # 8 tokens are special

    def text() -> str:
        return " ".join(draw.choices(words, k=draw.randint(*WORDS)))

    pairs = [Preference(user_prompt(str(n), "en", text()), text(), text()) for n in range(options.pairs)]
    everything = [user_prompt(str(n), "en", " ".join(words[n : n + 1000])) for n in range(0, len(words), 1000)]
    for name, rows in {"pairs": pairs, "words": everything}.items():
        (options.folder / name).mkdir()
        write_rows(options.folder / name, type(rows[0]), rows)
    settings = Initialize(config=CONFIG, tokenizer={"kind": "words"})
    for seed, name in enumerate(("start", "reference")):
        job = TrainingJob(rows=options.folder / "words", out=options.folder / name, work=options.folder, seed=seed)
        job.out.mkdir()
        settings.build().train(job)
    encoded = load_encoder(options.folder / "start", max_tokens=1024).answers(
        [(pair.prompt, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]
    )
    total, answers = int(encoded.lengths.sum()), int(encoded.answer_tokens.sum())
    said = (
        f"vocabulary {options.vocabulary:,}, {len(pairs)} pairs, {len(encoded)} rows of {total / len(encoded):.0f} tokens "
        f"({(total - answers) / len(encoded):.0f} prompt, {answers / len(encoded):.0f} answer)"
    )
    return {"said": said}


def train_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Run the trainer `preference` as a stage does."""
    from aya_plugins.objectives.dpo import Dpo
    from aya_plugins.trainers.preference import PreferenceTraining

    folder = options.folder
    settings = PreferenceTraining(
        steps=options.steps, batch_rows=options.pairs, learning_rate=RATE, betas=BETAS, schedule="constant", warmup=0,
        log_every=1, checkpoint_seconds=1e9,
    )  # fmt: skip
    clock = Clock()
    for name in ("work", "store"):
        (folder / name).mkdir(exist_ok=True)
    out = Path(tempfile.mkdtemp(dir=folder))

    def report(done: int, total: int, measures: Mapping[str, float]) -> None:
        clock.tick(measures["loss"])

    settings.build().train(
        TrainingJob(
            rows=folder / "pairs", start=folder / "start", reference=folder / "reference", out=out,
            work=folder / "work", store=folder / "store", seed=0, objective=Dpo(beta=BETA).build(), report=report,
        )
    )  # fmt: skip
    return clock.found()


def train_trl(options: argparse.Namespace) -> dict[str, Any]:
    """Run TRL's DPOTrainer at its fastest settings."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    folder = options.folder
    clock = Clock()

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Notes the time and the loss of each step."""

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.start()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:
                clock.tick(float(logs["loss"]))

    rows = [
        {
            "prompt": list(pair.prompt.messages),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in read_rows(folder / "pairs", Preference)
    ]
    config = DPOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=options.pairs, max_steps=options.steps,
        learning_rate=RATE, adam_beta1=BETAS[0], adam_beta2=BETAS[1], lr_scheduler_type="constant", warmup_steps=0,
        beta=BETA, optim="adamw_torch_fused", logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False, precompute_ref_log_probs=True, max_length=None, disable_tqdm=True,
    )  # fmt: skip
    model, reference = (
        AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32) for name in ("start", "reference")
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "start")
    trainer = DPOTrainer(
        model=model, ref_model=reference, args=config, train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer, callbacks=[Watch()],
    )  # fmt: skip
    del reference
    trainer.train()
    return clock.found()


class Clock:
    """Times of steps, and what was said after each."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.losses: list[float] = []
        self.start()

    def start(self) -> None:
        """Begin the first step now."""
        self.times[:] = [(time.perf_counter(), time.process_time())]

    def tick(self, loss: float) -> None:
        """End a step."""
        self.times.append((time.perf_counter(), time.process_time()))
        self.losses.append(loss)

    def found(self) -> dict[str, Any]:
        """Give seconds of each step, by the clock and of the processor, and its loss."""
        steps = list(pairwise(self.times))
        return {
            "seconds": [after[0] - before[0] for before, after in steps],
            "processor": [after[1] - before[1] for before, after in steps],
            "losses": self.losses,
        }


PARTS = {"data": make_data, "ours": train_ours, "trl": train_trl}

if __name__ == "__main__":
    main()
