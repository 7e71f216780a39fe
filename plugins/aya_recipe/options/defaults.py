"""The strategies that stages take where a recipe names none. They are looked up when they are needed, so that a recipe which never
needs one runs without it."""

from __future__ import annotations

from typing import Any

from aya_core.api import EACH, Builder, ModelRef, Strategy, find

TEACHER = "transformers"
"""Runs the checkpoints of a run, where a stage names no teacher."""

LANGUAGE = "language"
"""Says in which language an answer is, where guards name no arbiter."""


def has_teacher(build: Builder, given: Strategy[Any] | None) -> bool:
    """Whether a stage has a teacher: the one that it names, or the default."""
    return given is not None or TEACHER in build.registry.strategies["teacher"]


def teacher_of_checkpoints(build: Builder, given: Strategy[Any] | None) -> Strategy[Any]:
    """The teacher of a stage that asks several models, or those that it makes. Raises RecipeError for one whose model stays the same, as
    that of a server does."""
    found = teacher(build, given)
    if not any(str(reference) == EACH for _, reference in find(found, ModelRef)):
        name = build.registry.name_of("teacher", found)
        raise build.error(
            "teacher",
            f"'{name}' would ask '{dict(found).get('model')}' in place of each model of this stage; expected a teacher that runs a "
            f"checkpoint itself, without `model`, such as '{TEACHER}'",
        )
    return found


def teacher(build: Builder, given: Strategy[Any] | None) -> Strategy[Any]:
    """The teacher of a stage, for each model in turn. Raises RecipeError where none is named and the default is not installed."""
    if given is not None:
        return given
    if not has_teacher(build, given):
        raise build.error(
            "teacher", f"missing; expected a teacher that runs a model, as the default, '{TEACHER}', is not installed"
        )
    return build.registry.validate("teacher", {"use": TEACHER, "model": EACH})
