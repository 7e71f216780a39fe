"""Importing: a model of the user's becomes an artifact of the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from aya_core.api import DataError, Work


def import_model(work: Work) -> Mapping[str, Any]:
    """Take over the files of a folder. They are linked where the disk is the same, which takes no room, and copied otherwise."""
    folder = work.inputs["model"]
    if not folder.is_dir():
        raise DataError(
            f"{folder}: there is no such checkpoint: the training that was to leave it ended before that step (`validation.patience`, "
            "perhaps); name an earlier one"
        )
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        copy = work.out / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), copy)  # hub caches hold links to their files
        except OSError:
            shutil.copy2(path, copy)
    return {"files": len(files)}
