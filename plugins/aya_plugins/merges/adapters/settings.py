"""Read what a LoRA adapter's adapter_config.json says of its weights, and refuse what cannot be applied to a tensor."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aya_core.api import DataError, Field, Settings
from aya_plugins.foreign_patterns import matches
from aya_plugins.merges.files.checkpoint import read_json

CONFIG = "adapter_config.json"

_WITHOUT_EFFECT = {
    "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying",
    "ephemeral_gpu_offload", "eva_config", "exclude_modules", "inference_mode", "layers_pattern",
    "layers_to_transform", "loftq_config", "lora_bias", "lora_dropout", "lora_ga_config", "megatron_core",
    "modules_to_save", "modules_to_tie", "peft_type", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "target_modules", "target_modules_to_tie", "task_type",
}  # fmt: skip
"""How the adapter was made, trained and placed: its tensors say the rest."""

_WHY_NOT = {
    "alora_invocation_tokens": "an activated LoRA holds for some tokens of a text only, so it is no change of weights",
    "layer_replication": "its model has more layers than the base; stack the layers first, then adapt them",
    "target_parameters": "LoRA of bare parameters, such as fused experts, is not supported; merge it with peft first",
    "trainable_token_indices": "trained rows of embeddings are not supported; merge it with peft first",
}

_KEEPS_BASE = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to start a LoRA that leave the base's weights as they are; PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change them."""


class LoraSettings(Settings):
    """What scales a LoRA. Patterns map a regular expression, which must match the end of a module's name, to a value."""

    r: int = Field(8, ge=1, description="Rank.")
    lora_alpha: float = Field(8, description="Strength.")
    use_rslora: bool = Field(False, description="Divide the strength by the square root of the rank, not by the rank.")
    rank_pattern: dict[str, int] = Field({}, description="Rank, where it differs.")
    alpha_pattern: dict[str, float] = Field({}, description="Strength, where it differs.")
    fan_in_fan_out: bool = Field(False, description="Whether weights are stored (in, out), as GPT-2's are.")
    use_dora: bool = Field(False, description="Whether magnitudes are learned beside directions.")

    def rank(self, module: str) -> int:
        """Give the rank for a module."""
        return int(_by_pattern(self.rank_pattern, module, self.r))

    def scaling(self, module: str) -> float:
        """Give the factor of B A for a module.

        alpha / r, or alpha / sqrt(r) with rank stabilization (Kalajdzievski 2023, arXiv 2312.03732).
        """
        alpha, rank = _by_pattern(self.alpha_pattern, module, self.lora_alpha), self.rank(module)
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank


def adapter_base(folder: Path) -> tuple[str, str | None]:
    """Name the model that an adapter is for, and its revision on the hub, as its config does. Raises DataError where it does not."""
    config = _read(folder)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base:
        raise DataError(
            f"{folder / CONFIG}: 'base_model_name_or_path' is missing; name the model that the adapter is for beside it"
        )
    return base, revision if isinstance(revision, str) and revision else None


def lora_settings(folder: Path) -> LoraSettings:
    """Read what scales the LoRA in a folder. Raises DataError naming the setting that cannot be honored."""
    config, where = _read(folder), folder / CONFIG
    kind = config.get("peft_type")
    if kind != "LORA":
        raise DataError(f"{where}: peft_type is {kind!r}; expected LORA: merge other adapters with peft first")
    if (start := config.get("init_lora_weights", True)) not in _KEEPS_BASE:
        raise DataError(
            f"{where}: init_lora_weights is {start!r}, which changes the base's own weights; save the adapter with "
            "peft's path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )
    read = {name: value for name, value in config.items() if name in LoraSettings.model_fields and value is not None}
    for name, value in config.items():
        if value and name not in read and name not in _WITHOUT_EFFECT and name != "init_lora_weights":
            reason = _WHY_NOT.get(name, "we do not know how to apply it; merge the adapter with peft first")
            raise DataError(f"{where}: {name} is {json.dumps(value)[:80]}: {reason}")
    try:
        settings = LoraSettings.model_validate(read)
        for pattern in (*settings.rank_pattern, *settings.alpha_pattern):
            re.compile(pattern)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except re.error as error:
        raise DataError(f"{where}: pattern '{error.pattern!s}' is not a regular expression ({error})") from None
    return settings


def _read(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise DataError(f"{folder}: no {CONFIG} here; expected the folder of a LoRA adapter, as peft saves it")
    return read_json(path)


def _by_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    try:
        return next((value for key, value in patterns.items() if matches(rf"\A(.*\.)?({key})$", module)), default)
    except TimeoutError as error:
        raise DataError(f"{CONFIG}: rank_pattern or alpha_pattern: {error}") from None
