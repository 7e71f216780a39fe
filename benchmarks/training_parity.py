"""Compare a few steps of SFT and of DPO with TRL's, on a real checkpoint: the same rows, the same template, float32.

    python benchmarks/training_parity.py MODEL [--steps 3] [--only sft]

MODEL is a folder with a checkpoint, or a hub id. It is used with ChatML as its chat template, so that a base model can be tried, too.
All rows are in every step, so that their order makes no difference. Prints the loss of each step, ours and TRL's (for DPO the rewards
as well), and ends with an error where any differ by more than 1e-4.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.api import Demonstration, Preference, TrainingJob, model_folder, user_prompt, write_rows

STEPS_AT = {"sft": 2e-5, "dpo": 2e-6}
"""Peak learning rates."""

BETA, BETAS, TOLERANCE = 0.1, (0.9, 0.95), 1e-4

TEMPLATE = (
    "{% for message in messages %}{{ ('' if loop.first else '\\n') + '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, without white space after the last turn, which TRL would learn, too, and with the end that the tokenizer has: ours adds that to
answers, and a base model has no `<|im_end|>`."""

ROWS = [
    ("en", "Name a river in France.", "The Loire is the longest one.", "France has many rivers, I think."),
    ("de", "Was ist die Hauptstadt von Portugal?", "Die Hauptstadt ist Lissabon.", "Porto, glaube ich."),
    ("en", "What is 17 + 25?", "17 + 25 = 42.", "It is 43."),
    ("es", "¿De qué color es la nieve?", "La nieve es blanca.", "Depende del día, supongo."),
    ("fr", "Traduis : good morning", "Bonjour.", "Bonne nuit."),
    ("en", "Give a word that rhymes with 'light'.", "Night.", "Lamp, lantern, and torch are words about light."),
    ("ja", "犬は英語で何と言いますか。", "Dogと言います。", "猫です。"),
    ("tr", "Haftanın ilk günü hangisi?", "Pazartesi.", "Bilmiyorum."),
]
"""Language, prompt, answer, worse answer."""


def main() -> None:
    """Print both columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", choices=list(STEPS_AT))
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        who, what = options.part
        print(json.dumps(PARTS[who](what, Path(options.model), options.steps)))
        return
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="aya-parity-") as folder:
        start = prepare(options.model, Path(folder))
        for what in [options.only] if options.only else STEPS_AT:
            ours, theirs = (run(who, what, start, options.steps) for who in PARTS)
            for name in ours[0]:
                print(f"{what} {name}: {'step':>4} {'ours':>12} {'TRL':>12} {'difference':>11}")
                for step, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
                    worst = max(worst, abs(one[name] - other[name]))
                    print(
                        f"{'':>{len(what) + len(name) + 2}} {step:>4} {one[name]:12.6f} {other[name]:12.6f} {one[name] - other[name]:11.1e}"
                    )
    print(f"largest difference: {worst:.1e}")
    if worst > TOLERANCE:
        sys.exit(f"expected at most {TOLERANCE:g}")


def prepare(model: str, folder: Path) -> Path:
    """Make a folder with links to the files of a checkpoint, and the template."""
    start = folder / "start"
    start.mkdir()
    for file in model_folder(model).iterdir():
        (start / file.name).symlink_to(file.resolve())
    (start / "chat_template.jinja").unlink(missing_ok=True)
    (start / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return start


def run(who: str, what: str, start: Path, steps: int) -> list[dict[str, float]]:
    """Run a part in a process of its own; its last line is its result."""
    command = [sys.executable, __file__, str(start), "--steps", str(steps), "--part", who, what]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{who} {what}: {ended.stdout}\n{ended.stderr}")
    found: list[dict[str, float]] = json.loads(ended.stdout.splitlines()[-1])
    return found


def shown(measures: Mapping[str, Any]) -> dict[str, float]:
    """Take what is compared from the measures of a step."""
    return {name: float(measures[name]) for name in ("loss", "rewards/margins", "logps/chosen") if name in measures}


def train_ours(what: str, start: Path, steps: int) -> list[dict[str, float]]:
    """Run our trainer as a stage does."""
    from aya_plugins.objectives.dpo import Dpo
    from aya_plugins.trainers.preference import PreferenceTraining
    from aya_plugins.trainers.sft import Sft

    prompts = [user_prompt(str(place), row[0], row[1]) for place, row in enumerate(ROWS)]
    rows: list[Any] = [Demonstration(prompt, row[2]) for prompt, row in zip(prompts, ROWS, strict=True)]
    if what == "dpo":
        rows = [Preference(prompt, row[2], row[3]) for prompt, row in zip(prompts, ROWS, strict=True)]
    loop: dict[str, Any] = {
        "steps": steps, "batch_rows": len(rows), "learning_rate": STEPS_AT[what], "betas": BETAS, "schedule": "constant", "warmup": 0,
        "log_every": 1, "checkpoint_seconds": None, "precision": "float32",
    }  # fmt: skip
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("rows", "out", "work")}
        for place in places.values():
            place.mkdir()
        write_rows(places["rows"], type(rows[0]), rows)
        settings = Sft(**loop) if what == "sft" else PreferenceTraining(**loop)
        objective = Dpo(beta=BETA).build() if what == "dpo" else None
        job = TrainingJob(
            **places, seed=0, start=start, objective=objective,
            report=lambda done, total, measures: found.append(shown(measures)) if "loss" in measures else None,
        )  # fmt: skip
        settings.build().train(job)
    return found


def train_trl(what: str, start: Path, steps: int) -> list[dict[str, float]]:
    """Run TRL's trainer with the same settings."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    answers = {"sft": {"completion": 2}, "dpo": {"chosen": 2, "rejected": 3}}[what]
    rows = [
        {"prompt": turn("user", row[1]), **{name: turn("assistant", row[column]) for name, column in answers.items()}}
        for row in ROWS
    ]
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        loop: dict[str, Any] = {
            "output_dir": folder, "max_steps": steps, "per_device_train_batch_size": len(rows), "learning_rate": STEPS_AT[what],
            "adam_beta1": BETAS[0], "adam_beta2": BETAS[1], "lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0,
            "max_grad_norm": 1.0, "optim": "adamw_torch_fused", "logging_steps": 1, "save_strategy": "no", "report_to": [],
            "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True, "max_length": None,
        }  # fmt: skip
        given: dict[str, Any] = {
            "model": model,
            "train_dataset": Dataset.from_list(rows),
            "processing_class": AutoTokenizer.from_pretrained(start),
        }
        trainer: Any = SFTTrainer(args=SFTConfig(**loop), **given) if what == "sft" else None
        if what == "dpo":
            trainer = DPOTrainer(args=DPOConfig(**loop, beta=BETA), **given)
        trainer.train()
        return [shown(line) for line in trainer.state.log_history if "loss" in line]


PARTS = {"ours": train_ours, "trl": train_trl}

if __name__ == "__main__":
    main()
