"""A reward model: a sequence classifier with one label."""

from __future__ import annotations

from typing import ClassVar, Literal

from aya_core.api import Arbiter, Field, ModelRef, Strategy
from aya_plugins.arbiters.normalise import ZNormalised


class RewardModel(Strategy[Arbiter]):
    """Score an answer by a sequence classifier with one label, decoder or encoder.

    It reads the whole conversation in its chat template. A model whose tokenizer has none but a separator token, as
    those of DeBERTa, XLM-R and BERT, reads a pair of texts instead: the prompt (the contents of its messages, divided by
    blank lines) and the answer.
    """

    imports = (
        "torch",
        "transformers.modeling_utils",
        "aya_kernels",
        "aya_plugins.arbiters.reward_model_engine",
    )
    extra = "train"
    incidental = frozenset({"batch_tokens"})
    pointwise: ClassVar[bool] = True

    model: ModelRef = Field(description="The reward model, such as one trained by `reward` with `score: head`.")
    batch_tokens: int = Field(65536, ge=1, description="Tokens of one batch; halved when memory runs out.")
    system: str | None = Field(None, description="A system message put before every conversation.")
    normalise: Literal["none", "language"] = Field(
        "none",
        description="language: the score is (score - mean) / standard deviation among the answers in its language, so "
        "that margins compare; the raw score is a detail.",
    )
    max_tokens: int = Field(8192, ge=8, description="Longer conversations are not judged: their verdict is a failure.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights: auto is the checkpoint's own, but float32 on a CPU."
    )
    device: str = Field(
        "auto", description="auto is the GPU where there is one; else a name that torch knows, as cuda:1."
    )

    def build(self) -> Arbiter:
        """Load the model."""
        from aya_plugins.arbiters.reward_model_engine import RewardModelArbiter

        arbiter = RewardModelArbiter(self)
        return ZNormalised(arbiter, "reward-model") if self.normalise == "language" else arbiter
