"""Send each prompt to the teachers that a trained classifier expects to answer it best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from aya_core.api import Field, ModelRef, Router, RouterStrategy, Surroundings
from aya_plugins.modeling.settings import CheckpointSettings, is_classifier


class Learned(CheckpointSettings, RouterStrategy):
    """Send each prompt to the `k` teachers that a router trained on verdicts expects to answer it best.

    Only teachers that are asked in the prompt's language are chosen; where there are fewer than `k`, all of them. A
    teacher that the router learned of and that is not in the pool is passed over.

    Source: the learned routing of Odumakinde et al. 2024, arXiv 2408.14960.
    """

    imports = ("torch", "transformers.modeling_utils", "aya_plugins.routers.runtime.learned")
    extra = "train"

    model: ModelRef = Field(description="The router, as the trainer `router` makes it: a label for each teacher.")
    k: int = Field(1, ge=1, description="Teachers per prompt.")
    newcomers: Literal["refuse", "pass-over"] = Field(
        "refuse",
        description="What of a teacher in the pool that the router never learned of: an error, or no prompt sent to it.",
    )
    max_tokens: int = Field(1024, ge=8, description="Longer prompts lose their middle; best as in the training.")

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Strategy`: a model that is no classifier, so that it has no label for any teacher."""
        yield from super().obstacles(here)
        if is_classifier(here, str(self.model)) is False:
            yield (
                f"router 'learned': '{self.model}' is no classifier, so it has no label for each teacher; expected a model that the "
                "trainer `router` made"
            )

    def build(self) -> Router:
        """Load the model."""
        from aya_plugins.routers.runtime.learned import LearnedRouter

        return LearnedRouter(self, k=self.k, max_tokens=self.max_tokens, refuses_newcomers=self.newcomers == "refuse")
