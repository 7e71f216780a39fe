"""Contexts and their continuations to tokens, as the language model evaluation harness encodes them.

Context and continuation are encoded as one text, and the tokens of the context alone take the place of as many of these. White
space at the end of a context goes to the continuation, for tokens begin with spaces.
The tokenizer puts its own tokens around a text, but not around one that begins with the token that begins sequences, as what many
chat templates write does. An empty context is that token.

Source: `_encode_pair`, `loglikelihood` and `tok_encode` of lm-evaluation-harness 0.4.13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from aya_core.api import Context, Continuation
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.rows import Encoded, Ints, RowGatherer

PART_CHARACTERS = 1 << 21
"""Characters whose tokens lie in memory at a time, some 2 to 8 MiB of them."""


@dataclass(frozen=True)
class Continuations:
    """rows: context and continuation end to end; `answers` says where the continuation begins. cut: (rows,) tokens that were left
    out at the start of each context. tokens: (rows,) of each continuation.

    can_score: (rows,) whether the continuation can be scored as asked: it has a token, all of it can be read with a token before it,
    and the tokenizer did not drop all that the context says.
    """

    rows: Encoded
    cut: Ints
    tokens: Ints
    can_score: NDArray[numpy.bool_]


def parts(asked: Sequence[Continuation]) -> Iterator[Ints]:
    """Part many continuations, those whose contexts begin alike together, so that the tokens of a part fit in memory."""
    texts = [_text(one.context) for one in asked]
    order = numpy.array(sorted(range(len(asked)), key=texts.__getitem__), dtype=numpy.int64)
    sizes = numpy.cumsum([len(texts[place]) + len(asked[place].text) for place in order.tolist()])
    borders = numpy.flatnonzero(numpy.diff(sizes // PART_CHARACTERS)) + 1
    yield from (part for part in numpy.split(order, borders) if len(part))


def encode(encoder: ChatEncoder, asked: Sequence[Continuation], *, longest: int) -> Continuations:
    """Encode each context with its continuation. A row keeps its last `longest` tokens."""
    contexts = _written(encoder, asked)
    heads = [context.rstrip() for context in contexts]
    distinct = list(dict.fromkeys(heads))
    encoded = dict(zip(distinct, encoder.encode_texts(distinct), strict=True))
    alone = encoder.encode_texts((one.text for one in asked if one.context == ""), is_whole=False)
    whole = encoder.encode_texts(context + one.text for context, one in zip(contexts, asked, strict=True) if context)
    gatherer = RowGatherer(1 << 62)
    cut: list[int] = []
    tokens: list[int] = []
    can_score: list[bool] = []
    for context, head in zip(contexts, heads, strict=True):
        if context:
            before = encoded[head]
            after = next(whole)[len(before) :]
        else:
            before, after = [], next(alone)
            if after[:1] == [encoder.start_id]:
                before, after = after[:1], after[1:]
        tokens.append(len(after))
        can_score.append(0 < len(after) < longest and bool(before or not head))
        before = before or [encoder.start_id]  # a first token needs something to follow
        over = max(0, len(before) + len(after) - longest)
        cut.append(over)
        gatherer.add([*before, *after][over:], max(len(before) - over, 0))
    lost, counts = (numpy.array(found, dtype=numpy.int64) for found in (cut, tokens))
    return Continuations(gatherer.encoded(), lost, counts, numpy.array(can_score, dtype=numpy.bool_))


def _written(encoder: ChatEncoder, asked: Sequence[Continuation]) -> list[str]:
    """Contexts as text; neighbors share theirs."""
    texts: list[str] = []
    for place, one in enumerate(asked):
        is_new = place == 0 or one.context != asked[place - 1].context
        texts.append(encoder.writer.context(one.context) if is_new else texts[-1])
    return texts


def _text(context: Context) -> str:
    return context if isinstance(context, str) else "".join(turn["content"] for turn in context)
