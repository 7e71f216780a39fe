"""The name of a split, as a setting."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _whole(split: str) -> str:
    if "[" in split or "+" in split:
        raise ValueError(
            f"'{split}' is a slice or several splits, which are not read as they stream; name one whole split, and take its first rows "
            "with `limit`"
        )
    return split


WholeSplit = Annotated[str, AfterValidator(_whole)]
"""The name of one split; `datasets` can also slice and add splits (`train[:10%]`), but not while it streams."""
