"""The recipe: what a run does, as validated settings.

A recipe is YAML. Reading it resolves every `{use: name}` to a strategy and imports nothing heavy. Errors carry the
path of what is wrong (`recipe.yaml: stages.blend.merge: ...`) and a did-you-mean. What a stage can set, the plugin says that
offers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from aya_core.contract.errors import RecipeError, did_you_mean
from aya_core.contract.explain import SettingsError, explain, sentence
from aya_core.contract.records import LANGUAGES
from aya_core.contract.stage import Language, Name
from aya_core.contract.strategies import Settings, nested
from aya_core.contract.trouble import is_file
from aya_core.planning import yaml12
from aya_core.planning.registry import Registry


class Machine(Settings):
    """How a run uses the machine. Changes how fast results come, not what they are, as long as `threads` stays."""

    jobs: int = Field(
        1, ge=1, description="Independent steps that run at the same time; those whose work a server does come on top."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of each step; None leaves it to the libraries.")


def _stage(value: Any, info: Any) -> Any:
    """Validate one stage by what it does."""
    if not isinstance(value, dict):
        raise SettingsError(f"expected a stage, a mapping with `name` and `do`; got {value!r:.60}")
    stages = info.context["registry"].stages
    do = value.get("do")
    if do is None:
        raise SettingsError(f"'do' is missing; it says what the stage does: {', '.join(sorted(stages))}")
    if not isinstance(do, str) or do not in stages:
        raise SettingsError([(("do",), f"no stage does {do!r:.60}; {did_you_mean(str(do), stages)}")])
    settings = stages[do]
    try:
        return settings.model_validate(value, context=info.context)
    except ValidationError as error:
        raise SettingsError(explain(error, settings)) from None


class Recipe(Settings):
    """A whole run."""

    name: Name = Field(description="Marks the folder of its runs.")
    about: str = Field("", description="What it is for; one line, listed by `aya recipes`.")
    seed: int = Field(0, ge=0, lt=2**31, description="Everything random is drawn from it.")
    languages: tuple[Language, ...] = Field(
        LANGUAGES, min_length=1, description="Rows in other languages are left out."
    )
    clusters: dict[Name, tuple[Language, ...]] = Field(
        {}, description="Language clusters for `each: cluster`; `shared` languages belong to all."
    )
    plugins: tuple[str, ...] = Field((), description="Python files with hooks, relative to the recipe.")
    machine: Machine = Field(Machine(), description="How the run uses the machine.")
    models: dict[str, str] = Field(
        {},
        description="Folders that stand for models of the hub, by id (owner/name or owner/name@revision), relative to the recipe: "
        "for machines that do not reach it.",
    )
    trackers: tuple[nested("tracker"), ...] = Field(  # type: ignore[valid-type]
        (), description="Where measures go beside the run folder, such as [{use: NAME}]; nowhere by default."
    )
    stages: tuple[Annotated[Any, BeforeValidator(_stage)], ...] = Field(min_length=1, description="In order.")

    shared: ClassVar[str] = "shared"

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        names: set[str] = set()
        for stage in self.stages:
            if stage.name in names:
                raise SettingsError([(("stages", stage.name), "another stage has this name; names must differ")])
            names.add(stage.name)
        for cluster, languages in self.clusters.items():
            for language in languages:
                if language not in self.languages:
                    raise SettingsError(
                        [(("clusters", cluster), f"'{language}' is not one of the recipe's languages; add it there")]
                    )
        return self

    def cluster_languages(self, cluster: str) -> tuple[str, ...]:
        """The languages of a cluster, the shared ones after its own."""
        own = self.clusters[cluster]
        return (*own, *(code for code in self.clusters.get(self.shared, ()) if code not in own))

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """The clusters that get a model each."""
        return tuple(name for name in self.clusters if name != self.shared)


@dataclass(frozen=True)
class LoadedRecipe:
    """A validated recipe, the registry it was validated with, and where it came from."""

    recipe: Recipe
    registry: Registry
    source: str
    folder: Path
    raw: Mapping[str, Any]


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read and validate a recipe file. overrides: `path.to.setting=value` or `=@file.yaml`, stages by name. Raises RecipeError."""
    if not is_file(path):
        raise RecipeError(
            f"{path}: no such recipe; expected a YAML file, or the name of a bundled recipe (`aya recipes`)"
        )
    raw = yaml12.read(path)
    return validate_recipe(raw, source=str(path), folder=path.parent.resolve(), overrides=overrides)


def validate_recipe(
    raw: Any, *, source: str, folder: Path, overrides: Sequence[str] = (), registry: Registry | None = None
) -> LoadedRecipe:
    """Validate a recipe that has been parsed. Raises RecipeError with every problem found, one a line.

    registry: of the plugins that it may use; without one, a new one that has its `plugins` too.
    """
    if not isinstance(raw, dict):
        raise RecipeError(f"{source}: expected a mapping with `name` and `stages`; got {type(raw).__name__}")
    raw = _unshared(raw)
    for override in overrides:
        _override(raw, override)
    files = raw.get("plugins") or []
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise RecipeError(f"{source}: plugins: expected a list of Python files, relative to the recipe")
    registry = registry or Registry([folder / file for file in files])
    try:
        recipe = Recipe.model_validate(raw, context={"registry": registry})
    except ValidationError as error:
        problems = explain(error, Recipe)
        raise RecipeError(
            "\n".join(f"{source}: {sentence(_named(path, raw), what)}" for path, what in problems)
        ) from None
    return LoadedRecipe(recipe, registry, source, folder, raw)


def _named(path: Sequence[str | int], raw: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Replace the index of a stage by its name."""
    if len(path) > 1 and path[0] == "stages" and isinstance(path[1], int):
        stage = raw["stages"][path[1]]
        if isinstance(stage, dict) and isinstance(stage.get("name"), str):
            return ("stages", stage["name"], *path[2:])
    return tuple(path)


def _unshared(value: Any) -> Any:
    """Copy plain data so that what YAML aliases share is each its own: an override of one stage leaves the others."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unshared(item) for item in value]
    return value


def _override(raw: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(
            f"--set {override}: expected path.to.setting=value, such as stages.offline.objective.beta=0.05"
        )
    in_file = text.startswith("@") and len(text) > 1
    value = yaml12.read(Path(text[1:])) if in_file else yaml12.parse(text, f"--set {path}")
    here: Any = raw
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        if isinstance(here, list):
            here = _element(here, part, override)
        elif isinstance(here, dict):
            here = here.setdefault(part, {})
        if not isinstance(here, (dict, list)):
            raise RecipeError(
                f"--set {override}: '{'.'.join(parents[: depth + 1])}' is {here!r}, which has no settings"
            )
    if isinstance(here, list):
        raise RecipeError(f"--set {override}: '{'.'.join(parents)}' is a list; name an element and a setting of it")
    here[last] = value


def _element(items: list[Any], part: str, override: str) -> Any:
    names = {str(item["name"]): item for item in items if isinstance(item, dict) and "name" in item}
    if part in names:
        return names[part]
    places = {str(place): item for place, item in enumerate(items)}
    if part in places:
        return places[part]
    raise RecipeError(f"--set {override}: no stage named '{part}'; {did_you_mean(part, names)}")
