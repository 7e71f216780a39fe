"""The bundled teachers."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import TeacherStrategy, hookimpl
from aya_plugins.teachers.openai import OpenAI
from aya_plugins.teachers.recorded import Recorded
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.teachers.vllm import Vllm


@hookimpl
def aya_teachers() -> Mapping[str, type[TeacherStrategy]]:
    """Offer the bundled teachers."""
    return {"transformers": Transformers, "vllm": Vllm, "openai": OpenAI, "recorded": Recorded}
