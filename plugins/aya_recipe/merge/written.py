"""What lies beside a checkpoint that a recipe merged: how that was done, as a stage `merge` would say it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aya_core.api import Work, hub_model, write_file

FILE = "merge.yaml"

_HEAD = """\
# How this checkpoint was merged, in the words of a stage `merge`. What was made in the same run goes by the name of its step,
# a folder by its last name. `aya merge` takes mergekit's files, which are written otherwise.
"""


def write_merge(work: Work, folder: Path, merge: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Say in a checkpoint's folder how it was merged.

    work: of the step, with the settings that `settings_of` gives. merge: the strategy, as a recipe has it. weights: by model.
    """
    settings = {key: value for key, value in work.node.settings.items() if key in _SHARED and value is not None}
    if "tokenizer" in work.inputs:  # the user's own
        settings["tokenizer"] = {**settings["tokenizer"], "source": _origin(work, "tokenizer")}
    said = {
        "do": "merge",
        "models": {name: _origin(work, f"model.{name}") for name in work.setting("models")},
        **({"base": _origin(work, "base")} if "base" in work.inputs else {}),
        "merge": dict(merge),
        "weights": dict(weights),
        **settings,
        "seed": work.node.seed,
    }
    write_file(folder / FILE, _HEAD + yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=110))


_SHARED = ("dtype", "tokenizer", "chat_template", "allow")


def _origin(work: Work, role: str) -> str:
    if role in work.node.inputs:
        return work.node.inputs[role]
    named = work.node.external[role]
    return named if hub_model(named) and not Path(named).exists() else Path(named).name
