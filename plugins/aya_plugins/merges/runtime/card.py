"""The model card of a merge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def model_card(description: Mapping[str, Any], seed: int, account: Mapping[str, Any]) -> str:
    """Say what was merged, how, and what became of the tensors. description: method and settings, as the stage gives them."""
    names = [entry["model"] for entry in account["inputs"]]
    parents = list(dict.fromkeys([*names, *([account["base"]] if account["base"] else [])]))
    values = {**description, "seed": seed}
    method = values.pop("use", "merge")
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
        "| model | weight | content |",
        "|---|---|---|",
        *(f"| {entry['model']} | {_shown(entry['weight'])} | `{entry['content']}` |" for entry in account["inputs"]),
        *([f"| {account['base']} | base | `{account['base_content']}` |"] if account["base"] else []),
        "",
        f"Settings: {', '.join(f'`{name}: {json.dumps(value, default=str)}`' for name, value in values.items())}",
        "",
        f"{account['tensors']} tensors, {account['parameters']:,} parameters, "
        f"stored in {account['dtype']}; merged in float32, rounded once.",
        "",
        "Content is a SHA-256 of a model's weights, whatever files they lie in: of the sorted lines `name dtype shape sha256`, "
        "one for each tensor.",
    ]
    if account["integer_tensors"]:
        lines += ["", f"Integer tensors, equal in all models and copied: {', '.join(account['integer_tensors'])}."]
    if account["tied"]:
        pairs = ", ".join(f"{name} = {source}" for name, source in account["tied"].items())
        lines += ["", f"Tied in all models: {pairs}."]
    lines += [line for note in account["notes"] for line in ("", note)]
    return "\n".join(lines) + "\n"


def _shown(weight: Any) -> str:
    return f"{weight:g}" if isinstance(weight, (int, float)) else f"`{json.dumps(weight)}`"
