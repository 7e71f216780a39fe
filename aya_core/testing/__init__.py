"""Does my plugin behave? Checks for every kind of strategy and for stages, rows to try it on, and tiny models.

    from aya_core.testing import check_arbiter

    def test_my_arbiter_behaves():
        check_arbiter(MyArbiter())

Each check raises AssertionError with the rule of the contract that is broken; the rules are those of `kinds.py`, `merges.py`
and `stage.py`.
"""

from __future__ import annotations

from aya_core.testing.arbiter import check_arbiter
from aya_core.testing.dataset import check_dataset
from aya_core.testing.evaluator import check_evaluator
from aya_core.testing.merge import check_merge, merge_whole
from aya_core.testing.objective import check_objective, sample_group_logps, sample_pairs
from aya_core.testing.router import check_router
from aya_core.testing.samples import (
    sample_cases,
    sample_demonstrations,
    sample_groups,
    sample_judged,
    sample_preferences,
    sample_prompts,
    sample_subject,
)
from aya_core.testing.stage import check_stage
from aya_core.testing.strategy import check_strategy
from aya_core.testing.teacher import check_teacher
from aya_core.testing.tiny import tiny_causal_lm
from aya_core.testing.tracker import check_tracker
from aya_core.testing.trainer import check_trainer

__all__ = [
    "check_arbiter",
    "check_dataset",
    "check_evaluator",
    "check_merge",
    "check_objective",
    "check_router",
    "check_stage",
    "check_strategy",
    "check_teacher",
    "check_tracker",
    "check_trainer",
    "merge_whole",
    "sample_cases",
    "sample_demonstrations",
    "sample_group_logps",
    "sample_groups",
    "sample_judged",
    "sample_pairs",
    "sample_preferences",
    "sample_prompts",
    "sample_subject",
    "tiny_causal_lm",
]
