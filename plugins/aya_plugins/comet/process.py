"""The process that scores, and what is said to it: JSON, a line a message, on its standard input and output.

Asked `{"do": "load", ...}` it says `{"loaded": device}`; asked `{"do": "score", "rows": [[source, hypothesis, reference],
...], "batch_tokens": n}` it says `{"scores": [[place, score, cut], ...]}` after each batch, and then `{"done": true}`. What
it cannot do for a reason that the user can mend it refuses: `{"refused": message}`. It ends with its input.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from aya_core.api import AyaError, DataError, Lines, how_it_ended
from aya_plugins.comet.settings import Comet

SCRIPT = Path(__file__).with_name("worker.py")


class Sample(NamedTuple):
    """A translation with what it translates and what it is compared with."""

    source: str
    hypothesis: str
    reference: str


class Score(NamedTuple):
    """What a checkpoint says of a translation. cut: whether its encoder could not read all of the three texts."""

    value: float
    cut: bool


class Worker:
    """A running process of COMET's environment. As a context manager it is ended at the end."""

    def __init__(self, python: Path) -> None:
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [python, "-I", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )  # fmt: skip
        self._lines = Lines(self._process)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def load(self, settings: Comet) -> str:
        """Load a checkpoint, and say on what kind of device. Raises DataError where it is not what it should be."""
        asked = settings.model_dump(
            include={"metric", "name", "revision", "path", "encoder", "encoder_revision", "precision"}
        )
        return str(self._ask({"do": "load", **asked})["loaded"])

    def scores(self, rows: Sequence[Sample], batch_tokens: int) -> Iterator[Sequence[tuple[int, Score]]]:
        """Yield the places of rows with their scores, batch by batch as they are done."""
        answer = self._ask({"do": "score", "rows": rows, "batch_tokens": batch_tokens})
        while "done" not in answer:
            yield [(place, Score(value, cut)) for place, value, cut in answer["scores"]]
            answer = self._hear()

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; why is told below
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Mapping[str, Any]:
        line = self._lines.next()
        if line is None:
            how = how_it_ended(self._process.wait())
            self._errors.seek(0)
            last_errors = "\n".join(self._errors.read().strip().splitlines()[-12:])
            raise AyaError(
                f"the process of COMET {how}; what it scored before is kept. It said last:\n{last_errors or 'nothing'}"
            )
        answer: Mapping[str, Any] = json.loads(line)
        if "refused" in answer:
            raise DataError(str(answer["refused"]))
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()
