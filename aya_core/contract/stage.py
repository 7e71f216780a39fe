"""A stage: settings of one thing that a recipe does, how it unrolls into steps of the plan, and the actions of these steps.

    class Translate(Stage):
        prompts: RowsRef = Field(description="What is translated.")
        actions = {"translate": Action(translate)}

        def unroll(self, build):
            rows = build.resolve(self.prompts, "prompts")
            build.name(self.name, build.add(self.name, "translate", "prompts", {}, {"prompts": rows}))

A plugin offers it by the hook `aya_stages`, and a recipe says `do: translate`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from aya_core.contract.languages import check_language
from aya_core.contract.strategies import Settings
from aya_core.contract.surroundings import Surroundings

if TYPE_CHECKING:
    from aya_core.contract.reports import Section
    from aya_core.planning.plan import Builder
    from aya_core.running.record import StageRecord

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""What a name looks like, of a stage, a teacher, a strategy: lower case words joined by hyphens."""

Language = Annotated[str, AfterValidator(check_language)]
"""The type of a setting that is a language code, checked as `check_language` does."""


def check_name(value: str) -> str:
    """Return a name as it is. Raises ValueError for one that is not lower case words joined by hyphens."""
    if not NAME.fullmatch(value):
        raise ValueError(f"'{value}' is not lower case words joined by hyphens")
    return value


Name = Annotated[str, AfterValidator(check_name)]
"""The type of a setting that is a name: lower case words joined by hyphens."""


@dataclass(frozen=True)
class Action:
    """What a step does.

    run: takes the `Work`, fills the step's payload folder (`Work.out`) and returns the measures that its artifact records.
    version: raised when its results change; steps that stand are then done again.
    stops: whether it looks at `Work.stopping`, and saves and raises StoppedError when the run is told to stop; the process of any other
    action is then ended at once.
    resumes: whether it goes on from a payload that a killed run left; any other action starts with an empty one.
    phrases: says its measures in words, for the progress of a run; the first few are shown as they are otherwise.
    asks: whether it asks someone who may be paid. What is asked goes on to be asked when another step has failed.
    """

    run: Callable[[Any], Mapping[str, Any]]
    resumes: bool = False
    version: int = 1
    asks: bool = False
    stops: bool = False
    phrases: Callable[[Mapping[str, Any]], Sequence[str]] | None = None


class Stage(Settings):
    """Settings of a stage, which a recipe lists under `stages`. Subclass it, and write `unroll()`.

    The first line of the docstring and every field's description are printed by `aya strategies show stage NAME`.
    """

    actions: ClassVar[Mapping[str, Action]] = {}
    """What its steps do, by the name that `Builder.add` is given. The steps of a stage may name actions of other stages, too."""

    do: str = Field(description="What it does.")
    name: Name = Field(description="By which later stages refer to it.")

    @abstractmethod
    def unroll(self, build: Builder) -> None:
        """Add the steps of this stage to a plan, and name what later stages may refer to."""
        raise NotImplementedError

    def review(self, build: Builder) -> None:
        """Look at the whole plan, once every stage is unrolled. Raises the error that `Builder.error` makes."""

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """Say why it cannot work on a machine, as strategies do for themselves (`Strategy.obstacles`)."""
        return iter(())

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """What a report says of a stage that was run; None, as here, where there is nothing to say.

        It is called when a run ends or fails, and by `aya report`, for runs of any version. So it reads the record alone: settings as
        plain data, steps, and those of their artifacts that stand. Other stages are in `stage.run`.
        """
        return None
