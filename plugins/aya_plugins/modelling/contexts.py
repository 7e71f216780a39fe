"""Contexts and their continuations to tokens, as the language model evaluation harness encodes them.

Context and continuation are encoded as one text, so that no token boundary is forced between them; as many tokens belong to
the context as it has by itself. A space at the end of the context goes to the continuation, for tokens begin with spaces. What the
tokenizer puts before any text (a begin-of-sequence token) is part of the context; a chat template writes it itself.

Source: `_encode_pair` of lm-evaluation-harness 0.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from aya_core.api import Continuation
from aya_plugins.modelling.chat import ChatEncoder
from aya_plugins.modelling.rows import Encoded, Ints, RowGatherer

CHUNK = 4096
"""Continuations tokenized at a time, which bounds memory."""


@dataclass(frozen=True)
class Continuations:
    """rows: context and continuation end to end; `answers` says where the continuation begins. cut: (rows,) tokens that were left
    out at the start of each context."""

    rows: Encoded
    cut: Ints


def encode(encoder: ChatEncoder, asked: Sequence[Continuation]) -> Continuations:
    """Encode each context with its continuation; a row keeps its last `encoder.max_tokens` tokens."""
    gatherer = RowGatherer(1 << 62)
    cut: list[int] = []
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        contexts = [encoder.context(one.context) for one in chunk]
        heads = [context.text.rstrip(" ") if context.is_text else context.text for context in contexts]
        texts = [context.text + one.text for context, one in zip(contexts, chunk, strict=True)]
        distinct = list(dict.fromkeys(zip(heads, [context.is_text for context in contexts], strict=True)))
        lengths = dict(zip(distinct, map(len, encoder.encode_contexts(distinct)), strict=True))
        whole = encoder.encode_contexts(list(zip(texts, [context.is_text for context in contexts], strict=True)))
        for ids, head, context in zip(whole, heads, contexts, strict=True):
            first = lengths[head, context.is_text]
            if first == 0:  # nothing comes before the continuation, and its first token needs something to follow
                ids, first = [encoder.start_id, *ids], 1
            over = max(0, len(ids) - encoder.max_tokens)
            cut.append(min(over, first))
            gatherer.add(ids[over:], max(first - over, 0))
    return Continuations(gatherer.encoded(), numpy.array(cut, dtype=numpy.int64))
