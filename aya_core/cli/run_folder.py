"""What commands on a run folder share."""

from __future__ import annotations

from pathlib import Path

from aya_core import yaml12
from aya_core.errors import ArtifactError
from aya_core.recipe import LoadedRecipe, validate_recipe
from aya_core.runner import Run


def load_run(folder: Path) -> tuple[Run, LoadedRecipe]:
    """Load the recipe that a run folder was last run with. Raises ArtifactError where there is none."""
    run = Run(folder)
    about = run.about()
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; run the recipe again into this folder")
    raw = yaml12.parse(path.read_text(encoding="utf-8"), str(path))
    return run, validate_recipe(raw, source=str(path), folder=Path(about["folder"]))
