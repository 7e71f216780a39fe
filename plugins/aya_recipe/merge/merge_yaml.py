"""What lies beside a checkpoint that a recipe merged: merge.yaml, a stage that merges so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aya_core.api import Work, hub_model, write_file

FILE = "merge.yaml"

_HEAD = """\
# How this checkpoint was merged: a stage of a recipe. What was made in the same run goes by the name of its step, models of other places
# as that recipe named them, a base or tokenizer of other places by the last part of its path. Seed of what is drawn at random: {seed}.
# `aya merge` takes mergekit's files, which are written otherwise.
"""

_SHARED = ("dtype", "tokenizer", "chat_template", "allow")


def write_merge(work: Work, folder: Path, merge: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Say in a checkpoint's folder how it was merged.

    work: of the step, with the settings that `settings_of` gives. merge: the strategy, as a recipe has it. weights: by model.
    """
    models = {name: work.node.inputs.get(f"model.{name}", name) for name in work.setting("models")}
    settings = {key: value for key, value in work.node.settings.items() if key in _SHARED and value is not None}
    if "tokenizer" in work.inputs:  # the user's own
        settings["tokenizer"] = {**settings["tokenizer"], "source": _origin(work, "tokenizer")}
    stage = {
        "name": "merged",
        "do": "merge",
        "models": list(models.values()),
        "weights": {models[name]: weight for name, weight in weights.items()},
        **({"base": _origin(work, "base")} if "base" in work.inputs else {}),
        "merge": dict(merge),
        **settings,
    }
    text = yaml.safe_dump(stage, sort_keys=False, allow_unicode=True, width=110)
    write_file(folder / FILE, _HEAD.format(seed=work.node.seed) + text)


def _origin(work: Work, role: str) -> str:
    if role in work.node.inputs:
        return work.node.inputs[role]
    named = work.node.external[role]
    return named if hub_model(named) and not Path(named).exists() else f"./{Path(named).name}"
