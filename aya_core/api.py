"""All that a plugin author imports.

    from aya_core.api import Arbiter, Case, Strategy, Verdict, hookimpl

`docs/write-a-plugin.md` walks through a first plugin; `aya_core.testing` checks that it behaves.
"""

from __future__ import annotations

from pydantic import Field

from aya_core.artifacts import read_rows, stable_hash
from aya_core.errors import AyaError, DataError, PluginError, did_you_mean
from aya_core.hookspecs import hookimpl
from aya_core.kinds import (
    Arbiter,
    CalibratedArbiter,
    CheckpointMerge,
    Dataset,
    Evaluator,
    LikelihoodTeacher,
    LogLikelihood,
    MergeJob,
    Objective,
    PairLogps,
    PairLoss,
    Pool,
    Router,
    Sampling,
    Subject,
    Teacher,
    TensorMerge,
    Trainer,
    TrainingJob,
)
from aya_core.languages import check_language, language_name
from aya_core.records import (
    LANGUAGES,
    UNKNOWN_LANGUAGE,
    Case,
    Completion,
    Demonstration,
    ExampleRow,
    Judged,
    Message,
    Preference,
    Prompt,
    RowScore,
    Verdict,
    user_prompt,
)
from aya_core.seen import Seen, temporary_database
from aya_core.strategies import LocalFile, ModelRef, RowsRef, Settings, Strategy, nested
from aya_core.verdicts import checked_verdicts

__all__ = [
    "LANGUAGES",
    "UNKNOWN_LANGUAGE",
    "Arbiter",
    "AyaError",
    "CalibratedArbiter",
    "Case",
    "CheckpointMerge",
    "Completion",
    "DataError",
    "Dataset",
    "Demonstration",
    "Evaluator",
    "ExampleRow",
    "Field",
    "Judged",
    "LikelihoodTeacher",
    "LocalFile",
    "LogLikelihood",
    "MergeJob",
    "Message",
    "ModelRef",
    "Objective",
    "PairLogps",
    "PairLoss",
    "PluginError",
    "Pool",
    "Preference",
    "Prompt",
    "Router",
    "RowScore",
    "RowsRef",
    "Sampling",
    "Seen",
    "Settings",
    "Strategy",
    "Subject",
    "Teacher",
    "TensorMerge",
    "Trainer",
    "TrainingJob",
    "Verdict",
    "check_language",
    "checked_verdicts",
    "did_you_mean",
    "hookimpl",
    "language_name",
    "nested",
    "read_rows",
    "stable_hash",
    "temporary_database",
    "user_prompt",
]
