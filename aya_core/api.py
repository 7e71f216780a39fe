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
    Dataset,
    Evaluator,
    LikelihoodTeacher,
    LogLikelihood,
    Objective,
    PairLogps,
    PairLoss,
    Pool,
    Router,
    Sampling,
    Subject,
    Teacher,
    Trainer,
    TrainingJob,
)
from aya_core.languages import check_language, language_name
from aya_core.merges import (
    AnyMerge,
    CheckingEngine,
    CheckpointMerge,
    Means,
    MergeEngine,
    MergeInput,
    MergeJob,
    Part,
    Piece,
    PieceMerge,
    Pieces,
    Place,
    TensorMerge,
    TokenRow,
    TokenSettings,
    Vocabulary,
    WholeModelMerge,
)
from aya_core.optimisers import MakeOptimiser, Optimiser
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
from aya_core.varying import Rule, Varying
from aya_core.verdicts import checked_verdicts

__all__ = [
    "LANGUAGES",
    "UNKNOWN_LANGUAGE",
    "AnyMerge",
    "Arbiter",
    "AyaError",
    "CalibratedArbiter",
    "Case",
    "CheckingEngine",
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
    "MakeOptimiser",
    "Means",
    "MergeEngine",
    "MergeInput",
    "MergeJob",
    "Message",
    "ModelRef",
    "Objective",
    "Optimiser",
    "PairLogps",
    "PairLoss",
    "Part",
    "Piece",
    "PieceMerge",
    "Pieces",
    "Place",
    "PluginError",
    "Pool",
    "Preference",
    "Prompt",
    "Router",
    "RowScore",
    "RowsRef",
    "Rule",
    "Sampling",
    "Seen",
    "Settings",
    "Strategy",
    "Subject",
    "Teacher",
    "TensorMerge",
    "TokenRow",
    "TokenSettings",
    "Trainer",
    "TrainingJob",
    "Varying",
    "Verdict",
    "Vocabulary",
    "WholeModelMerge",
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
