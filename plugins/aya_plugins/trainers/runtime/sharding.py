"""FSDP2 and DeepSpeed made to train as one process does: weights in float32, products under autocast, log-probabilities in
float32.

Left to itself, accelerate rounds all that a module returns to bfloat16 under FSDP2, log-probabilities included, shards a
wrapped model as one piece, and under DeepSpeed trains a model of bfloat16 weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers.integrations import unset_hf_deepspeed_config

from aya_plugins.trainers.runtime.settings import LoopSettings


def is_sharded(accelerator: Accelerator) -> bool:
    """Say whether processes share out the state of what is trained."""
    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def until_sharded(accelerator: Accelerator) -> None:
    """Let models that are loaded and scored before anything is sharded be whole, and rounded as elsewhere, under DeepSpeed."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        unset_hf_deepspeed_config()  # or transformers would shard what it loads
        accelerator.native_amp = accelerator.mixed_precision == "bf16"


def before_sharding(accelerator: Accelerator, module: Any, settings: LoopSettings) -> None:
    """Say how a module, whose `model` is a transformers model, is to be sharded. To be called before `prepare`."""
    if not is_sharded(accelerator):
        return
    _run_under_autocast(module, accelerator.device.type, is_rounded=accelerator.mixed_precision == "bf16")
    if accelerator.distributed_type == DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        plugin.mixed_precision_policy = MixedPrecisionPolicy()
        plugin.transformer_cls_names_to_wrap = sorted(module.model._no_split_modules)
        module.tie_weights = (
            module.model.tie_weights
        )  # how accelerate ties what it took apart to send each process its share
    else:
        _gather_head_with(module)
        accelerator.state.deepspeed_plugin.deepspeed_config.update(
            bf16={"enabled": False},
            gradient_clipping=settings.clip_norm,
            gradient_accumulation_steps=1,  # the loop says which pass is the last of a step
            train_micro_batch_size_per_gpu=1,  # for its reports alone
            zero_allow_untested_optimizer=True,
        )


def _gather_head_with(module: Any) -> None:
    """Have ZeRO-3 gather the output head's weight for the forward of the module that reads it, outside the head's own."""
    import deepspeed  # an extra of the profiles zero2 and zero3 alone

    head = module.model.get_output_embeddings()
    for parameter in head.parameters() if head is not None else ():
        deepspeed.zero.register_external_parameter(module, parameter)


@contextmanager
def accumulating(accelerator: Accelerator, model: Any, *, is_last: bool) -> Iterator[None]:
    """Exchange gradients in the last forward pass of a step alone; in each, where to wait is to hold all gradients whole."""
    if is_last or is_sharded(accelerator):
        yield
    else:
        with accelerator.no_sync(model):
            yield


def backward(accelerator: Accelerator, model: Any, loss: Tensor, *, is_last: bool) -> None:
    """Add the gradient of a forward pass."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        model.set_gradient_accumulation_boundary(is_last)
        model.backward(loss)  # accelerate's makes the update, too, before the loss was looked at
    else:
        accelerator.backward(loss)


def clip(accelerator: Accelerator, model: Any, longest: float) -> Tensor:
    """Clip the gradient; returns its length before. DeepSpeed clips in its update, and says the length then: 0 until it does."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return torch.zeros((), device=accelerator.device)
    norm: Any = accelerator.clip_grad_norm_(model.parameters(), longest)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # type: ignore[no-any-return]


def update(accelerator: Accelerator, model: Any, optimizer: Any, norm: Tensor) -> Tensor:
    """Make the update and forget the gradient; returns its length. norm: what `clip` returned."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        model.step()
        return torch.as_tensor(float(model.get_global_grad_norm()), device=accelerator.device)
    optimizer.step()
    optimizer.zero_grad()
    return norm


def release(model: Any) -> None:
    """Let go of what forward passes without a backward pass have gathered: what the parameters are is each process's share again.

    The outermost unit of FSDP2 stays whole after a forward pass, and what is written into it then is lost.
    """
    if hasattr(model, "reshard"):
        model.reshard()


def tie(module: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Let weights that a module has under two names, such as embeddings and output head, be one in its gathered state."""
    first: dict[int, str] = {}
    names = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names[name] = first.setdefault(id(parameter), name)
    return {name: state[names.get(name, name)] for name in state}


def _run_under_autocast(module: nn.Module, device: str, *, is_rounded: bool) -> None:
    forward = module.forward

    def rounded(*batch: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=is_rounded):
            return forward(*batch).clone()  # FSDP2 watches what is returned, and warns of a view

    module.forward = rounded
