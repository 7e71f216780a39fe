"""Sampling: one model or teacher answers prompts. What is answered survives a kill, and later runs take it over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.artifacts import count_rows, read_rows, stable_hash
from aya_core.errors import DataError, PluginError
from aya_core.kinds import Teacher
from aya_core.plan import Builder
from aya_core.records import Completion, Prompt
from aya_core.requests import Sampling
from aya_core.stages.asked import read_prompts, route_file
from aya_core.stages.keyed import prompt_key
from aya_core.stages.shards import Asking, chunked, fill
from aya_core.stages.work import Work
from aya_core.strategies import Strategy

SHARD_PROMPTS = 8192
"""Prompts handed to a teacher at a time, at the most: enough that engines are seldom idle at its end."""

SHARD_TOKENS = 2**24
"""Tokens of the answers to them, at the most; they are held in memory."""

GREEDY = "greedy"
"""The folder of answers at temperature 0."""


def add(
    build: Builder, id: str, prompts: str, teacher: Strategy[Any], sampling: Sampling, *, name: str,
    routes: str | None = None, model: str | None = None, greedy: bool = False, part: tuple[int, int] | None = None,
    at: str = "teacher",
) -> str:  # fmt: skip
    """Add the node in which one teacher answers, and return its id.

    routes: only the prompts routed to `name` are asked. greedy: ask once more at temperature 0. part: (k, n) asks
    only the k-th of n equal parts of the prompts. at: where in the stage the teacher stands, for messages.
    """
    inputs = {"prompts": prompts, **({"route": routes} if routes else {})}
    settings = {"name": name, "sampling": sampling.model_dump(mode="json"), "greedy": greedy, "part": part}
    return build.add(
        id, "sample", "completions", settings, inputs, {"teacher": ("teacher", teacher)}, model=model,
        parts={"route": route_file(name)} if routes else {}, at={"teacher": at},
    )  # fmt: skip


def sample(work: Work) -> Mapping[str, Any]:
    """Ask the teacher about every prompt, and once more greedily where that is wanted."""
    sampling = Sampling(**work.setting("sampling"))
    samplings = {"": sampling}
    if work.setting("greedy"):
        samplings[GREEDY] = sampling.model_copy(update={"temperature": 0.0, "n": 1})
    name = work.setting("name")
    seed = work.node.seed if sampling.seed is None else sampling.seed
    made_by = _made_by(work, seed)
    teachers: list[Teacher] = []

    def teacher() -> Teacher:
        if not teachers:  # loaded when it is first needed, which may be never
            teachers.append(work.strategy("teacher").build())
        return teachers[0]

    total = count_rows(work.inputs["route"]) if "route" in work.inputs else 0
    filled = {}
    for part, how in samplings.items():

        def ask(prompts: Sequence[Prompt], how: Sampling = how) -> Iterator[tuple[int, Sequence[Completion]]]:
            return answers(teacher(), prompts, how, seed, name)

        def is_whole(rows: Sequence[Completion], how: Sampling = how) -> bool:
            return len(rows) == how.n

        asking = Asking(Completion, prompt_key, ask, made_by, lambda row: row.completion_tokens, is_whole)
        chunks = chunked(read_prompts(work), max(1, min(SHARD_PROMPTS, SHARD_TOKENS // (how.n * how.max_tokens))))
        filled[part] = fill(work, asking, chunks, part=part, total=total)
    answered = sum(one.rows for one in filled.values())
    if filled[""].items and not answered:
        first = next(read_prompts(work)).id
        raise DataError(
            f"teacher '{name}' answered none of {filled[''].items} prompts; their ids are like '{first}': are those of recorded "
            "answers alike? Other teachers say in the log why they left prompts out"
        )
    return {
        "prompts": filled[""].items,
        "answers": answered,
        "unanswered": sum(filled[part].items * how.n for part, how in samplings.items()) - answered,
        "taken_over": sum(one.taken for one in filled.values()),
        "seconds": round(sum(one.seconds for one in filled.values()), 3),
        "made_by": made_by,
    }


def read_answers(folder: Path, *, greedy: bool = False) -> Iterator[Completion]:
    """Stream the answers of a sampling node, in the order of its prompts."""
    return read_rows(folder / GREEDY if greedy else folder, Completion)


def answers(
    teacher: Teacher, prompts: Sequence[Prompt], sampling: Sampling, seed: int, name: str
) -> Iterator[tuple[int, Sequence[Completion]]]:
    """Ask a teacher and check what it says; yield the place of each prompt with its samples once it has all of them."""
    order = {prompt.id: place for place, prompt in enumerate(prompts)}
    coming: dict[int, dict[int, Completion]] = {}
    complete: set[int] = set()
    for answer in teacher.answer(prompts, sampling, seed):
        _check(answer, name)
        if answer.prompt_id not in order:
            raise PluginError(f"teacher '{name}' answered '{answer.prompt_id}', which it was not asked")
        if not 0 <= answer.index < sampling.n:
            raise PluginError(f"teacher '{name}' numbered a sample {answer.index}; expected 0 to {sampling.n - 1}")
        place = order[answer.prompt_id]
        samples = coming.setdefault(place, {})
        if place in complete or answer.index in samples:
            raise PluginError(f"teacher '{name}' gave sample {answer.index} of '{answer.prompt_id}' twice")
        samples[answer.index] = _named(answer, name)
        if len(samples) == sampling.n:
            complete.add(place)
            yield place, [samples[index] for index in range(sampling.n)] if sampling.n > 1 else [*samples.values()]
            coming[place] = {}
    for place, samples in coming.items():
        if samples:
            yield place, [samples[index] for index in sorted(samples)]


def _check(answer: Any, name: str) -> None:
    if not isinstance(answer, Completion) or not isinstance(answer.text, str):
        raise PluginError(f"teacher '{name}' yielded {answer!r:.200}; expected a Completion with a text")
    counts = (answer.index, answer.prompt_tokens, answer.completion_tokens)
    if not all(isinstance(count, int) for count in counts) or not isinstance(answer.finish_reason, str):
        raise PluginError(
            f"teacher '{name}' yielded {answer!r:.200}; expected whole numbers of tokens (0 where unknown) and a "
            "finish_reason"
        )


def _named(answer: Completion, name: str) -> Completion:
    """The answer under the teacher's name in the recipe; halves of characters, which no file can hold, are replaced."""
    text = answer.text if answer.text.isascii() else answer.text.encode(errors="replace").decode()
    return Completion(
        answer.prompt_id, name, answer.index, text, answer.prompt_tokens, answer.completion_tokens, answer.finish_reason
    )


def _made_by(work: Work, seed: int) -> str:
    """Name all that decides an answer beside its prompt."""
    which = {"prompts", "route"}
    contents = {role: content for role, content in work.contents.items() if role not in which}
    settings = {key: work.node.identity[key] for key in ("name", "sampling", "greedy", "teacher")}
    return stable_hash([settings, contents, work.node.plugins, seed])
