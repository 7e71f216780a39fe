"""Sampling: one model or teacher answers prompts, a shard at a time, so that a killed run keeps what it had."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.artifacts import count_rows, read_rows, stable_hash, write_rows
from aya_core.errors import PluginError
from aya_core.kinds import Sampling, Teacher
from aya_core.plan import Builder
from aya_core.records import Completion, Prompt
from aya_core.stages.routing import Route
from aya_core.stages.work import Work
from aya_core.strategies import Strategy

SHARD_TOKENS = 2**20
"""Tokens of the answers in a shard, at the most: what is lost when a run is killed, minutes for an 8B model on one GPU."""


def add(
    build: Builder, id: str, prompts: str, teacher: Strategy[Any], sampling: Sampling, *, name: str,
    routes: str | None = None, model: str | None = None, greedy: bool = False, part: tuple[int, int] | None = None,
) -> str:  # fmt: skip
    """Add the node in which one teacher answers, and return its id.

    routes: only the prompts routed to `name` are asked. greedy: ask once more at temperature 0. part: (k, n) asks
    only the k-th of n equal parts of the prompts.
    """
    inputs = {"prompts": prompts, **({"routes": routes} if routes else {})}
    settings = {"name": name, "sampling": sampling.model_dump(mode="json"), "greedy": greedy, "part": part}
    return build.add(id, "sample", "completions", settings, inputs, {"teacher": ("teacher", teacher)}, model=model)


def sample(work: Work) -> Mapping[str, Any]:
    """Ask the teacher shard by shard; shards that a killed run finished are kept."""
    sampling = Sampling(**work.setting("sampling"))
    samplings = [sampling]
    if work.setting("greedy"):
        samplings.append(sampling.model_copy(update={"temperature": 0.0, "n": 1}))
    name = work.setting("name")
    prompts = list(_routed(work, name))
    shard_prompts = max(1, SHARD_TOKENS // (sampling.n * sampling.max_tokens))
    shards = math.ceil(len(prompts) / shard_prompts)
    teacher = None
    answered = tokens = 0
    started = time.perf_counter()
    for folder, plan in zip(_folders(work.out, samplings), samplings, strict=True):
        for index in range(max(1, shards)):
            chunk = prompts[index * shard_prompts : (index + 1) * shard_prompts]
            path = folder / f"rows-{index:05d}.parquet"
            if not path.exists():
                teacher = teacher or work.strategy("teacher").build()
                seed = int(stable_hash([work.node.seed, index])[:8], 16) >> 1
                rows = _answers(teacher, chunk, plan, seed, name)
                write_rows(folder, Completion, rows, f".{path.name}.tmp")
                (folder / f".{path.name}.tmp").rename(path)
                tokens += sum(row.completion_tokens for row in rows)
            answered += count_rows(path)
            seconds = time.perf_counter() - started
            work.log(index + 1, shards, {"answers": answered, "tokens_per_second": tokens / max(seconds, 1e-9)})
    missing = len(prompts) * sum(plan.n for plan in samplings) - answered
    return {"prompts": len(prompts), "answers": answered, "unanswered": missing}


def read_answers(folder: Path, *, greedy: bool = False) -> Iterator[Completion]:
    """Stream the answers of a sampling node, in the order of its prompts."""
    return read_rows(folder / "greedy" if greedy else folder, Completion)


def share(rows: Sequence[Prompt], part: tuple[int, int] | None) -> Sequence[Prompt]:
    """Take the k-th of n equal parts: every n-th row of each language, so that each part has the same mix of languages."""
    if part is None:
        return rows
    seen: Counter[str] = Counter()
    taken = []
    for row in rows:
        if seen[row.language] % part[1] == part[0]:
            taken.append(row)
        seen[row.language] += 1
    return taken


def _folders(out: Path, samplings: Sequence[Sampling]) -> list[Path]:
    folders = [out, out / "greedy"][: len(samplings)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for unfinished in folder.glob(".*.tmp"):
            unfinished.unlink()
    return folders


def _routed(work: Work, name: str) -> Iterable[Prompt]:
    part = work.setting("part")
    prompts = share(list(read_rows(work.inputs["prompts"], Prompt)), tuple(part) if part else None)
    if "routes" not in work.inputs:
        return prompts
    routes = read_rows(work.inputs["routes"], Route)
    return [prompt for prompt, route in zip(prompts, routes, strict=True) if name in route.teachers]


def _answers(teacher: Teacher, prompts: Sequence[Prompt], sampling: Sampling, seed: int, name: str) -> list[Completion]:
    """Collect a chunk's answers in the order of its prompts, and check that they are answers to it."""
    order = {prompt.id: position for position, prompt in enumerate(prompts)}
    found: dict[tuple[int, int], Completion] = {}
    for answer in teacher.answer(prompts, sampling, seed) if prompts else ():
        if not isinstance(answer, Completion) or not isinstance(answer.text, str):
            raise PluginError(f"teacher '{name}' yielded {answer!r:.200}; expected a Completion with a text")
        if answer.prompt_id not in order:
            raise PluginError(f"teacher '{name}' answered '{answer.prompt_id}', which it was not asked")
        if not 0 <= answer.index < sampling.n:
            raise PluginError(f"teacher '{name}' numbered a sample {answer.index}; expected 0 to {sampling.n - 1}")
        key = (order[answer.prompt_id], answer.index)
        if key in found:
            raise PluginError(f"teacher '{name}' gave sample {answer.index} of '{answer.prompt_id}' twice")
        found[key] = answer
    return [
        Completion(a.prompt_id, name, a.index, a.text, a.prompt_tokens, a.completion_tokens, a.finish_reason)
        for _, a in sorted(found.items())
    ]
