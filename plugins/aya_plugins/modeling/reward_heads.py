"""The shapes in which reward models keep the layers that give the score, beside a body that transformers knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from aya_core.api import DataError
from aya_plugins.modeling.weights import Where, stored_tensors

NAMES = ("score", "value_head", "v_head", "v_head.summary", "reward_head", "regression_head", "rm_head")
"""What the layer is called: by transformers and Skywork, OpenRLHF, DeepSpeed-Chat, TRL, and others. OpenRLHF's `value_head_prefix` in
config.json adds one."""

READABLE = (
    f"a linear layer of one or two values named {', '.join(NAMES[:-1])} or {NAMES[-1]}, or `score.0` and `score.2` with a ReLU between "
    "them; or a sequence classifier of transformers' own"
)

Shapes = Mapping[str, tuple[int, ...]]


class RewardHead(NamedTuple):
    """The layers that give the score. layers: their names, one or two. values: how many come out. tensors: the names of all of them."""

    layers: tuple[str, ...]
    values: int
    tensors: tuple[str, ...]

    def load(self, where: Where) -> nn.Module:
        """Read it, in float32."""
        stored = {name: tensor.float() for name, tensor in stored_tensors(where, self.tensors).items()}
        first, *rest = (_linear(stored, layer) for layer in self.layers)
        return nn.Sequential(first, *(part for layer in rest for part in (nn.ReLU(), layer)))


def find_head(stored: Shapes, config: Any, where: Where) -> RewardHead | None:
    """Find the head of a reward model by the names and shapes of its tensors; None where no tensor has a head's name.

    Raises DataError for one of another shape, with what was found.
    """
    names = (*NAMES, *filter(None, [getattr(config, "value_head_prefix", None)]))
    found = {name: shape for name, shape in stored.items() if name.startswith(tuple(f"{head}." for head in names))}
    if not found:
        return None
    hidden = config.get_text_config().hidden_size
    for name in dict.fromkeys(names):
        shapes = [(name,), (f"{name}.0", f"{name}.2")] if name == "score" else [(name,)]
        for layers in shapes:
            values = _values(found, layers, hidden)
            if values in (1, 2):
                return RewardHead(layers, values, tuple(found))
    raise unreadable(where, found, f"hidden size {hidden}")


def unreadable(where: Where, found: Shapes, what: str) -> DataError:
    """The error for a reward model whose head is none that can be read. found: tensors that may be its head."""
    listed = ", ".join(f"{name} {shape}" for name, shape in sorted(found.items())) or "no tensor outside the body"
    return DataError(f"{where}: its head cannot be read ({what}; found: {listed}); can be read: {READABLE}")


class GraftedRewardModel(nn.Module):
    """A body and the head of a reward model: gives the head's values at the last token of each right-padded row."""

    base_model_prefix = "body"

    def __init__(self, body: Any, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.config = body.config

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self.body.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Of the body; the head is in float32."""
        dtype: torch.dtype = self.body.dtype
        return dtype

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Give the values, float32 (rows, values), as `logits`."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = states[torch.arange(len(states), device=states.device), attention_mask.sum(1) - 1]
        return SequenceClassifierOutput(logits=self.head(last.float()))


def _values(found: Shapes, layers: Sequence[str], hidden: int) -> int | None:
    """How many values come out of linear layers one after the other; None where the tensors found are not just theirs."""
    expected = set()
    width = hidden
    for layer in layers:
        weight, bias = found.get(f"{layer}.weight", ()), found.get(f"{layer}.bias")
        if len(weight) != 2 or weight[1] != width or bias not in (None, weight[:1]):
            return None
        width = weight[0]
        expected |= {f"{layer}.weight"} | ({f"{layer}.bias"} if bias is not None else set())
    return width if expected == set(found) else None


def _linear(stored: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = stored[f"{name}.weight"], stored.get(f"{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight, **({} if bias is None else {"bias": bias})})
    return layer
