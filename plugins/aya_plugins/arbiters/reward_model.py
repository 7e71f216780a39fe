"""A reward model: a body with a head that scores."""

from __future__ import annotations

from typing import Literal

from aya_core.api import Arbiter, ArbiterStrategy, Field, ModelRef
from aya_plugins.arbiters.normalize import ZNormalized
from aya_plugins.modeling.settings import CheckpointSettings


class RewardModel(CheckpointSettings, ArbiterStrategy):
    """Score an answer by a reward model, decoder or encoder: a sequence classifier, or a body with a head of its own.

    A head gives one value, the score, or two, of which the score is the log-odds of one label against the other: their difference.
    It is a linear layer (`score`, or `value_head`, `v_head` and the like, as of OpenRLHF and TRL), `score` with two layers, or what
    transformers has for the family. What cannot be read is refused with the names and shapes of its tensors.

    It reads the whole conversation in its chat template. A model whose tokenizer has none but a separator token, as
    those of DeBERTa, XLM-R and BERT, reads a pair of texts instead: the prompt (the contents of its messages, divided by
    blank lines) and the answer.
    """

    imports = (
        "torch",
        "transformers.modeling_utils",
        "aya_kernels",
        "aya_plugins.arbiters.runtime.reward_model",
    )
    extra = "train"
    version = 2  # 2: a head of another name is read, and not drawn at random
    pointwise = True

    model: ModelRef = Field(description="The reward model, such as one trained by `reward` with `score: head`.")
    system: str | None = Field(None, description="A system message put before every conversation.")
    normalize: Literal["none", "language"] = Field(
        "none",
        description="language: the score is (score - mean) / standard deviation among the answers in its language, so "
        "that margins compare; the raw score is a detail.",
    )
    label: str | None = Field(
        None, description="Of a model with two labels, the one that good answers have; None takes the second."
    )
    max_tokens: int = Field(8192, ge=8, description="Longer conversations are not judged: their verdict is a failure.")

    def build(self) -> Arbiter:
        """Load the model."""
        from aya_plugins.arbiters.runtime.reward_model import RewardModelArbiter

        arbiter = RewardModelArbiter(self, system=self.system, max_tokens=self.max_tokens, label=self.label)
        return ZNormalized(arbiter, "reward-model") if self.normalize == "language" else arbiter
