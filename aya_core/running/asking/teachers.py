"""Asking a teacher about prompts, an action in one call, and reading its answers beside their prompts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from aya_core.contract.artifacts import read_batches, read_rows
from aya_core.contract.checked import checked_answers
from aya_core.contract.errors import DataError
from aya_core.contract.kinds import Teacher
from aya_core.contract.records import Columns, Completion, Prompt
from aya_core.contract.requests import Sampling
from aya_core.contract.texts import BLANKS
from aya_core.running.asking.asked import MEASURE, Asked, prompt_key
from aya_core.running.asking.left_out import LeftOut, unanswered_because
from aya_core.running.asking.shards import Asking, chunked, damaged, fill_shards, kept
from aya_core.running.work import Work

Row = TypeVar("Row")

SHARD_PROMPTS = 8192
"""Prompts handed to a teacher at a time, at the most: enough that engines are seldom idle at its end."""

SHARD_TOKENS = 2**24
"""Tokens of the answers to them, at the most; they are held in memory."""


def ask_teacher(
    work: Work, prompts: Callable[[], Iterable[Prompt]], *, subfolder: str = "", more: Mapping[str, Sampling] | None = None,
    name: str = "teacher", total: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Ask the step's teacher about every prompt, fill the payload with its answers, and return the measures of the step.

    The step has the settings `teacher` and `sampling`, and its action says that it `resumes` and `asks`. Answers are in the order of
    the prompts; `answers_to` reads them. Where an earlier run asked the same teacher in the same way about the same prompt, its answers
    are taken over.

    prompts: begins to yield them, from the first each time. subfolder: a folder of the payload for the answers. more: other ways in
    which the teacher is asked as well, by the folder for what comes of it. name: of the teacher, for its answers and messages. total:
    prompts, where they are known, for the progress.

    Measures: `prompts`, `answers`, `unanswered` (answers that are missing), `taken_over` (prompts), `seconds`, `asked`; where they
    are not 0, `empty` and `cut` answers, `unanswered_because` (a table of reasons by language), `damaged` (shards and lines made again)
    and what `--keep` kept. Empty answers, and those that are missing, are what `--ask-again` asks for.
    Raises DataError where nothing at all was answered.
    """
    ways = {subfolder: Sampling(**work.setting("sampling")), **(more or {})}
    teacher: Callable[[], Teacher] = cache(lambda: work.strategy("teacher").build())  # loaded when needed, if ever
    asked = Asked.of(work.node, work.contents)
    left_out = {folder: LeftOut(work.scratch, folder) for folder in ways}
    filled = [
        fill_shards(
            work, _asking(work, teacher, how, name, asked, left_out[folder]), chunked(prompts(), chunk_size(how)),
            subfolder=folder, total=total,
        )
        for folder, how in ways.items()
    ]  # fmt: skip
    answered = sum(one.rows for one in filled)
    because = unanswered_because(*left_out.values())
    if filled[0].items and not answered:
        raise _nothing_answered(
            work, next(iter(prompts())), filled[0].items, name, because.get("unanswered_because", ())
        )
    wanted = sum(one.items * how.n for one, how in zip(filled, ways.values(), strict=True))
    return {
        "prompts": filled[0].items,
        "answers": answered,
        "unanswered": wanted - answered,
        **_endings(work.out / folder for folder in ways),
        **because,
        "taken_over": sum(one.taken for one in filled),
        "seconds": round(sum(one.seconds for one in filled), 3),
        **damaged(*filled),
        **kept(*filled),
        MEASURE: asked.as_measure(),
    }


def chunk_size(sampling: Sampling) -> int:
    """How many prompts a teacher is handed at a time."""
    return max(1, min(SHARD_PROMPTS, SHARD_TOKENS // (sampling.n * sampling.max_tokens)))


class Lookahead(Generic[Row]):
    """Takes the run of rows that belong to one prompt from a stream that is in the order of the prompts."""

    def __init__(self, rows: Iterator[Row], prompt_id: Callable[[Row], str]) -> None:
        self._rows = rows
        self._prompt_id = prompt_id
        self._next = next(rows, None)
        self._next_id = None if self._next is None else prompt_id(self._next)

    def take(self, id: str) -> list[Row]:
        """The rows of this prompt; none if the next rows are another's."""
        taken: list[Row] = []
        while self._next is not None and self._next_id == id:
            taken.append(self._next)
            self._next = next(self._rows, None)
            self._next_id = None if self._next is None else self._prompt_id(self._next)
        return taken

    def check_done(self) -> None:
        """Raise DataError if rows are left: they are of a prompt that did not come, or came too early."""
        if self._next is not None:
            raise DataError(
                f"rows of '{self._prompt_id(self._next)}' do not follow the order of the prompts; delete the artifact that "
                "holds them, and run again"
            )


def answers_to(prompts: Iterable[Prompt], folder: Path) -> Iterator[tuple[Prompt, list[Completion]]]:
    """Bring each prompt together with its answers, of which there may be none. folder: what `ask_teacher` filled with them."""
    stream = Lookahead(read_rows(folder, Completion), lambda answer: answer.prompt_id)
    for prompt in prompts:
        yield prompt, stream.take(prompt.id)
    stream.check_done()


def _asking(
    work: Work, teacher: Callable[[], Teacher], how: Sampling, name: str, asked: Asked, left_out: LeftOut
) -> Asking[Prompt, Completion]:
    def ask(prompts: Sequence[Prompt]) -> Iterator[tuple[int, Sequence[Completion]]]:
        return checked_answers(teacher(), prompts, how, _seed(work, how), name, left_out.note)

    def is_whole(answers: Sequence[Completion]) -> bool:
        return len(answers) == how.n and not any(answer.is_empty for answer in answers)

    return Asking(Completion, prompt_key, ask, asked, lambda answer: answer.completion_tokens, is_whole, left_out.made)


def _endings(folders: Iterable[Path]) -> dict[str, int]:
    """How many answers are empty, and how many were cut; without those that are 0."""
    import pyarrow.compute

    counts: Counter[str] = Counter()
    for folder in folders:
        for answers in read_batches(folder, _Ending):  # whole columns: row by row it takes a tenth of the step
            bare = pyarrow.compute.utf8_trim(answers.column("text"), characters=BLANKS)
            counts["empty"] += pyarrow.compute.sum(pyarrow.compute.equal(bare, "")).as_py() or 0
            counts["cut"] += (
                pyarrow.compute.sum(pyarrow.compute.equal(answers.column("finish_reason"), "length")).as_py() or 0
            )
    return {name: count for name, count in counts.items() if count}


def _seed(work: Work, how: Sampling) -> int:
    return work.node.seed if how.seed is None else how.seed


def _nothing_answered(
    work: Work, first: Prompt, count: int, name: str, because: Sequence[Mapping[str, Any]]
) -> DataError:
    """Say that nothing came. It is forgotten: a teacher that was out of reach is asked again next time."""
    shutil.rmtree(work.out)
    reasons = "; ".join(f"{row['reason']} ({row['language']} {row['count']})" for row in because[:3])
    return DataError(
        f"teacher '{name}' answered none of {count} prompts{f': {reasons}' if reasons else ''}; their ids are like "
        f"'{first.id}': are those of recorded answers alike?"
    )


@dataclass(frozen=True, slots=True)
class _Ending(Columns):
    """What an answer says, and how it ended."""

    text: str
    finish_reason: str

    columns: ClassVar[Mapping[str, str]] = {"text": "string", "finish_reason": "string"}
