"""Time whole merge commands, ours and mergekit's, on the same configuration files in one run.

python benchmarks/merges.py [--parameters MILLIONS] [--repeats N] prints a table: seconds (the best of the repeats; interpreter and imports
included) and the peak memory of each command's processes together.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig

METHODS = {
    "linear": {"merge_method": "linear", "models": 3, "parameters": {"weight": 1.0}},
    "slerp": {"merge_method": "slerp", "models": 1, "base": True, "shared": {"t": 0.4}},
    "ties": {"merge_method": "ties", "models": 3, "base": True, "parameters": {"weight": 0.5, "density": 0.3}},
    "dare_ties": {
        "merge_method": "dare_ties",
        "models": 3,
        "base": True,
        "parameters": {"weight": 0.5, "density": 0.3},
    },
}
ENVIRONMENT = Path(sys.executable).parent


def make_checkpoints(folder: Path, millions: int) -> list[Path]:
    """Write a base and three relatives in bf16, Llama shapes."""
    hidden = 768
    per_layer = 4 * hidden * hidden + 3 * hidden * 2048
    layers = max(1, round((millions * 1e6 - 2 * 32000 * hidden) / per_layer))
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=2048, num_hidden_layers=layers, num_attention_heads=12,
        num_key_value_heads=12, vocab_size=32000, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    paths = []
    for index in range(4):
        with torch.no_grad():
            for parameter in model.parameters() if index else ():
                parameter.add_(torch.randn_like(parameter) * 0.01)
        paths.append(folder / f"model-{index}")
        model.save_pretrained(paths[-1], max_shard_size="300MB")
    return paths


def write_config(path: Path, method: dict[str, object], models: list[Path]) -> None:
    """Write the mergekit file of a method."""
    base, *others = map(str, models)
    chosen = others[: int(str(method["models"]))]
    config: dict[str, object] = {"merge_method": method["merge_method"], "dtype": "bfloat16"}
    config["models"] = [
        {"model": model, **({"parameters": method["parameters"]} if "parameters" in method else {})} for model in chosen
    ]
    if method.get("base"):
        config["base_model"] = base
    if "shared" in method:
        config["parameters"] = method["shared"]
    path.write_text(yaml.safe_dump(config))


def run(command: list[str], out: Path) -> tuple[float, float]:
    """Run a command; give its seconds, and the peak memory of all its processes together in MiB (proportional set size)."""
    shutil.rmtree(out, ignore_errors=True)
    log = Path(f"{out}.log")
    started = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(memory, [process.pid, *children(process.pid)])))
            time.sleep(0.1)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return seconds, peak


def children(pid: int) -> list[int]:
    """List the processes that a process started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def memory(pid: int) -> float:
    """Measure the proportional set size of a process in MiB; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def floor(models: list[Path], out: Path) -> float:
    """Time reading three models and writing one, without anything else; seconds."""
    started = time.perf_counter()
    buffer = bytearray(1 << 20)
    for model in models[1:]:
        for file in model.glob("*.safetensors"):
            with file.open("rb", buffering=0) as source:
                while source.readinto(buffer):
                    pass
    with out.open("wb", buffering=0) as made:
        for _ in range(sum(file.stat().st_size for file in models[0].glob("*.safetensors")) >> 20):
            made.write(buffer)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, default=400, help="millions, of each model")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    print(
        "| merge | ours, s | mergekit, s | times faster | ours, MiB | mergekit, MiB |\n|---|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        models = make_checkpoints(Path(folder), arguments.parameters)
        print(
            f"| reading three models and writing one | {floor(models, Path(folder) / 'floor'):.1f} | | | | |",
            flush=True,
        )
        for name, method in METHODS.items():
            config = Path(folder) / f"{name}.yml"
            write_config(config, method, models)
            best = {}
            for who, command in (
                ("ours", [str(ENVIRONMENT / "aya"), "merge"]),
                ("mergekit", [str(ENVIRONMENT / "mergekit-yaml")]),
            ):
                out = Path(folder) / f"{name}-{who}"
                best[who] = min(run([*command, str(config), str(out)], out) for _ in range(arguments.repeats))
            (ours, our_memory), (theirs, their_memory) = best["ours"], best["mergekit"]
            print(
                f"| {name} | {ours:.1f} | {theirs:.1f} | {theirs / ours:.1f} | {our_memory:.0f} | {their_memory:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
