"""What a trainer hands to the loop: rows, and the share of some of them in the measures of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from aya_core.api import Prompt
from aya_plugins.modeling.rows import Ints


class Task(Protocol):
    """What a trainer trains on, or measures on."""

    @property
    def name(self) -> str:
        """Of the trainer, for messages."""

    @property
    def lengths(self) -> Ints:
        """Tokens that each row takes in a forward pass, (rows,)."""

    @property
    def answer_tokens(self) -> Ints:
        """Tokens of each row that go through the output head, (rows,); 0 where there is none."""

    @property
    def prompts(self) -> Sequence[Prompt]:
        """What each row is about, for messages and for measures by language."""

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some rows in the measures of a step; "loss" among them carries the gradient.

        Shares add up: over all forward passes of a step and all devices they give the measure of the step. The module is
        called with nothing but the rows.
        """


class CountedTask(Task, Protocol):
    """A task that says what became of the rows it was made of."""

    def account(self) -> Mapping[str, float]:
        """Count the rows that were cut (`truncated_rows`) or lost (`dropped_rows`)."""
