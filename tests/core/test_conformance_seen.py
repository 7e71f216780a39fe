"""The conformance kit on what is seen of a run: trackers, and trainers that show their rows."""

from typing import Any

import pytest

from aya_core.api import Field, TokenInfo, TokenizedRow, TrackerStrategy
from aya_core.testing import check_tracker, sample_demonstrations
from aya_core.testing.trainer import check_tokenized_rows

TOKENS = (TokenInfo(1, "a", True),)


class Silent(TrackerStrategy):
    """Take everything."""

    def build(self):
        return self

    def start(self, run):
        assert run.folder.is_dir()

    def log(self, node, step, measures):
        pass

    def finish(self, node, measures):
        pass

    def close(self, is_whole):
        pass


class Picky(Silent):
    """Refuse what is no number."""

    def log(self, node, step, measures):
        for value in measures.values():
            round(value)


class Mutating(Silent):
    """Change what it is told."""

    def log(self, node, step, measures):
        measures.clear()


class Counting(Silent):
    """Refuse steps that fall back."""

    def build(self):
        return type(self)()

    def log(self, node, step, measures):
        assert step >= self.__dict__.setdefault("last", 0), "steps fell back"
        self.__dict__["last"] = step


class Hungry(Silent):
    """Refuse to end early."""

    def close(self, is_whole):
        if not is_whole:
            raise RuntimeError("not whole")


def test_a_tracker_that_takes_everything_is_accepted(tmp_path):
    check_tracker(Silent(), tmp_path)


@pytest.mark.parametrize(
    ("tracker", "rule"),
    [
        (Picky(), "cannot convert float"),
        (Mutating(), "must leave the measures as they are"),
        (Counting(), "steps fell back"),
        (Hungry(), "not whole"),
    ],
)
def test_a_tracker_that_misbehaves_is_told_why(tracker, rule, tmp_path):
    with pytest.raises(AssertionError, match=rule):
        check_tracker(tracker, tmp_path)


class Showing(Silent):
    """Show what the test makes of each row."""

    make: Any = Field(None, description="What is made.")

    def show(self, job):
        return (shown for row in sample_demonstrations() for shown in self.make(row))

    def train(self, job):
        return {}


def shown(row, column="", tokens=TOKENS, note=""):
    return TokenizedRow(row.prompt.id, row.prompt.language, column, tokens, note)


CASES = {
    "order": (lambda row: [] if row.prompt.id == "en-2" else [shown(row)], "every row in its order"),
    "language": (lambda row: [TokenizedRow(row.prompt.id, "xx", "", TOKENS)], "every row in its order"),
    "type": (lambda row: [row], "expected TokenizedRow"),
    "tokens": (lambda row: [shown(row, tokens=(1, 2))], "must be of TokenInfo"),
    "empty": (lambda row: [shown(row, tokens=())], "must have a note"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_that_are_shown_wrongly_are_told_why(case, tmp_path):
    make, rule = CASES[case]
    with pytest.raises(AssertionError, match=rule):
        check_tokenized_rows(Showing(make=make), tmp_path, None, sample_demonstrations())


def test_rows_that_are_shown_in_parts_and_with_notes_are_accepted(tmp_path):
    trainer = Showing(make=lambda row: [shown(row, "chosen"), shown(row, "rejected", (), "dropped: empty")])
    check_tokenized_rows(trainer, tmp_path, None, sample_demonstrations())
    check_tokenized_rows(Silent(), tmp_path, None, sample_demonstrations())
