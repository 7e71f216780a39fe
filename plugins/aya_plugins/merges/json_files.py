"""Read the JSON files of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aya_core.api import DataError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises DataError where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not JSON ({error}); fetch or save it again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object")
    return content
