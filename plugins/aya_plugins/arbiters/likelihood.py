"""The likelihood of an answer under a language model, as its score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aya_core.api import (
    Arbiter,
    ArbiterStrategy,
    Case,
    Field,
    LikelihoodTeacher,
    LogLikelihood,
    ModelRef,
    Verdict,
)
from aya_plugins.modeling.settings import CheckpointSettings


class Likelihood(CheckpointSettings, ArbiterStrategy):
    """Score an answer by its mean log-likelihood per token (nats, end of turn included) under a causal
    language model.

    The model may be one trained by `reward` with `score: likelihood`. It favors answers like those it would
    give itself.
    """

    imports = (
        "torch",
        "transformers.modeling_utils",
        "transformers.generation",
        "aya_kernels",
        "aya_plugins.teachers.runtime.transformers",
    )
    extra = "train"
    pointwise = True

    model: ModelRef = Field(description="The causal language model that judges.")

    def build(self) -> Arbiter:
        """Load the model."""
        from aya_plugins.teachers.runtime.transformers import TransformersTeacher

        return LikelihoodArbiter(TransformersTeacher(self))


@dataclass(frozen=True)
class LikelihoodArbiter:
    """See `Likelihood`."""

    teacher: LikelihoodTeacher

    def judge(self, cases: Sequence[Case]) -> Iterable[Sequence[Verdict]]:
        """Score all candidates of all cases together, so that batches are full."""
        pairs = [(case.prompt, candidate.text) for case in cases for candidate in case.candidates]
        scores = iter(self.teacher.log_likelihoods(pairs))
        for case in cases:
            yield [verdict(next(scores)) for _ in case.candidates]


def verdict(found: LogLikelihood) -> Verdict:
    """Turn a log-likelihood into a verdict; one without a number is a failure."""
    if not found.tokens or not math.isfinite(found.nats):
        return Verdict.fail(
            f"log-likelihood {found.nats} over {found.tokens} tokens: longer than the model's context, "
            "or the model is broken"
        )
    return Verdict(found.nats / found.tokens)
