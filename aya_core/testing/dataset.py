"""What a data set must do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from aya_core.contract.kinds import DatasetStrategy
from aya_core.contract.records import Demonstration, Preference, Prompt
from aya_core.testing.strategy import Rules, check_strategy


def check_dataset(strategy: DatasetStrategy, *, limit: int = 1000, seed: int = 0, groups: bool = False) -> None:
    """Check a data set on its first rows. Raises AssertionError that says which rule is broken.

    groups: whether its rows are groups, scored answers one after the other under the id of their prompt.
    """
    check_strategy(strategy, "dataset")
    expect = Rules(strategy)
    dataset = strategy.build()
    expect(isinstance(dataset.rows(seed), Iterator), "rows() must stream, as a generator does")
    rows = list(islice(dataset.rows(seed), limit))
    expect(bool(rows), "rows() yielded nothing")
    seen: set[str] = set()
    before: Prompt | None = None
    for row in rows:
        expect(
            isinstance(row, (Prompt, Demonstration, Preference)),
            f"rows() yielded {type(row).__name__}; expected Prompt, Demonstration or Preference",
        )
        prompt = row if isinstance(row, Prompt) else row.prompt
        if groups:
            has_score = isinstance(row, Demonstration) and row.score is not None
            expect(has_score, f"row '{prompt.id}' must be a demonstration with a score; groups are made of them")
        is_same_group, before = groups and prompt == before, prompt
        rule = "answers to a prompt must come one after the other" if groups else "ids must be unique"
        expect(is_same_group or prompt.id not in seen, f"id '{prompt.id}' came twice; {rule}")
        seen.add(prompt.id)
        expect(bool(prompt.language), f"row '{prompt.id}' has no language; 'und' stands for an unknown one")
        expect(
            bool(prompt.messages) and prompt.messages[-1]["role"] == "user",
            f"the prompt of row '{prompt.id}' must end with a message of the user",
        )
    expect(len({type(row) for row in rows}) == 1, "all rows must be of one kind")
    again = "rows() must yield the same rows in the same order for the same seed"
    expect(list(islice(dataset.rows(seed), limit)) == rows, f"{again}, when asked twice")
    expect(list(islice(strategy.build().rows(seed), limit)) == rows, f"{again}, when built twice")
