"""What the person who merges vocabularies should know, a sentence each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from aya_plugins.merges.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def appended(out: Tokenizer, more: Collection[str], tokenizers: Sequence[Tokenizer]) -> Iterator[str]:
    """Say which tokens are added to a tokenizer."""
    new = [token for token in more if token not in out.tokens]
    ordinary = [token for token in new if not any(token in tokenizer.added for tokenizer in tokenizers)]
    promoted = [token for token in more if token in out.tokens]
    if new:
        yield f"tokens appended: {_some(new)}"
    if ordinary:
        yield (
            "appended though they are ordinary tokens of their model, so that they become added tokens, which match their "
            f"literal text wherever it stands: {_some(ordinary)}"
        )
    if promoted:
        yield f"ordinary tokens that become added tokens, as they are in another model: {_some(promoted)}"


def conflicts(out: Tokenizer, names: Sequence[str], tokenizers: Sequence[Tokenizer]) -> Iterator[str]:
    """Say which added tokens a model defines otherwise than the merged tokenizer does."""
    for name, tokenizer in zip(names, tokenizers, strict=True):
        differ = [token for token, flags in tokenizer.added.items() if out.added.get(token, flags) != flags]
        if differ:
            yield (
                f"added tokens that '{name}' defines otherwise than the merged tokenizer does (special, stripping or "
                f"normalizing): {_some(differ)}"
            )


def orphans(out: Tokenizer, maps: Sequence[NDArray[np.int64]], given: Collection[int]) -> Iterator[str]:
    """Say which tokens no model has a row for. given: the rows that the settings give."""
    import numpy as np

    nobody = np.flatnonzero(np.all(np.stack(maps) < 0, axis=0))
    tokens = [out.by_id[index] for index in nobody.tolist() if index in out.by_id and index not in given]
    if tokens:
        yield f"tokens that have a row in no model and get zeros: {_some(tokens)}"


def _some(tokens: Sequence[str], shown: int = 6) -> str:
    more = ", ..." if len(tokens) > shown else ""
    return f"{len(tokens)} ({', '.join(map(repr, tokens[:shown]))}{more})"
