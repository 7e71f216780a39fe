"""The style of an answer: how long it is, and how much markdown it shows.

A judge that likes length or lists makes a model win by them. Style control gives differences in style coefficients of their own in the
Bradley-Terry model, so that ratings say how good answers of equal style are.

Source: Li et al. 2024, "Does style matter? Disentangling style and substance in Chatbot Arena" (LMSYS blog); the markdown is counted
as in Arena-Hard's `add_markdown_info.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Style(NamedTuple):
    """Length in characters (tokens, where a file says only these), and how many headers, list items and bold passages."""

    length: float
    headers: float
    lists: float
    bold: float


_CODE = re.compile(r"```[^`]*```")
_HEADERS = re.compile(r"^#{1,6}\s", re.MULTILINE)
_LISTS = re.compile(r"^[^\S\n]*(?:\d+\.|[-*+])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


def style_of(answer: str) -> Style:
    """Measure an answer. What stands in code blocks is no markdown."""
    prose = _CODE.sub("", answer)
    return Style(*(float(n) for n in (len(answer), *(len(mark.findall(prose)) for mark in (_HEADERS, _LISTS, _BOLD)))))


def style_of_metadata(metadata: Mapping[str, object], side: str) -> Style | None:
    """Read the style of one side (`a` or `b`) as Chatbot Arena publishes it; None where it is not there."""
    names = (f"sum_assistant_{side}_tokens", f"header_count_{side}", f"list_count_{side}", f"bold_count_{side}")
    found = [_total(metadata.get(name)) for name in names]
    known = [number for number in found if number is not None]
    return Style(*known) if len(known) == len(names) else None


def covariates(styles: Sequence[tuple[Style, Style]]) -> NDArray[Any]:
    """The differences in style as covariates, of shape (battles, 4).

    (a - b) / (a + b + 1) for each measure, divided by its root mean square over all battles, so that a swap of the sides changes no
    rating. Chatbot Arena subtracts the mean, too, which is 0 there, for who comes first is drawn at random; where the baseline always
    comes first, that would take back what is to be controlled.
    """
    import numpy as np

    both = np.array(styles, dtype=np.float64)  # (battles, 2, 4)
    differences = (both[:, 0] - both[:, 1]) / (both[:, 0] + both[:, 1] + 1)
    scale = np.sqrt(np.mean(differences**2, axis=0))
    shares: NDArray[Any] = differences / np.where(scale > 0, scale, 1)
    return shares


def _total(value: object) -> float | None:
    """A count, or the sum of counts by kind ({"h1": 2, ...})."""
    if isinstance(value, Mapping):
        parts = [_total(part) for part in value.values()]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
