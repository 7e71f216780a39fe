"""The output head, and the log-probabilities of answers without the logits of every token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aya_core.api import AyaError
from aya_kernels.token_logps import default_chunk_tokens, token_logps
from aya_plugins.modeling.rows import Batch, end_to_end


@dataclass(frozen=True)
class OutputHead:
    """Leads from the last hidden state to logits.

    They are softcap * tanh(raw / softcap) with raw = (hidden @ weight.T + bias) * logit_scale, or just raw.

    weight: (vocab, dim), tied to the input embeddings or not. bias: (vocab,) or None.
    logit_scale: Cohere's logit_scale or the inverse of Granite's logits_scaling; 1 elsewhere.
    softcap: Gemma's final_logit_softcapping, or None.
    """

    weight: Tensor
    bias: Tensor | None
    logit_scale: float
    softcap: float | None


def output_head(model: Any) -> OutputHead:
    """Read the head of a causal language model, tensors shared with the model."""
    config = model.config.get_text_config()
    linear = model.get_output_embeddings()
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    softcap = getattr(config, "final_logit_softcapping", None)
    return OutputHead(
        linear.weight,
        getattr(linear, "bias", None),
        float(1.0 if scale is None else scale) / float(1.0 if divisor is None else divisor),
        float(softcap) if softcap else None,
    )


class AnswerLogps(nn.Module):
    """Wraps a causal language model to give log-probabilities of answers; the head runs at their tokens only.

    It is a module so that data-parallel wrappers, which watch `forward`, see all that is computed.

    is_padding_free: rows go through the model end to end; `layout.py` says which models can do that.
    adds_gradients: the backward adds the head's gradient to the `grad` of its weight, past autograd and so unseen by its
        hooks: for modules that no wrapper watches, and for `backward()` alone.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.is_padding_free = False
        self.adds_gradients = False

    def forward(self, batch: Batch) -> Tensor:
        """Give the log-probabilities of each row's answer, token by token: float32 (rows, width), nats, 0 beyond its end."""
        hidden = self.hidden(batch)
        head = output_head(self.model)
        weight, total = head.weight, None
        if torch.is_autocast_enabled(hidden.device.type):  # as autocast does with the model's own head
            dtype = torch.get_autocast_dtype(hidden.device.type)
            hidden, weight = hidden.to(dtype), weight.to(dtype)
        elif self.adds_gradients and weight.requires_grad:
            total = weight.grad
        logps = token_logps(
            hidden, weight, batch.targets, bias=head.bias, logit_scale=head.logit_scale, softcap=head.softcap,
            weight_grad=total,
        )  # fmt: skip
        # A table, of which callers sum the rows: adding to rows by index would add in any order on a GPU.
        table = logps.new_zeros(batch.rows * batch.width)
        return table.index_copy(0, batch.slots, logps).view(batch.rows, batch.width)

    def hidden(self, batch: Batch) -> Tensor:
        """Give the hidden states that predict the answers' tokens: (n, dim)."""
        body = self.model.base_model
        if self.is_padding_free:
            packed = end_to_end(batch)
            states = body(
                input_ids=packed.input_ids, position_ids=packed.position_ids, use_cache=False
            ).last_hidden_state
            return states.flatten(0, 1).index_select(0, packed.predictors)  # type: ignore[no-any-return]
        states = body(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        return states.flatten(0, 1).index_select(0, batch.predictors)  # type: ignore[no-any-return]

    def accumulate_alone(self) -> None:
        """Accumulate gradients over forward passes without buffers of the size of the vocabulary.

        The head adds its gradient in place, and embeddings that share its weight give theirs by row.
        """
        self.adds_gradients = True
        embeddings, head = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        if embeddings.weight is head.weight and embeddings.weight.requires_grad:
            embeddings.sparse = True

    @property
    def cheap_answer_tokens(self) -> int | None:
        """How many answer tokens a forward and backward pass takes at three products with the head in place of four.

        None where the number makes no difference: on a GPU, whose kernel keeps no logits, and with a softcap.
        """
        head = output_head(self.model)
        if head.weight.device.type != "cpu" or head.softcap is not None:
            return None
        return default_chunk_tokens(head.weight.shape[0])


def check_head(model: Any, where: str) -> None:
    """Compare the head as we read it with the model's own logits, once, on four tokens.

    A family that scales or caps its logits in a way unknown here would otherwise train on wrong
    probabilities, silently.
    """
    ids = torch.arange(4, device=model.device)[None] % model.config.get_text_config().vocab_size
    was_training = model.training
    model.eval()
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state.float()
        expected = model(input_ids=ids, use_cache=False).logits.float()
        head = output_head(model)
        logits = nn.functional.linear(hidden, head.weight.float(), None if head.bias is None else head.bias.float())
        logits = logits * head.logit_scale
        if head.softcap is not None:
            logits = head.softcap * torch.tanh(logits / head.softcap)
    model.train(was_training)
    error, size = float((logits - expected).abs().max()), float(expected.abs().max())
    if error > 0.02 * size:  # bfloat16 stays below 0.01
        raise AyaError(
            f"{where}: the logits of {type(model).__name__} are not what its hidden states, output "
            "embeddings, "
            f"logit scale and softcap give (they differ by {error:.3g}, the largest is {size:.3g}); this "
            "architecture is not supported yet"
        )
