"""What a tracker must do."""

from __future__ import annotations

import math
from pathlib import Path

from aya_core.contract.kinds import TrackedRun, TrackerStrategy
from aya_core.testing.strategy import Rules, check_strategy


def check_tracker(strategy: TrackerStrategy, folder: Path) -> None:
    """Check a tracker on two runs, of which the second is stopped. Raises AssertionError that says which rule is broken.

    folder: an empty one; the runs lie in it. Give it settings that send nothing.
    """
    check_strategy(strategy, "tracker")
    for is_whole in (True, False):
        run = TrackedRun(
            "sample", folder / f"run-{is_whole}", {"name": "sample", "stages": [{"name": "tune", "do": "something"}]}
        )
        run.folder.mkdir()
        with Rules(strategy).without(Exception, rule="a tracker must take what a run tells it"):
            _track(strategy, run, is_whole)


def _track(strategy: TrackerStrategy, run: TrackedRun, is_whole: bool) -> None:
    """Tell what a run tells: nodes side by side, steps that fall back, values that are no numbers, names with slashes."""
    tracker, expect = strategy.build(), Rules(strategy)
    tracker.start(run)
    for step in (0, 10, 20, 10, 20):
        for node in ("tune@west", "scores.right@my-lab/base"):
            measures = {
                "loss": 1 / (1 + step),
                "rewards/margins": math.nan,
                "validation/loss/zh-Hant": math.inf,
                "rows": 3,
            }
            before = dict(measures)
            tracker.log(node, step, measures)
            expect(list(measures) == list(before), "log() must leave the measures as they are")
    tracker.finish("tune@west", {"loss": 0.1, "rows": 12})
    tracker.finish("tune.data@west", {"rows": 12})  # a node that logged nothing
    tracker.finish("tune.none", {})
    tracker.close(is_whole)
