"""The model card of a merge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aya_core.api import Settings


def model_card(settings: Settings | None, seed: int, account: Mapping[str, Any]) -> str:
    """Say what was merged, how, and what became of the tensors. settings: of the merge, where it has any."""
    names = [entry["model"] for entry in account["inputs"]]
    parents = list(dict.fromkeys([*names, *([account["base"]] if account["base"] else [])]))
    method = type(settings).__name__ if settings else "Merge"
    values = {**settings.model_dump(mode="json"), "seed": seed} if settings else {"seed": seed}
    lines = [
        "---",
        "library_name: transformers",
        "tags: [merge]",
        "base_model:",
        *(f"- {json.dumps(name, ensure_ascii=False)}" for name in parents),
        "---",
        "",
        f"# {method} of {len(names)} {'model' if len(names) == 1 else 'models'}",
        "",
        "| model | weight |",
        "|---|---|",
        *(f"| {entry['model']} | {entry['weight']:g} |" for entry in account["inputs"]),
        "",
        *([f"Base: {account['base']}", ""] if account["base"] else []),
        f"Settings: {', '.join(f'`{name}: {json.dumps(value)}`' for name, value in values.items())}",
        "",
        f"{account['tensors']} tensors, {account['parameters']:,} parameters, "
        f"stored in {account['dtype']}; merged in float32, rounded once.",
    ]
    if account["integer_tensors"]:
        lines += [
            "",
            f"Integer tensors, equal in all models and copied: {', '.join(account['integer_tensors'])}.",
        ]
    if account["tied"]:
        pairs = ", ".join(f"{name} = {source}" for name, source in account["tied"].items())
        lines += ["", f"Tied in all models: {pairs}."]
    return "\n".join(lines) + "\n"
