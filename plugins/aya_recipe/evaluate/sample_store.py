"""Scores, answers and verdicts of an evaluated model, to be looked up by sample: a temporary database, so that memory does not grow."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import Completion, Judged, RowScore, Scored, read_rows, temporary_database
from aya_recipe.evaluate.evaluation import GREEDY


class Said(NamedTuple):
    """An answer; without a text, that there is none."""

    number: int
    text: str | None
    finish_reason: str | None


class Store:
    """What an evaluator's artifact holds. payload: its folder."""

    def __init__(self, payload: Path) -> None:
        self._database = temporary_database()
        for table in (
            "scores (id, language, metric, value)", "likelihoods (id, found)", "answers (side, id, place, text, finish)",
            "verdicts (id, said)", "known (id, prompt, gold)",
        ):  # fmt: skip
            self._database.execute(f"CREATE TABLE {table}")
        rows = ((row.prompt_id, row.language, row.metric, row.value) for row in read_rows(payload, RowScore))
        self._database.executemany("INSERT INTO scores VALUES (?, ?, ?, ?)", rows)
        for folder in sorted(payload.glob("verdicts.*")):
            judged = (row for row in read_rows(folder, Judged) if row.verdict.status != "scored")
            said = ((row.completion.prompt_id, f"{row.verdict.status}: {row.verdict.reason}") for row in judged)
            self._database.executemany("INSERT INTO verdicts VALUES (?, ?)", said)
        self._metrics = {metric for (metric,) in self._database.execute("SELECT DISTINCT metric FROM scores")}
        for table in ("scores", "verdicts", "known", "likelihoods", "answers"):
            self._database.execute(f"CREATE INDEX {table}_by_id ON {table} (id)")

    def add_likelihoods(self, folder: Path) -> None:
        """Take the log-likelihoods of the model's replies."""
        rows = ((row.id, json.dumps(row.log_likelihoods)) for row in read_rows(folder, Scored))
        self._database.executemany("INSERT INTO likelihoods VALUES (?, ?)", rows)

    def add_answers(self, side: str, answers: Iterable[Completion]) -> None:
        """Take answers. side: whose they are."""
        rows = ((side, one.prompt_id, one.index, one.text, one.finish_reason) for one in answers)
        self._database.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?)", rows)

    def add_known(self, rows: Iterable[tuple[str, str | None, Any]]) -> None:
        """Take the prompt and the right answer of rows, by id."""
        self._database.executemany("INSERT INTO known VALUES (?, ?, ?)", rows)

    def known(self, id: str) -> tuple[str | None, Any]:
        """The prompt and the right answer of a row, where they are known."""
        row = self._database.execute("SELECT prompt, gold FROM known WHERE id = ?", (id,)).fetchone()
        return (None, None) if row is None else (row[0], row[1])

    def likelihoods(self, id: str) -> Sequence[tuple[float, int, int]]:
        """Nats, tokens and tokens cut of each option of a question."""
        (found,) = self._database.execute("SELECT found FROM likelihoods WHERE id = ?", (id,)).fetchone()
        return [(float(nats), int(tokens), int(cut)) for nats, tokens, cut in json.loads(found)]

    def answers(self, side: str, id: str) -> list[Said]:
        """The answers to a prompt, by index."""
        query = "SELECT place, text, finish FROM answers WHERE id = ? AND side = ? ORDER BY place"
        return [Said(*row) for row in self._database.execute(query, (id, side))]

    def scores(self, id: str, language: str, place: int, count: int, *, greedy: bool) -> Mapping[str, Any]:
        """The scores of the sample at a place among so many of its prompt: its own where each has one, else the prompt's."""
        found: dict[str, list[float]] = defaultdict(list)
        query = "SELECT metric, value FROM scores WHERE id = ? AND language = ? ORDER BY rowid"
        for metric, value in self._database.execute(query, (id, language)):
            if metric.startswith(GREEDY) == greedy:
                found[metric.removeprefix(GREEDY)].append(value)
        return {
            metric: values[0] if len(values) == 1 else values[place] if len(values) == count else values
            for metric, values in found.items()
        }

    def scored(self) -> Iterator[tuple[str, str]]:
        """Every id that has a score, with its language, in the order of the scores."""
        yield from self._database.execute(
            "SELECT id, language FROM scores GROUP BY id, language ORDER BY MIN(rowid)"
        ).fetchall()

    def has_metric(self, metric: str) -> bool:
        """Whether some row has this metric; one of a whole corpus none has."""
        return metric in self._metrics

    def why_unscored(self, id: str) -> str:
        """What a judge said who gave no score, or nothing."""
        row = self._database.execute("SELECT said FROM verdicts WHERE id = ? LIMIT 1", (id,)).fetchone()
        return str(row[0]) if row else ""
