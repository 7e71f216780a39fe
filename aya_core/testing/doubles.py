"""A plugin with a data set and a teacher to try a stage on, which `check_stage` lets recipes name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from aya_core.contract.kinds import Dataset, DatasetStrategy, Teacher, TeacherStrategy
from aya_core.contract.records import Completion, ExampleRow, Prompt
from aya_core.contract.requests import Sampling
from aya_core.hookspecs import hookimpl
from aya_core.testing.samples import sample_demonstrations, sample_preferences, sample_prompts


class SampleRows(DatasetStrategy):
    """Yield the sample rows of `aya_core.testing`, in five languages."""

    kind: Literal["prompts", "demonstrations", "preferences"] = Field("prompts", description="What the rows are.")

    def build(self) -> Dataset:
        """Make the data set."""
        return self

    def rows(self, seed: int) -> Iterator[ExampleRow]:
        """Yield the rows, the same whatever the seed."""
        make: Mapping[str, Callable[[], Sequence[ExampleRow]]] = {
            "prompts": sample_prompts,
            "demonstrations": sample_demonstrations,
            "preferences": sample_preferences,
        }
        yield from make[self.kind]()


class Echo(TeacherStrategy):
    """Say back what was asked, in capital letters."""

    def build(self) -> Teacher:
        """Make the teacher."""
        return self

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        """Answer each prompt as often as is asked."""
        for prompt in prompts:
            for index in range(sampling.n):
                yield Completion(prompt.id, "", index, f"{prompt.text.upper()} {'I' * index}".strip(), 1, 1, "stop")


@hookimpl
def aya_datasets() -> Mapping[str, type[DatasetStrategy]]:
    """Rows that need no file."""
    return {"sample-rows": SampleRows}


@hookimpl
def aya_teachers() -> Mapping[str, type[TeacherStrategy]]:
    """A teacher that needs no model."""
    return {"echo": Echo}
