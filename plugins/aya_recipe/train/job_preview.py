"""A training job of a plan, made of what stands in a run folder and of data sets that can be read right away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from aya_core.api import (
    ROW_RECORDS,
    DataError,
    ExampleRow,
    Inventory,
    LoadedRecipe,
    Node,
    Plan,
    PluginError,
    TrainerStrategy,
    TrainingJob,
    Work,
    counts_as,
    file_name,
    fill_paths,
    prompt_of,
    read_data,
    read_rows,
    write_rows,
)


@dataclass(frozen=True)
class FirstRows(Work):
    """The work of reading a data set that ends after so many rows in some languages: a large one is not read to its end."""

    languages: frozenset[str] = frozenset()
    most: int = 0

    def strategy(self, kind: str, key: str | None = None) -> Any:
        """Cut the data set."""
        return self if kind == "dataset" else super().strategy(kind, key)

    def build(self) -> FirstRows:
        """See `Strategy`."""
        return self

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        """See `Dataset`."""
        left = self.most
        for row in super().strategy("dataset").build().rows(seed):
            yield row
            left -= counts_as(prompt_of(row).language, self.languages) is not None
            if not left:
                return


class JobPreview:
    """The job of one training node, without doing what comes before it. scratch: an empty folder to work in.

    Raises DataError, naming the stage to run, where rows or a model of an earlier stage do not stand yet.
    """

    def __init__(self, loaded: LoadedRecipe, plan: Plan, node: Node, inventory: Inventory, scratch: Path) -> None:
        self.loaded = loaded
        self.plan = plan
        self.node = node
        self.inventory = inventory
        self.scratch = scratch

    @property
    def trainer(self) -> TrainerStrategy:
        """The trainer with its paths filled in."""
        roles = [role for role in (*self.node.inputs, *self.node.external) if role.startswith("trainer")]
        paths = {role: str(self._input(self.node, role)) for role in roles}
        trainer: Any = self.loaded.registry.validate("trainer", fill_paths(self.node.settings["trainer"], paths))
        return trainer  # type: ignore[no-any-return]

    def job(self, language: str | None, most: int) -> TrainingJob:
        """The job with its first rows, at most so many, in one language or in all."""
        kind = self._kind()
        if kind not in ROW_RECORDS:
            raise PluginError(f"step '{self.node.id}' trains on {kind}; expected demonstrations or preferences to show")
        for part in ("rows", "out", "work"):
            (self.scratch / part).mkdir()
        wanted = frozenset(self.loaded.recipe.languages if language is None else (language,))
        rows = (row for row in self._rows(kind, wanted, most) if prompt_of(row).language in wanted)
        if not write_rows(self.scratch / "rows", ROW_RECORDS[kind], islice(rows, most)):
            of = f" in the language '{language}'" if language else ""
            raise DataError(f"step '{self.node.id}' has no rows{of}; there is nothing to show")
        start = None if self.node.settings["start"] is None else self._input(self.node, "start")
        return TrainingJob(
            self.scratch / "rows", self.scratch / "out", self.scratch / "work", self.node.seed, start=start
        )  # fmt: skip

    def _kind(self) -> str:
        rows = self.node.inputs.get("rows")
        kind = self.trainer.reads if rows is None else self.plan.nodes[rows].kind
        return "demonstrations" if kind == "any" else kind

    def _rows(self, kind: str, languages: frozenset[str], most: int) -> Iterator[ExampleRow]:
        id = self.node.inputs.get("rows")
        if id is None or id in self.inventory.standing or self.plan.nodes[id].action != "read":
            return read_rows(self._input(self.node, "rows"), ROW_RECORDS[kind])
        work = self._work(self.plan.nodes[id])
        work.out.mkdir(parents=True)
        read_data(FirstRows(**vars(work), languages=languages, most=most))
        return read_rows(work.out, ROW_RECORDS[kind])

    def _input(self, node: Node, role: str) -> Path:
        """Where an input lies; rows that only have to be read or chosen are made in the scratch folder."""
        if role in node.external:
            return self.inventory.fetched(node.external[role])
        id = node.inputs[role]
        if id in self.inventory.standing:
            return self.inventory.standing[id].payload / node.subpaths.get(role, "")
        source = self.plan.nodes[id]
        if source.action not in ("read", "select"):
            folder = self.inventory.run.folder
            raise DataError(
                f"step '{self.node.id}' needs '{id}', which does not stand in {folder}; make it first: "
                f"aya run {self.loaded.source} --out {folder} --until {source.stage}"
            )
        work = self._work(source)
        if not work.out.exists():
            work.out.mkdir(parents=True)
            self.loaded.registry.actions[source.action].run(work)
        return work.out

    def _work(self, node: Node) -> Work:
        inputs: Mapping[str, Path] = {role: self._input(node, role) for role in (*node.inputs, *node.external)}
        return Work(node, self.loaded.registry, inputs, self.scratch / file_name(node.id), lambda *progress: None)
