"""A teacher that runs a checkpoint with transformers."""

from __future__ import annotations

from collections.abc import Iterator

from aya_core.api import Field, ModelRef, Surroundings, Teacher, TeacherStrategy
from aya_plugins.answers.said import ChatSettings
from aya_plugins.modeling.settings import CheckpointSettings, writes_nothing


class Transformers(ChatSettings, CheckpointSettings, TeacherStrategy):
    """Run a checkpoint with transformers: right for small models, and for any that transformers knows."""

    version = 3  # answers token by token in place, whose sums are rounded otherwise than those of `generate`
    imports = (
        "torch",
        "transformers.modeling_utils",
        "transformers.generation",
        "aya_kernels",
        "aya_plugins.teachers.runtime.transformers",
    )
    extra = "train"

    model: ModelRef = Field(description="The checkpoint that answers.")
    system: str | None = Field(None, description="A system message put before every prompt.")

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Strategy`: a device that is not there or too small, or a model that writes no text."""
        yield from super().obstacles(here)
        yield from writes_nothing(here, self.model)

    def build(self) -> Teacher:
        """Load the checkpoint."""
        from aya_plugins.teachers.runtime.transformers import TransformersTeacher

        return TransformersTeacher(self, system=self.system, chat=self)
