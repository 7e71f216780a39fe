"""A teacher that runs a checkpoint with vLLM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import field_validator

from aya_core.api import Field, ModelRef, Surroundings, Teacher, TeacherStrategy
from aya_plugins.answers.said import ChatSettings
from aya_plugins.modeling.settings import writes_nothing


class Vllm(ChatSettings, TeacherStrategy):
    """Run a checkpoint with vLLM in the step's own process: the fastest on GPUs, and the one for large models.

    Over several machines, or in several copies, serve the model with `vllm serve` and ask it with the teacher
    `openai`.
    """

    version = 2
    imports = ("torch", "transformers.modeling_utils", "aya_plugins.modeling.checkpoint")
    needs = ("vllm", "accelerate")  # which reads what a checkpoint holds without its weights
    extra = "vllm"
    execution_settings = frozenset(
        {"tensor_parallel_size", "pipeline_parallel_size", "gpu_memory_utilization", "enable_prefix_caching"}
    )

    model: ModelRef = Field(description="The checkpoint that answers.")
    system: str | None = Field(None, description="A system message put before every prompt.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights: auto is vLLM's choice, the checkpoint's own or 16 bits for float32."
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share every layer.")
    pipeline_parallel_size: int = Field(1, ge=1, description="Groups of GPUs that share the layers out.")
    data_parallel_size: int = Field(
        1, ge=1, description="Copies of the model. One here; vLLM runs more than one only behind a server."
    )
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="Share of a GPU's memory that the engine takes; None is vLLM's default."
    )
    max_model_len: int | None = Field(
        None, ge=1, description="Longest prompt and answer together, in tokens; None is the checkpoint's own."
    )
    enable_prefix_caching: bool = Field(True, description="Keep the computed state of what prompts have in common.")
    quantization: str | None = Field(
        None, description="How the weights are quantized, as fp8; None is what the checkpoint says."
    )
    engine: Mapping[str, Any] = Field(
        {}, description="More of vLLM's engine arguments, by their names in Python; passed on as they are."
    )

    @field_validator("data_parallel_size")
    @classmethod
    def _one_copy(cls, value: int) -> int:
        if value > 1:
            raise ValueError(
                f"vLLM runs one copy of a model in a process, not {value}; start "
                f"`vllm serve MODEL --data-parallel-size {value}` and ask it with the teacher 'openai'"
            )
        return value

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """See `Strategy`: GPUs that are not there, or too small for the model."""
        gpus = self.tensor_parallel_size * self.pipeline_parallel_size
        # On one device vLLM may have been built for CPUs.
        if gpus > 1 and (missing := here.lacks_gpus(gpus)):
            yield f"teacher 'vllm' {missing}; lower tensor_parallel_size and pipeline_parallel_size, or take another machine"
        elif crowded := here.overbooks_gpus(gpus):
            yield f"teacher 'vllm' {crowded}"
        if self.quantization is None and (large := here.too_large(str(self.model), gpus)):
            yield f"{large}; raise tensor_parallel_size, or take a smaller model"
        yield from writes_nothing(here, self.model)

    def build(self) -> Teacher:
        """Start the engine."""
        from aya_plugins.teachers.runtime.vllm import VllmTeacher, engine_arguments

        arguments = engine_arguments(dict(self), self.engine)
        return VllmTeacher(self.model, system=self.system, arguments=arguments, chat=self)
