"""Verdicts that an evaluator asks for. They survive a kill, and later runs take them over, but for those that failed.

A verdict is named by the prompt, the answers in the order shown, and the arbiter: its settings, and the content of its models and
files. With it stands by what code it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from aya_core.api import (
    MEASURE,
    Arbiter,
    ArbiterStrategy,
    Asked,
    Asking,
    CalibratedArbiter,
    Case,
    Filled,
    Judged,
    PluginError,
    StepReplies,
    Strategy,
    Verdict,
    Work,
    chunked,
    damaged,
    fill_shards,
    kept,
    read_rows,
    stable_hash,
    strategies_with_paths,
    text_key,
)
from aya_recipe.arbitrage.judging import (
    CHUNK_CASES,
    answer_by_answer,
    calibration_sample,
    is_no_failure,
    judged,
    key_of,
)


class VerdictCache:
    """Gives the evaluator of a node its arbiters (see `EvaluatedModel.arbiter`), and counts verdicts.

    measures: of what was judged; none where the evaluator had nothing judged.
    """

    def __init__(self, work: Work, evaluator: Strategy[Any]) -> None:
        self._work = work
        self._evaluator = evaluator
        self._asked = replace(Asked.of(work.node, work.contents), by_item=True) if work.node.asked else None
        self._replies = StepReplies(work, "evaluator", evaluator)
        self._filled: list[Filled] = []
        self._failed = 0

    @property
    def measures(self) -> Mapping[str, Any]:
        """What came of judging."""
        if not self._filled or self._asked is None:
            return {}
        return {
            "failed": self._failed,
            "taken_over": sum(filled.taken for filled in self._filled),
            **self._replies.measures,
            **kept(*self._filled),
            **damaged(*self._filled, self._replies.close()),
            MEASURE: self._asked.as_measure(),
        }

    def arbiter(self, strategy: ArbiterStrategy) -> Arbiter:
        """Build an arbiter that is a setting of the evaluator. Raises PluginError for any other."""
        identity = self._identity(strategy)
        assert self._asked is not None  # the evaluator has an arbiter
        arbiter = strategy.build()
        self._replies.give(arbiter)
        return _CachedArbiter(arbiter, strategy.pointwise, identity, self._asked, self._fill)

    def _identity(self, strategy: ArbiterStrategy) -> str:
        """Name all that decides a verdict of this arbiter beside its case."""
        path = next((path for path, one in strategies_with_paths(self._evaluator) if one is strategy), None)
        if path is None:
            raise PluginError(
                f"the evaluator asks for verdicts of {type(strategy).__name__}, which is none of its settings; "
                "make it a field: nested('arbiter')"
            )
        settings = self._work.node.identity["evaluator"]
        for key in path:
            settings = settings[key]
        role = ".".join(("evaluator", *map(str, path)))
        contents = {
            name: content
            for name, content in self._work.contents.items()
            if name == role or name.startswith(f"{role}.")
        }
        return stable_hash([settings, contents])

    def _fill(self, asking: Asking[Case, Judged], cases: Iterable[Case], total: int) -> Iterator[Judged]:
        subfolder = f"verdicts.{len(self._filled)}"
        self._filled.append(
            fill_shards(self._work, asking, chunked(cases, CHUNK_CASES), subfolder=subfolder, total=total)
        )
        for row in read_rows(self._work.out / subfolder, Judged):
            self._failed += row.verdict.status == "failed"
            yield row


class _CachedArbiter:
    """An arbiter whose verdicts are kept. Satisfies `Arbiter`; it takes its scale itself, from the cases that it is handed."""

    def __init__(
        self, arbiter: Arbiter, alone: bool, identity: str, asked: Asked, fill: Callable[..., Iterator[Judged]]
    ) -> None:
        self._arbiter = arbiter
        self._alone = alone
        self._identity = identity
        self._asked = asked
        self._fill = fill

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        """Judge each case, or take over what was said of it."""
        identity = self._identity
        if isinstance(self._arbiter, CalibratedArbiter):
            sample = calibration_sample(cases, 0)
            self._arbiter.calibrate(sample)
            identity = stable_hash([identity, [key_of(case) for case in sample]])
        alone = list(answer_by_answer(cases)) if self._alone else cases
        asking = Asking(
            Judged, lambda case: text_key(identity, str(key_of(case))), self._ask, self._asked, stands=is_no_failure
        )
        rows = self._fill(asking, alone, len(alone))
        for case in cases:
            yield [row.verdict for row in islice(rows, len(case.candidates))]

    def _ask(self, cases: Sequence[Case]) -> Iterator[tuple[int, Sequence[Judged]]]:
        return judged(self._arbiter, cases, "the arbiter of the evaluator")
