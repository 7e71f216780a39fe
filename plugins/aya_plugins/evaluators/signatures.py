"""What signatures have in common: versions of distributions, and strategies as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from aya_core.api import Strategy


def versions(*distributions: str) -> Mapping[str, str]:
    """Name the installed version of each distribution; our own comes first."""
    return {name: version(name) for name in ("aya-core", *distributions)}


def settings_of(strategy: Strategy[Any]) -> str:
    """Write a nested strategy as its class and its settings; secrets stay masked. What a teacher costs moves no number."""
    settings = json.dumps(_without_prices(strategy.model_dump(mode="json")), sort_keys=True, ensure_ascii=False)
    return f"{type(strategy).__name__} {settings}"


def _without_prices(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {name: _without_prices(value) for name, value in settings.items() if name != "price"}
    return settings
