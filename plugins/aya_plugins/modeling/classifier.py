"""Reward models of any family: one score for each row, whatever it is batched with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from aya_core.api import DataError, Prompt
from aya_plugins.modeling.chat import CHUNK, ChatEncoder
from aya_plugins.modeling.checkpoint import REMEDY, load_model, load_reward_model, load_tokenizer
from aya_plugins.modeling.rows import Encoded, Ints, RowGatherer, longest_row, padded
from aya_plugins.modeling.settings import CheckpointSettings
from aya_plugins.modeling.weights import Where


class Classifier:
    """A reward model, and the encoder of what it reads.

    The score is the value that the model gives; of two values, labels, the log-odds of one against the other: their difference.

    A tokenizer with a chat template renders the whole conversation. One without, but with a separator token (as those of
    BERT, XLM-R and DeBERTa), encodes question and answer as a pair of texts. Rows are padded on the right and masked.
    The layer that gives the score runs in float32, as bfloat16 would round scores to 8 bits and make ties.

    max_tokens: lowered to what the model has positions for. system: a system message before every conversation. label: whose
    log-odds are the score, where there are two; None is the second.
    Raises DataError for a model that is no reward model or cannot be fed like that, and for a label that it does not have.
    """

    def __init__(
        self, settings: CheckpointSettings, *, max_tokens: int, system: str | None, label: str | None = None
    ) -> None:
        where = settings.model
        tokenizer = load_tokenizer(where)
        self._model = load_model(settings, load_reward_model)
        self._label = None if label is None else _place_of(label, self._model.config, where)
        self._pad_id = _pad_id(self._model, tokenizer, where)
        self._text_config.use_cache = False
        _score_in_float32(self._model)
        longest = min(max_tokens, longest_row(self._model) or max_tokens)
        self.encoder: ChatEncoder | TextPairEncoder
        if tokenizer.chat_template:
            self.encoder = ChatEncoder(tokenizer, (), max_tokens=longest, where=str(where), system=system)
        else:
            _check_pairs(tokenizer, where)
            longest = min(longest, tokenizer.model_max_length)  # which is huge where nobody has set it
            self.encoder = TextPairEncoder(tokenizer, max_tokens=longest, system=system)
        self._has_types = (
            isinstance(self.encoder, TextPairEncoder)
            and "token_type_ids" in tokenizer.model_input_names
            and getattr(self._text_config, "type_vocab_size", 0) > 1
        )

    def __call__(self, encoded: Encoded, rows: Ints) -> NDArray[Any]:
        """Score the named rows, in one batch; float32 (rows,)."""
        ids, is_inside = padded(encoded, rows, self._pad_id)
        inputs = {"input_ids": ids, "attention_mask": is_inside.astype(ids.dtype)}
        if self._has_types:  # 0 for the first text, 1 for the second
            starts = encoded.answers[rows][:, None]
            inputs["token_type_ids"] = (is_inside.cumsum(1) > starts).astype(ids.dtype) * inputs["attention_mask"]
        device = self._model.device
        with torch.inference_mode():
            output = self._model(**{name: torch.from_numpy(value).to(device) for name, value in inputs.items()})
            values: NDArray[Any] = output.logits.float().cpu().numpy()
        if values.shape[1] == 1:
            return values[:, 0]
        right = 1 if self._label is None else self._label
        odds: NDArray[Any] = values[:, right] - values[:, 1 - right]
        return odds

    @property
    def _text_config(self) -> Any:
        return self._model.config.get_text_config()


def _pad_id(model: Any, tokenizer: Any, where: Where) -> int:
    """What fills up short rows: what the model takes for padding, as decoders find the end of a row by it.

    A model that names no padding gets a token that no conversation ends with.
    """
    config = model.config.get_text_config()
    if config.pad_token_id is None:
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None
        found = [id for id in (pad, tokenizer.bos_token_id, tokenizer.unk_token_id) if id is not None]
        if not found:
            raise DataError(f"{where}: names no token for padding; set pad_token_id in its config.json")
        config.pad_token_id = found[0]
    return int(config.pad_token_id)


def _place_of(label: str, config: Any, where: Where) -> int:
    """The place of a label among a model's two."""
    names = [str(config.id2label[place]) for place in range(config.num_labels)]
    if len(names) != 2 or label not in names:
        raise DataError(f"{where}: no label '{label}' among two; its labels are {', '.join(names)}")
    return names.index(label)


def _check_pairs(tokenizer: Any, where: Where) -> None:
    if tokenizer.sep_token_id is None:
        raise DataError(
            f"{where}: its tokenizer has no chat template, and no separator token for a pair of question and answer; "
            f"{REMEDY}"
        )
    if tokenizer.padding_side != "right":
        raise DataError(
            f"{where}: its tokenizer has no chat template and pads on the left; expected an encoder that reads a pair of "
            "texts from the left, such as BERT, XLM-R or DeBERTa"
        )


def _score_in_float32(model: Any) -> None:
    """Run the layer that gives the score, the last one outside the body with an output for each label, in float32."""
    body = f"{model.base_model_prefix}."
    layers = [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features in (1, 2) and not name.startswith(body)
    ]
    for layer in layers[-1:]:
        layer.float().register_forward_pre_hook(lambda _, inputs: tuple(value.float() for value in inputs))


class TextPairEncoder:
    """Encodes a prompt and its answer as the tokenizer's own pair, `[CLS] question [SEP] answer [SEP]` or the like.

    Encoders that judge answers are trained on one question and one answer. A conversation of several turns becomes one
    text: the contents of its messages without their roles, in order, divided by blank lines.

    max_tokens: longer rows lose their end and are marked as truncated. system: put before every question.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, system: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.system = () if system is None else (system,)

    def conversations(self, pairs: Sequence[tuple[Prompt, str]]) -> Encoded:
        """Encode each prompt with its answer. The answer begins after the separator; an empty one at the last token."""
        rows = RowGatherer(self.max_tokens)
        for start in range(0, len(pairs), CHUNK):
            questions = [self._question(prompt) for prompt, _ in pairs[start : start + CHUNK]]
            answers = [answer for _, answer in pairs[start : start + CHUNK]]
            for encoding in self.tokenizer(questions, answers, verbose=False).encodings:
                is_second = [part == 1 for part in encoding.sequence_ids]
                rows.add(encoding.ids, is_second.index(True) if any(is_second) else len(encoding.ids) - 1)
        return rows.encoded()

    def _question(self, prompt: Prompt) -> str:
        return "\n\n".join((*self.system, *(message["content"] for message in prompt.messages)))
