"""Sampling: one model or teacher answers prompts. What is answered survives a kill, and later runs take it over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aya_core.api import (
    Builder,
    Completion,
    Sampling,
    Strategy,
    Work,
    ask_teacher,
    count_rows,
    read_rows,
)
from aya_recipe.arbitrage.routing import read_prompts, route_file

GREEDY = "greedy"
"""The folder of answers at temperature 0."""


def add(
    build: Builder, id: str, prompts: str, teacher: Strategy[Any], sampling: Sampling, *, name: str,
    routes: str | None = None, model: str | None = None, greedy: bool = False, split: tuple[int, int] | None = None,
    at: str = "teacher",
) -> str:  # fmt: skip
    """Add the node in which one teacher answers, and return its id.

    routes: only the prompts routed to `name` are asked. greedy: ask once more at temperature 0. split: (k, n) asks
    only the k-th of n equal parts of the prompts. at: where in the stage the teacher stands, for messages.
    """
    inputs = {"prompts": prompts, **({"route": routes} if routes else {})}
    settings = {"name": name, "sampling": sampling.model_dump(mode="json"), "greedy": greedy, "split": split}
    return build.add(
        id, "sample", "completions", settings, inputs, {"teacher": ("teacher", teacher)}, model=model,
        subpaths={"route": route_file(name)} if routes else {}, at={"teacher": at},
        asked_by=("name", "sampling", "greedy", "teacher"), draws=sampling.seed is None,
    )  # fmt: skip


def sample(work: Work) -> Mapping[str, Any]:
    """Ask the teacher about every prompt, and once more greedily where that is wanted."""
    greedily = Sampling(**{**work.setting("sampling"), "temperature": 0.0, "n": 1})
    return ask_teacher(
        work, lambda: read_prompts(work), more={GREEDY: greedily} if work.setting("greedy") else {}, name=work.setting("name"),
        total=count_rows(work.inputs["route"]) if "route" in work.inputs else 0,
    )  # fmt: skip


def read_answers(folder: Path, *, greedy: bool = False) -> Iterator[Completion]:
    """Stream the answers of a sampling node, in the order of its prompts."""
    return read_rows(folder / GREEDY if greedy else folder, Completion)
