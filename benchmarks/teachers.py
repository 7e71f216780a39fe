"""Time the sampling of a stage, teacher, journal and shards included, against the engine called directly, on the same work in one run.

python benchmarks/teachers.py [--prompts N] [--samples N] [--max-tokens N] [--repeats N] prints a table: seconds to answer (the best of the
repeats; loading left out) of the stage and of the engine. The direct call does what one would write by hand: chat template,
tokens, length-sorted batches of the same size for transformers, everything at once for vLLM, texts. vLLM is left out where it
is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # on a CPU vLLM's first sample would wait for a compiler

import torch
import transformers

from aya_core.api import Completion, Prompt, Sampling, Teacher, user_prompt
from aya_core.contract.artifacts import begin
from aya_core.contract.checked import checked_answers
from aya_core.planning.registry import Registry
from aya_core.running.asking.asked import prompt_key
from aya_core.running.asking.shards import Asking, chunked, fill_shards
from aya_core.running.asking.teachers import SHARD_PROMPTS
from aya_core.running.work import Work
from aya_core.testing import tiny_causal_lm
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.teachers.vllm import Vllm
from aya_recipe.arbitrage.sampling import read_answers

WORDS = [f"word{number}" for number in range(500)]
SIZES = {
    "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
}  # fmt: skip
BATCH_TOKENS = 16384


def make_prompts(count: int) -> list[Prompt]:
    """Make prompts of 4 to 64 words."""
    draw = random.Random(0)
    return [user_prompt(str(row), "en", " ".join(draw.choices(WORDS, k=draw.randint(4, 64)))) for row in range(count)]


def best(repeats: int, work: Callable[[], int]) -> tuple[float, int]:
    """Run some work a few times; returns its shortest time in seconds and the tokens that it made."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        tokens = work()
        times.append(time.perf_counter() - start)
    return min(times), tokens


def ask(teacher: Teacher, prompts: Sequence[Prompt], sampling: Sampling) -> int:
    """Let a teacher answer all as a stage does, into shards on disk; returns the tokens that it made."""
    with tempfile.TemporaryDirectory() as folder:
        node: Any = None  # nothing is asked of it here
        work = Work(node, Registry(), {}, begin(Path(folder) / "answers"), lambda done, total, measures: None)
        asking = Asking(
            Completion, prompt_key, lambda some: checked_answers(teacher, some, sampling, 0, "teacher"), "benchmark"
        )
        fill_shards(work, asking, chunked(prompts, SHARD_PROMPTS))
        return sum(one.completion_tokens for one in read_answers(work.out))


def call_transformers(model: Any, tokenizer: Any, prompts: Sequence[Prompt], sampling: Sampling) -> int:
    """Answer with `model.generate` in length-sorted batches; returns the tokens that it made."""
    is_greedy = sampling.temperature == 0
    how = {"do_sample": False} if is_greedy else {
        "do_sample": True, "temperature": sampling.temperature, "top_k": 0, "num_return_sequences": sampling.n,
    }  # fmt: skip
    texts = tokenizer.apply_chat_template(
        [list(prompt.messages) for prompt in prompts], tokenize=False, add_generation_prompt=True
    )
    rows = sorted(tokenizer(texts, add_special_tokens=False)["input_ids"], key=len, reverse=True)
    samples = 1 if is_greedy else sampling.n
    made = start = 0
    while start < len(rows):
        stop = start + max(1, BATCH_TOKENS // (samples * (len(rows[start]) + sampling.max_tokens)))
        batch = tokenizer.pad({"input_ids": rows[start:stop]}, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(**batch, **how, max_new_tokens=sampling.max_tokens)
        answers = output[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(answers, skip_special_tokens=True)
        made += int((answers != tokenizer.pad_token_id).sum())
        start = stop
    return made


def call_vllm(engine: Any, tokenizer: Any, prompts: Sequence[Prompt], sampling: Sampling) -> int:
    """Answer with `LLM.generate`, a seed for each request; returns the tokens that it made."""
    import vllm

    is_greedy = sampling.temperature == 0
    texts = tokenizer.apply_chat_template(
        [list(prompt.messages) for prompt in prompts], tokenize=False, add_generation_prompt=True
    )
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    how = [
        vllm.SamplingParams(
            n=1 if is_greedy else sampling.n, temperature=sampling.temperature, max_tokens=sampling.max_tokens, seed=row
        )
        for row in range(len(rows))
    ]
    outputs = engine.generate([{"prompt_token_ids": row} for row in rows], how, use_tqdm=False)
    return sum(len(answer.token_ids) for output in outputs for answer in output.outputs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    prompts = make_prompts(options.prompts)
    kinds = {
        "greedy": Sampling(temperature=0, max_tokens=options.max_tokens),
        "sampled": Sampling(temperature=1.0, n=options.samples, max_tokens=options.max_tokens),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = str(tiny_causal_lm(Path(folder) / "model", texts=WORDS, max_position_embeddings=2048, **SIZES))
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        teacher: Any = Transformers(model=path, batch_tokens=BATCH_TOKENS, dtype="float32").build()
        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(teacher.model.device)
        print(
            f"{len(prompts)} prompts, {options.samples} samples each, at most {options.max_tokens} tokens, best of {options.repeats}"
        )
        print(
            f"{'engine':14}{'answers':10}{'stage s':>10}{'direct s':>10}{'overhead':>10}{'stage tok/s':>15}{'direct tok/s':>14}"
        )
        for name, sampling in kinds.items():
            ours = best(options.repeats, lambda how=sampling: ask(teacher, prompts, how))  # type: ignore[misc]
            theirs = best(options.repeats, lambda how=sampling: call_transformers(model, tokenizer, prompts, how))  # type: ignore[misc]
            report("transformers", name, ours, theirs)
        if importlib.util.find_spec("vllm") is not None:
            served: Any = Vllm(
                model=path, dtype="float32", enable_prefix_caching=False, max_model_len=2048,
                engine={"enforce_eager": True, "kv_cache_memory_bytes": 2**29},
            ).build()  # fmt: skip
            for name, sampling in kinds.items():
                ours = best(options.repeats, lambda how=sampling: ask(served, prompts, how))  # type: ignore[misc]
                theirs = best(options.repeats, lambda how=sampling: call_vllm(served.engine, tokenizer, prompts, how))  # type: ignore[misc]
                report("vllm", name, ours, theirs)


def report(engine: str, answers: str, ours: tuple[float, int], theirs: tuple[float, int]) -> None:
    """Print one row."""
    overhead = ours[0] / theirs[0] - 1
    rates = [tokens / seconds for seconds, tokens in (ours, theirs)]
    print(
        f"{engine:14}{answers:10}{ours[0]:10.2f}{theirs[0]:10.2f}{overhead:10.1%}{rates[0]:15.0f}{rates[1]:14.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
