"""Write the report of a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aya_core.report.markdown import markdown
from aya_core.report.page import page
from aya_core.report.wins import picture


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json`, `report.md`, `report.html` and a picture of each arbitrage, each in one step."""
    (folder / "pictures").mkdir(exist_ok=True)
    texts = {
        **{
            f"pictures/{name}.svg": picture(account, f"{name}: whose answer won where")
            for name, account in report["arbitrage"].items()
        },
        "report.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n",
        "report.md": markdown(report),
        "report.html": page(report),
    }
    for name, text in texts.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.rename(folder / name)
