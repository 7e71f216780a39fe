"""Turn validation errors into sentences with a path, an expectation and, for a misspelled key, the nearest known one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from aya_core.contract.errors import did_you_mean

Problem = tuple[tuple[str | int, ...], str]
"""Where, and what."""


KEY_TYPES = frozenset({"extra_forbidden", "missing"})
"""Types of validation errors that are about a key."""


class SettingsError(ValueError):
    """Settings that do not validate. Raised inside other validations too, so it keeps the path of each problem."""

    def __init__(self, problems: str | Sequence[Problem]) -> None:
        self.problems: Sequence[Problem] = [((), problems)] if isinstance(problems, str) else problems
        super().__init__("; ".join(sentence(path, what) for path, what in self.problems))


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """List the problems of a validation, those of nested strategies at their full path."""
    problems: list[Problem] = []
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_is_inside(other["loc"], detail["loc"]) for other in details):
            continue  # elements that do not validate are missing from their list; they say what is wrong themselves
        if detail["type"] == "none_required" and error.error_count() > 1:
            continue  # the other branch of an optional field says what is wrong
        if detail["type"] == "string_type" and detail["loc"][-1] == "str" and isinstance(detail["input"], dict):
            continue  # so does the branch for mappings of a field that may be a name
        path = tuple(part for part in detail["loc"] if not _is_union_branch(part))
        if detail["type"] in KEY_TYPES:  # the last part is a key that somebody wrote, whatever it looks like
            path = (*(part for part in detail["loc"][:-1] if not _is_union_branch(part)), detail["loc"][-1])
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, SettingsError):
            problems.extend(((*path, *below), what) for below, what in inner.problems)
        elif detail["type"] == "extra_forbidden":
            known = _fields_at(model, path[:-1])
            problems.append((path[:-1], f"unknown key '{path[-1]}'; {did_you_mean(str(path[-1]), known)}"))
        elif detail["type"] == "missing":
            problems.append((path[:-1], f"'{path[-1]}' is missing; {_field_meaning(model, path)}"))
        elif inner is not None:
            problems.append((path, str(inner)))
        else:
            given = detail["input"]
            shown = f"; got {given!r}" if isinstance(given, (str, int, float, bool)) or given is None else ""
            message = detail["msg"][:1].lower() + detail["msg"][1:]
            problems.append((path, f"{message}{shown}"))
    return problems


def sentence(path: Sequence[str | int], what: str) -> str:
    """Join a path and what is wrong there."""
    return f"{'.'.join(str(part) for part in path)}: {what}" if path else what


def _is_inside(path: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(path) > len(outer) and tuple(path[: len(outer)]) == tuple(outer)


def _is_union_branch(part: str | int) -> bool:
    """Tell pydantic's names for branches of a union, which a reader of the recipe has never seen."""
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "none"})


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> set[str]:
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        if field is not None:
            current = next(_models_in(field.annotation), None)
    return set(current.model_fields) if current else set()


def _field_meaning(model: type[BaseModel], path: Sequence[str | int]) -> str:
    field = model.model_fields.get(str(path[-1]))
    if field is None or not field.description:
        return "it has no default"
    return field.description[:1].lower() + field.description[1:].rstrip(".")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
