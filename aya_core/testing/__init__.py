"""Does my plugin behave? Checks for every kind of strategy and for stages, rows to try it on, and tiny models.

    from aya_core.testing import check_arbiter

    def test_my_arbiter_behaves():
        check_arbiter(MyArbiter())

Each check raises AssertionError with the rule of the contract that is broken; the rules are those of `kinds.py`, `merges.py`
and `stage.py`.
"""

from aya_core.testing.arbiter import check_arbiter as check_arbiter
from aya_core.testing.dataset import check_dataset as check_dataset
from aya_core.testing.evaluator import check_evaluator as check_evaluator
from aya_core.testing.merge import check_merge as check_merge, merge_whole as merge_whole
from aya_core.testing.objective import (
    check_objective as check_objective,
    sample_group_logps as sample_group_logps,
    sample_pairs as sample_pairs,
)
from aya_core.testing.router import check_router as check_router
from aya_core.testing.samples import (
    sample_cases as sample_cases,
    sample_demonstrations as sample_demonstrations,
    sample_evaluated_model as sample_evaluated_model,
    sample_groups as sample_groups,
    sample_judged as sample_judged,
    sample_preferences as sample_preferences,
    sample_prompts as sample_prompts,
)
from aya_core.testing.stage import check_stage as check_stage
from aya_core.testing.strategy import check_strategy as check_strategy
from aya_core.testing.teacher import check_teacher as check_teacher
from aya_core.testing.tiny import tiny_causal_lm as tiny_causal_lm
from aya_core.testing.tracker import check_tracker as check_tracker
from aya_core.testing.trainer import check_trainer as check_trainer
