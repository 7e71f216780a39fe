"""Lines of text as the tokens of several models, the same lines for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from aya_core.api import DataError
from aya_plugins.modelling.plain import pad_id_of
from aya_plugins.modelling.rows import Encoded, Ints, RowGatherer

FATES = ("lines", "empty", "too_long")
"""What becomes of a line: the first is scored, the others are left out."""


@dataclass(frozen=True)
class Lines:
    """Lines that every model can read.

    encoded: by model; the answers of its rows are the lines. pad_ids: by model. bytes: (rows,) of each line in UTF-8.
    rows: by language. account: lines, bytes, empty and too_long of each language.
    """

    encoded: Mapping[str, Encoded]
    pad_ids: Mapping[str, int]
    bytes: Ints
    rows: Mapping[str, Ints]
    account: Mapping[str, Mapping[str, int]]

    @property
    def are_same_tokens(self) -> bool:
        """Whether all models split the lines into the same tokens, of the same ids."""
        first, *others = self.encoded.values()
        return all(numpy.array_equal(first.ids, other.ids) for other in others)


def encode_lines(tokenizers: Mapping[str, Any], lines: Mapping[str, Sequence[str]], max_tokens: int) -> Lines:
    """Encode lines for every model, and leave out those that are empty or, for some model, too long.

    A line's tokens come after those that the tokenizer puts before a text, or the token that begins or ends texts where it
    puts none; what it puts after a text is not read. Raises DataError where no line is left.
    """
    languages = [language for language, texts in lines.items() for _ in texts]
    texts = [text for of_language in lines.values() for text in of_language]
    split = {name: [_split(tokenizer, text, name) for text in texts] for name, tokenizer in tokenizers.items()}
    fates = []
    for row, text in enumerate(texts):
        rows = [of_model[row] for of_model in split.values()]
        if not text.strip() or not all(own for _, own in rows):
            fates.append("empty")
        else:
            fates.append("too_long" if any(len(head) + len(own) > max_tokens for head, own in rows) else "lines")
    kept = [row for row, fate in enumerate(fates) if fate == "lines"]
    if not kept:
        raise DataError(
            f"none of {len(texts)} lines can be scored; expected some lines of text of at most {max_tokens} tokens"
        )
    encoded = {}
    for name, of_model in split.items():
        gatherer = RowGatherer(max_tokens)
        for row in kept:
            head, own = of_model[row]
            gatherer.add([*head, *own], len(head))
        encoded[name] = gatherer.encoded()
    sizes = numpy.array([len(texts[row].encode()) for row in kept], dtype=numpy.int64)
    rows_of = {
        language: numpy.flatnonzero([languages[row] == language for row in kept]).astype(numpy.int64)
        for language in lines
    }
    account = {
        language: {
            **{fate: sum(pair == (language, fate) for pair in zip(languages, fates, strict=True)) for fate in FATES},
            "bytes": int(sizes[rows_of[language]].sum()),
        }
        for language in lines
    }
    pads = {name: pad_id_of(tokenizer, name) for name, tokenizer in tokenizers.items()}
    return Lines(encoded, pads, sizes, rows_of, account)


def _split(tokenizer: Any, text: str, name: str) -> tuple[list[int], list[int]]:
    """Give the tokens before a text, and its own."""
    (encoding,) = tokenizer([text], verbose=False).encodings
    is_added = [bool(added) for added in encoding.special_tokens_mask]
    own = [token for token, added in zip(encoding.ids, is_added, strict=True) if not added]
    head = encoding.ids[: is_added.index(False)] if own else []
    if head:
        return head, own
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return [token], own
    raise DataError(f"model '{name}': its tokenizer names neither bos_token nor eos_token, one of which begins a text")
