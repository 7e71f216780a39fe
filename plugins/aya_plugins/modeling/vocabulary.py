"""Whether a model can read the tokens that a tokenizer makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from aya_core.api import DataError
from aya_plugins.modeling.chat_templates import GivenTemplate
from aya_plugins.modeling.checkpoint import load_config, load_tokenizer
from aya_plugins.modeling.rows import Encoded
from aya_plugins.modeling.weights import Where


def check_vocabulary(
    where: Where, tokenizer: Any, encoded: Encoded, pad_id: int, given: GivenTemplate | None = None
) -> None:
    """Check that a model has an embedding for every token of some rows and for what fills them up.

    A model with more embeddings than its tokenizer has tokens is common and fine. given: a chat template that the tokenizer was given,
    for whose tokens the model gets embeddings. Raises DataError with both sizes.
    """
    known = int(load_config(where).get_text_config().vocab_size)
    if given is not None and given.added:
        known = max(known, len(tokenizer))
    highest = max([pad_id, *(int(ids.max(initial=0)) for _, ids in encoded.portions())])
    if highest >= known:
        token = tokenizer.convert_ids_to_tokens(highest)
        role = " for padding" if highest == pad_id else ""
        raise DataError(
            f"{where}: the model has {known:,} embeddings, its tokenizer {len(tokenizer):,} tokens, and the rows hold "
            f"token {highest:,} ({token!r}{role}); take the tokenizer that the model was trained with, or resize the "
            "model's embeddings to it"
        )


def check_same_tokens(where: Where, tokenizer: Any, encoded: Encoded) -> None:
    """Check that the tokens of some rows are the same for another checkpoint's tokenizer; one without any is trusted.

    Raises DataError naming the first token that differs.
    """
    folder = Path(where)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file():
        return
    theirs = load_tokenizer(where)
    ids = sorted(set().union(*(numpy.unique(some).tolist() for _, some in encoded.portions())))
    tokens = zip(ids, tokenizer.convert_ids_to_tokens(ids), theirs.convert_ids_to_tokens(ids), strict=True)
    for id, ours, other in tokens:
        if ours != other:
            raise DataError(
                f"{where}: its tokenizer has {other!r} for token {id:,}, that of the start {ours!r}; a reference must "
                "read the same tokens as the model that is trained"
            )
