"""The words of a kind: class attributes that its base declares, and what is wrong with a class that says them otherwise.

A word that nobody reads is no error to Python: an evaluator that misspells `needs_answers` would be scored over no answers. So
a class is held against the base of its kind when its plugin loads, and by the checks of `aya_core.testing`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache, cached_property
from traceback import walk_tb
from typing import Any, ClassVar, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from aya_core.contract import kinds
from aya_core.contract.stage import Stage
from aya_core.contract.strategies import Settings

BASES: Mapping[str, type[Settings]] = {**kinds.BASES, "stage": Stage}
"""What a class of each kind of strategy, and a stage, derives from."""

NEAR = 0.75
"""How alike two names are, in [0, 1], of which one is taken for the other misspelled: `gaol` and `goal` are this much alike."""


FORMER: Mapping[str, str] = {"headline": "metrics", "goal": "metrics"}
"""Words of earlier versions, and what says it now."""

PROPERTIES = (property, cached_property)
"""By which a class says a word where settings decide."""


class Word(NamedTuple):
    """A class attribute that a base declares, and the type of its values."""

    name: str
    type: Any

    def wrong(self, value: Any) -> str | None:
        """Say what is wrong with a value, if anything is."""
        try:
            _adapter(self.type).validate_python(value, strict=True)
        except ValidationError as error:
            what = error.errors(include_url=False)[0]["msg"]
            return f"{what[:1].lower()}{what[1:]}, not {value!r}"
        except TypeError:  # a mapping where a strategy may stand, whose base cannot be made
            return f"expected a strategy, not {value!r}"
        except PydanticSchemaGenerationError:  # a type of the contract that only the type checker knows
            return None
        return None


@cache
def _adapter(type: Any) -> TypeAdapter[Any]:
    """Made once for each type of word: every class of every kind is looked at with it whenever plugins are loaded."""
    return TypeAdapter(type)


@cache
def words_of(base: type) -> Mapping[str, Word]:
    """The words that a base declares, those of all strategies among them."""
    words: dict[str, Word] = {}
    for owner in reversed([one for one in base.__mro__ if issubclass(one, Settings) and one is not Settings]):
        for name, hint in inspect.get_annotations(owner, eval_str=True).items():
            if get_origin(hint) is ClassVar and not name.startswith("_"):  # type: ignore[comparison-overlap]
                words[name] = Word(name, get_args(hint)[0])
        for name, value in vars(owner).items():
            if isinstance(value, property) and not name.startswith("_"):
                words[name] = Word(name, get_type_hints(value.fget).get("return", Any))
    return words


def faults_of_class(strategy: type, kind: str) -> list[str]:
    """Say what is wrong with a class that is offered as a strategy of a kind; an empty list means nothing."""
    base = BASES[kind]
    if missing := sorted(getattr(strategy, "__abstractmethods__", ())):
        return [f"has no {missing[0]}()"]
    if not issubclass(strategy, base):
        others = [other for other, its_base in BASES.items() if issubclass(strategy, its_base)]
        if others:
            return [f"is {_a(others[0])}, not {_a(kind)}"]
        return [f"is not declared as {_a(kind)}; write `class {strategy.__name__}({base.__name__})`"]
    return [*_misused(strategy, kind), *_misspelled_methods(strategy, base, kind)]


def faults_of_values(strategy: Settings, kind: str) -> list[str]:
    """Say what is wrong with the words of one strategy, those that its settings decide too."""
    words = words_of(BASES[kind]).values()
    found = ((word.name, word.wrong(getattr(strategy, word.name))) for word in words)
    return [f"says `{name}`: {what}" for name, what in found if what]


def fault_without_type(error: PydanticUserError) -> str | None:
    """Say what is wrong with a class attribute without a type that pydantic takes for a setting, as no base declares it."""
    found = re.search(r"non-annotated attribute was detected: `(\w+) = ", str(error))
    if found is None:
        return None
    name, who = found[1], _class_of(error)
    kinds = {name: kind for kind, base in BASES.items() for name in words_of(base)}
    if name in kinds and isinstance(inspect.getattr_static(BASES[kinds[name]], name), property):
        return f"{who} says `{name}` without a type, and settings decide it; write a property"
    if name in kinds:
        return f"{who} says `{name}`, a word of {_a(kinds[name])}, and is none; remove or rename it"
    if name in FORMER:
        return f"{who} says `{name}`, which is a word no more; `{FORMER[name]}` says it now"
    if near := get_close_matches(name, kinds, 1, NEAR):
        return f"{who} says `{name}`, which is no word; did you mean `{near[0]}`?"
    return f"{who} says `{name}` without a type; a setting is written `{name}: int = Field(3, description=...)`, say"


def _class_of(error: PydanticUserError) -> str:
    """Name the class that pydantic was making; the error itself does not say it, what it was made of does."""
    for frame, _ in walk_tb(error.__traceback__):
        namespace = frame.f_locals.get("namespace")
        if isinstance(namespace, Mapping) and "__qualname__" in namespace:
            return f"the class {namespace['__qualname__']}"
    return "a class"


def kind_of(strategy: type) -> str | None:
    """The kind whose base a class derives from."""
    return next((kind for kind, base in BASES.items() if issubclass(strategy, base)), None)


def _misused(strategy: type, kind: str) -> Iterator[str]:
    words = words_of(BASES[kind])
    of_others = {name: other for other, base in BASES.items() for name in words_of(base) if name not in words}
    for name, value in _attributes(strategy).items():
        if name in words:
            if isinstance(value, FieldInfo):
                yield f"has a setting `{name}`, which is a word of {_a(kind)}; to say the word, write `{name} = ...` without a type"
            elif not isinstance(value, PROPERTIES) and (what := words[name].wrong(value)):
                yield f"says `{name}`: {what}"
        elif isinstance(value, FieldInfo) and value.description:
            continue  # a setting, which its author names
        elif name in of_others and not isinstance(value, FieldInfo):
            yield f"says `{name}`, a word of {_a(of_others[name])}, not of {_a(kind)}; remove or rename it"
        elif near := get_close_matches(name, [word.name for word in words.values() if _fits(word, value)], 1, NEAR):
            yield f"says `{name}`, which is no word of {_a(kind)}; did you mean `{near[0]}`?"


def _misspelled_methods(strategy: type, base: type, kind: str) -> Iterator[str]:
    """Methods near one that the base declares for classes to write: nobody would call them."""
    declared = [name for name, value in vars(base).items() if _is_method(name, value)]
    for owner in strategy.__mro__[: strategy.__mro__.index(base)]:
        for name, value in vars(owner).items():
            if (
                _is_method(name, value)
                and name not in declared
                and (near := get_close_matches(name, declared, 1, NEAR))
            ):
                yield f"has `{name}()`, which is no method of {_a(kind)}; did you mean `{near[0]}()`?"


def _is_method(name: str, value: Any) -> bool:
    return not name.startswith(("_", "model_")) and inspect.isroutine(value)


def _attributes(strategy: type) -> dict[str, Any]:
    """What a class says beside methods, in its own bases too: class attributes, properties and settings."""
    declared = {owner for base in BASES.values() for owner in base.__mro__}
    found: dict[str, Any] = {}
    for owner in reversed([one for one in strategy.__mro__ if one not in declared]):
        for name, value in vars(owner).items():
            if name.startswith(("_", "model_")):
                continue
            if isinstance(value, PROPERTIES) or not (inspect.isroutine(value) or inspect.isclass(value)):
                found[name] = value
    settings: dict[str, FieldInfo] = strategy.model_fields  # type: ignore[attr-defined]
    return found | settings


def _fits(word: Word, value: Any) -> bool:
    """Whether a value could be meant as that of a word: `tasks`, a list, is not `asks` misspelled, which is True or False."""
    if isinstance(value, FieldInfo):
        return not value.is_required() and word.wrong(value.get_default(call_default_factory=True)) is None
    if isinstance(value, PROPERTIES):
        return True  # what it gives is not known before there are settings
    return word.wrong(value) is None


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
