"""Verdicts that an evaluator asks for. They survive a kill, and later runs take them over, but for those that failed.

A verdict is named by the prompt, the answers in the order shown, and the arbiter: its settings, the content of its models and files,
and the versions of the plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from aya_core.artifacts import read_rows, stable_hash
from aya_core.errors import PluginError
from aya_core.kinds import Arbiter, CalibratedArbiter
from aya_core.records import Case, Judged, Verdict
from aya_core.stages.judging import CHUNK_CASES, calibration_sample, is_no_failure
from aya_core.stages.keyed import case_key, text_key
from aya_core.stages.shards import Asking, chunked, fill
from aya_core.stages.work import Work
from aya_core.strategies import Strategy, find
from aya_core.verdicts import checked_verdicts

MADE_BY = "verdicts 1"
"""What verdicts are kept under. All that decides one is in its key."""


class Keeper:
    """Gives the evaluator of a node its arbiters (see `Subject.arbiter`), and counts verdicts.

    failed: those that failed. taken: cases that an earlier run had judged. asked: whether any arbiter was asked for.
    """

    def __init__(self, work: Work, evaluator: Strategy[Any]) -> None:
        self._work = work
        self._evaluator = evaluator
        self._parts = 0
        self.failed = self.taken = 0

    @property
    def asked(self) -> bool:
        """Whether the evaluator had anything judged."""
        return self._parts > 0

    def arbiter(self, strategy: Strategy[Arbiter]) -> Arbiter:
        """Build an arbiter that is a setting of the evaluator. Raises PluginError for any other."""
        return _Keeping(strategy, self._identity(strategy), self._fill)

    def _identity(self, strategy: Strategy[Arbiter]) -> str:
        """Name all that decides a verdict of this arbiter beside its case."""
        path = next((path for path, one in _strategies(self._evaluator) if one is strategy), None)
        if path is None:
            raise PluginError(
                f"the evaluator asks for verdicts of {type(strategy).__name__}, which is none of its settings; "
                "make it a field: nested('arbiter')"
            )
        settings = self._work.node.identity["evaluator"]
        for part in path:
            settings = settings[part]
        role = ".".join(("evaluator", *map(str, path)))
        contents = {
            name: content
            for name, content in self._work.contents.items()
            if name == role or name.startswith(f"{role}.")
        }
        return stable_hash([settings, contents, self._work.node.plugins])

    def _fill(self, asking: Asking[Case, Judged], cases: Iterable[Case], total: int) -> Iterator[Judged]:
        part = f"verdicts.{self._parts}"
        self._parts += 1
        self.taken += fill(self._work, asking, chunked(cases, CHUNK_CASES), part=part, total=total).taken
        for row in read_rows(self._work.out / part, Judged):
            self.failed += row.verdict.status == "failed"
            yield row


class _Keeping:
    """An arbiter whose verdicts are kept. Satisfies `Arbiter`; it takes its scale itself, from the cases that it is handed."""

    def __init__(self, strategy: Strategy[Arbiter], identity: str, fill: Callable[..., Iterator[Judged]]) -> None:
        self._arbiter = strategy.build()
        self._alone = bool(getattr(strategy, "pointwise", False))
        self._identity = identity
        self._fill = fill

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Judge each case, or take over what was said of it."""
        identity = self._identity
        if isinstance(self._arbiter, CalibratedArbiter):
            sample = calibration_sample(cases, 0)
            self._arbiter.calibrate(sample)
            identity = stable_hash([identity, [_key(case) for case in sample]])
        alone = (
            [Case(case.prompt, (candidate,)) for case in cases for candidate in case.candidates]
            if self._alone
            else cases
        )
        asking = Asking(
            Judged, lambda case: text_key(identity, str(_key(case))), self._ask, MADE_BY, stands=is_no_failure
        )
        rows = self._fill(asking, alone, len(alone))
        for case in cases:
            yield [row.verdict for row in islice(rows, len(case.candidates))]

    def _ask(self, cases: Sequence[Case]) -> Iterator[tuple[int, Sequence[Judged]]]:
        who = "the arbiter of the evaluator"
        for place, (case, verdicts) in enumerate(zip(cases, checked_verdicts(self._arbiter, cases, who), strict=True)):
            yield place, [Judged(*pair) for pair in zip(case.candidates, verdicts, strict=True)]


def _strategies(settings: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every strategy inside a strategy's settings, with the path that leads to it."""
    for name in type(settings).model_fields:
        for found, strategy in find(getattr(settings, name), Strategy, (*path, name)):  # type: ignore[type-abstract]
            yield found, strategy
            yield from _strategies(strategy, found)


def _key(case: Case) -> int:
    return case_key(case.prompt, case.candidates)
