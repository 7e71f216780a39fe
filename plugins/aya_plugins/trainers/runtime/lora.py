"""LoRA: thin trained matrices beside frozen ones, through peft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aya_core.api import AyaError
from aya_plugins.modeling.cards import parents
from aya_plugins.trainers.runtime.settings import Lora

NAME = "default"
"""Of the adapter within peft."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA within a module, whose `model` is a transformers model. adapted: the same model as peft sees it."""

    module: Any
    adapted: Any
    settings: Lora

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the state of the module as if it had been trained whole, by the names of a module without LoRA.

        state: of the module. Each product is taken and added in float32, and the sum rounded to the weight's own dtype.
        """
        from peft.tuners.lora import LoraLayer
        from peft.utils import ModulesToSaveWrapper

        plain = dict(state)
        for name, layer in self.module.named_modules():
            if isinstance(layer, LoraLayer):
                _merge(plain, f"{name}.", layer.scaling[NAME], getattr(layer, "fan_in_fan_out", False))
            elif isinstance(layer, ModulesToSaveWrapper):
                _rename(plain, f"{name}.modules_to_save.{NAME}.", f"{name}.")
                _rename(plain, f"{name}.original_module.", None)
        return plain

    def write(self, state: Mapping[str, Tensor], out: Path, start: Path) -> None:
        """Write the adapter alone, as peft does. It names its base by hub id and commit, or by its whole path: whoever loads it,
        wherever he does, looks there."""
        config = self.adapted.peft_config[NAME]
        config.base_model_name_or_path = str(start.resolve()) if start.exists() else start.as_posix()
        if start.exists() and any(part.startswith("models--") for part in start.parts):
            config.base_model_name_or_path = parents(start)[0]
            config.revision = start.name if start.parent.name == "snapshots" else None
        config.target_modules = sorted(config.target_modules)  # a set, of which peft writes the order of the day
        weights = {f"base_model.{name}": tensor.contiguous() for name, tensor in state.items()}
        self.adapted.save_pretrained(out, state_dict=weights, save_embedding_layers=False)


def add_lora(module: Any, settings: Lora, *, seed: int) -> Adapter:
    """Freeze a module and put a LoRA into its `model`, in place; its matrices start at random from the seed, and change
    nothing.

    Raises AyaError for target modules that are not there, and for those that are the output head or tied to it.
    """
    from peft import LoraConfig, get_peft_model

    model = module.model
    _check(model, settings)
    torch.manual_seed(seed)
    targets = settings.target_modules
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        target_modules=targets if isinstance(targets, str) else list(targets),
        modules_to_save=list(settings.modules_to_save) or None,
        task_type="SEQ_CLS"
        if model.get_output_embeddings() is None
        else "CAUSAL_LM",  # the former trains its head whole
    )
    return Adapter(module, get_peft_model(model, config), settings)


def keep_frozen_in(adapter: Adapter, dtype: torch.dtype) -> None:
    """Keep the frozen matrices beside a LoRA in a smaller dtype that autocast would round them to in any case."""
    from peft.tuners.lora import Linear

    for layer in adapter.module.modules():
        if isinstance(layer, Linear):
            layer.get_base_layer().to(dtype)


def _check(model: Any, settings: Lora) -> None:
    named = (*settings.modules_to_save, *([] if isinstance(settings.target_modules, str) else settings.target_modules))
    modules = dict(model.named_modules())
    for target in named:
        if not any(_ends(name, target) for name in modules):
            leaves = sorted(
                {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, nn.Linear)}
            )
            raise AyaError(
                f"lora: the model has no module '{target}'; expected some of {', '.join(leaves)}, or `all-linear`"
            )
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    heads = [name for name, module in modules.items() if module is head and head is not None]
    for target in settings.target_modules if not isinstance(settings.target_modules, str) else ():
        if any(_ends(name, target) for name in heads):
            raise AyaError(
                f"lora.target_modules: '{target}' is the output head, of which there is never a low-rank change here; train it "
                "whole with modules_to_save, or leave it out"
            )
    if head is not None and head.weight is embeddings.weight:
        tied = heads + [name for name, module in modules.items() if module is embeddings]
        if wrong := [target for target in named if any(_ends(name, target) for name in tied)]:
            raise AyaError(
                f"lora: '{wrong[0]}' holds the weights of the embeddings and of the output head at once, which a LoRA would "
                "part; leave it out"
            )


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _merge(state: dict[str, Tensor], prefix: str, scaling: float, is_transposed: bool) -> None:
    """Replace a LoRA and its frozen weight by their sum."""
    if f"{prefix}lora_embedding_A.{NAME}" in state:
        right, left = state.pop(f"{prefix}lora_embedding_A.{NAME}"), state.pop(f"{prefix}lora_embedding_B.{NAME}")
        is_transposed = True
    else:
        right, left = state.pop(f"{prefix}lora_A.{NAME}.weight"), state.pop(f"{prefix}lora_B.{NAME}.weight")
    change = left.float() @ right.float()
    weight = state[f"{prefix}base_layer.weight"]
    summed = weight.float() + scaling * (change.T if is_transposed else change)
    state[f"{prefix}base_layer.weight"] = summed.to(weight.dtype)
    _rename(state, f"{prefix}base_layer.", prefix)


def _rename(state: dict[str, Tensor], prefix: str, to: str | None) -> None:
    """Give other names to all tensors whose names begin so; None drops them."""
    for name in [name for name in state if name.startswith(prefix)]:
        tensor = state.pop(name)
        if to is not None:
            state[to + name.removeprefix(prefix)] = tensor
