"""Strategies: frozen settings with a `build()`.

A strategy class is what a recipe's `{use: name, ...}` is validated against. It is cheap to import; `build()` imports
the heavy libraries and returns something that satisfies the Protocol of its kind (see `kinds.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializationInfo,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aya_core.contract.explain import SettingsError
from aya_core.contract.surroundings import Surroundings

Built = TypeVar("Built", covariant=True)
Read = TypeVar("Read")


class Settings(BaseModel):
    """Settings as we write them: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Strategy(Settings, Generic[Built]):
    """Settings of one way to do one thing. Derive from the base of a kind, such as `ArbiterStrategy`, and write `build()`.

    `Strategy[Arbiter]` is another name of `ArbiterStrategy`. The first line of the docstring and every field's description are
    printed by `aya strategies show`.
    """

    version: ClassVar[int] = 1
    """Of its code: results of other versions are made again. Raise it with a change that changes results. Where a
    package ships `sealed.json`, that alone makes results anew; without, any change of code does."""

    imports: ClassVar[tuple[str, ...]] = ()
    """Modules that `build()` and what it returns import. The runner loads them once for all heavy nodes, and a missing
    one is reported before any work starts."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that must be installed, too, but that only the process of the node itself may import: engines that start
    threads or touch a device when they are imported."""

    remote: ClassVar[bool] = False
    """Whether the work is done by a server. Nodes whose heavy strategies are all remote run beside others, whatever
    `machine.jobs` is."""

    execution_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that say where and how fast the work is done, not what comes of it (but for rounding). Changing them redoes
    nothing. Those of its bases are among them."""

    later_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that came with a later version. At their default they are no part of what was asked, so that answers which were paid
    for before they came can be kept."""

    extra: ClassVar[str | None] = None
    """The extra of the distribution that brings `imports`, named in the message when one is missing."""

    @property
    def needs_of_settings(self) -> tuple[str, ...]:
        """Modules that must be installed for some of its settings, beside `imports` and `needs`."""
        return ()

    @property
    def code_modules(self) -> tuple[str, ...]:
        """Modules whose code its settings call for, such as `my_checks` of a setting `my_checks:close_enough`.

        Their code counts in fingerprints, as the strategy's own does.
        """
        return ()

    @property
    def published(self) -> str:
        """Where the files that its settings name are published and under which license, to be told when one is missing."""
        return ""

    def obstacles(self, here: Surroundings) -> Iterator[str]:
        """Say why it cannot work here, a sentence for each reason, from its settings, the machine and config.json alone.

        Called by `aya check`, and by `aya run` before any work. Name the setting to change, and what else would do. What cannot be
        told is no obstacle.
        """
        return iter(())

    @abstractmethod
    def build(self) -> Built:
        """Make the thing itself. Called in the process that does the work, once per node."""
        raise NotImplementedError

    def __class_getitem__(cls, built: Any) -> Any:
        """Give the base of the kind that builds this, so that `Strategy[Arbiter]` declares the words of arbiters, too."""
        bases = {_base_for(part) for part in get_args(built) or (built,)} if cls is Strategy else {None}
        return bases.pop() if len(bases) == 1 and None not in bases else super().__class_getitem__(built)


_BASES: dict[type, type[Strategy[Any]]] = {}
"""The base of a kind by the Protocols that its strategies may build; `base_of` adds to it when a kind is declared."""

Base = TypeVar("Base", bound="type[Strategy[Any]]")


def base_of(*protocols: type) -> Callable[[Base], Base]:
    """Declare the base of a kind, whose strategies build any of these."""

    def declare(base: Base) -> Base:
        _BASES.update(dict.fromkeys(protocols, base))
        return base

    return declare


def _base_for(built: Any) -> type[Strategy[Any]] | None:
    return next((_BASES[protocol] for protocol in getattr(built, "__mro__", ()) if protocol in _BASES), None)


def _keep_type(cls: Any, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Validate a class of text as a string that is not empty, and keep the class, by which the plan finds it."""
    text = core_schema.str_schema(min_length=1)
    written = core_schema.plain_serializer_function_ser_schema(str)
    return core_schema.no_info_after_validator_function(cls, text, serialization=written)


def _say_meaning(cls: Any, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Tell editors what may stand here."""
    return {"type": "string", "minLength": 1, "description": cls.meaning}


class Reference(str):
    """A string in a recipe that may name the output of an earlier stage. The plan replaces it by a path before
    `build()`."""

    accepts: ClassVar[frozenset[str]] = frozenset()
    """Kinds of artifact it may name."""

    meaning: ClassVar[str] = ""

    __get_pydantic_core_schema__ = classmethod(_keep_type)
    __get_pydantic_json_schema__ = classmethod(_say_meaning)


class ModelRef(Reference):
    """A model: a stage that makes checkpoints, a local folder (with a slash in it) or a hub id (owner/name, or owner/name@revision).

    A strategy is built with the folder that holds its files, whichever it is.
    """

    accepts = frozenset({"checkpoint"})
    meaning = "A stage that makes checkpoints, a local folder, or a hub id: owner/name, or owner/name@revision."


class RowsRef(Reference):
    """Rows made by an earlier stage, by the name that it gives them, or the folder of such an artifact."""

    accepts = frozenset({"prompts", "demonstrations", "preferences", "groups", "completions", "judged"})
    meaning = "Rows made by an earlier stage, by the name that it gives them, or the folder of such an artifact."


class LocalFile(str):
    """A file or folder of the user's. It counts in fingerprints by its content, not by its path."""

    meaning: ClassVar[str] = "A local file or folder, relative to the recipe."

    __get_pydantic_core_schema__ = classmethod(_keep_type)
    __get_pydantic_json_schema__ = classmethod(_say_meaning)


KIND_KEY = "x-aya-kind"
"""Stands in a JSON Schema for all strategies of a kind, until `schema.py` knows which are installed."""

BESIDE_KEY = "x-aya-beside"
"""Lists, beside `KIND_KEY`, the settings of a stage that may stand among the strategy's own."""

OF_EACH_MODEL = "teacher-of-each-model"
"""The definition in a JSON Schema of teachers whose model the stage fills in."""

EACH = "<each>"
"""Stands for the model of a strategy that a stage applies to several models in turn (see `nested_for_each_model`)."""


def nested(kind: str) -> Any:
    """Make the type of a field that holds another strategy: `judge: nested("arbiter")` takes `{use: name, ...}`.

    A built strategy object is accepted too, for use from Python.
    """
    return _nested(kind, lambda spec: spec)


def nested_or_several(kind: str) -> Any:
    """Make the type of a field that holds another strategy, or a list of them, which becomes a tuple."""
    return _nested(kind, lambda spec: spec, several=True)


def short_schema(schema: JsonSchemaValue, kind: str, beside: Sequence[str]) -> JsonSchemaValue:
    """Tell editors that `{use: name, ...}` is short for settings which hold a strategy. beside: the others of these settings.

    For `__get_pydantic_json_schema__` of such settings, whose own schema is given.
    """
    return {"anyOf": [schema, {KIND_KEY: kind, BESIDE_KEY: list(beside)}]}


def nested_for_each_model() -> Any:
    """Make the type of a teacher field whose `model` the stage fills in, once for every model it is applied to."""
    return _nested("teacher", lambda spec: {"model": EACH, **spec}, definition=OF_EACH_MODEL)


def reference_or_nested(reference: type[Reference], kind: str) -> Any:
    """Make the type of a field that names earlier rows or models, or holds a strategy that makes them."""
    return _nested(kind, lambda spec: spec, reference)


def _nested(
    kind: str,
    complete: Callable[[dict[str, Any]], dict[str, Any]],
    reference: type[Reference] | None = None,
    *,
    definition: str | None = None,
    several: bool = False,
) -> Any:
    def resolve(value: Any, info: ValidationInfo) -> Any:
        if several and isinstance(value, (list, tuple)):
            return _each(value, lambda one: resolve(one, info))
        if reference is not None and isinstance(value, str):
            return reference(value)
        if not isinstance(value, dict):
            if isinstance(value, (Strategy, Reference)):
                return value
            raise ValueError(f"expected a {kind} as {{use: name, ...}}")
        registry = (info.context or {}).get("registry")
        if registry is None:
            raise ValueError(f"a {kind} written as {{use: ...}} needs a registry; pass the strategy object instead")
        return registry.validate(kind, complete(value))

    def dump(value: Any, info: SerializationInfo) -> Any:
        if isinstance(value, tuple):
            return [dump(one, info) for one in value]
        if not isinstance(value, Strategy):
            return value if value is None else str(value)
        context = info.context if isinstance(info.context, dict) else {}
        registry = context.get("registry")
        if registry is None:
            return value.model_dump()
        return registry.dump(kind, value, essential=context.get("essential", False))

    schema: dict[str, Any] = {KIND_KEY: definition or kind}
    if several:
        schema = {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
    if reference is not None:
        schema = {"anyOf": [{"type": "string", "description": reference.meaning}, schema]}
    return Annotated[Any, BeforeValidator(resolve), PlainSerializer(dump), WithJsonSchema(schema)]


def _each(values: Sequence[Any], resolve: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Resolve each of several strategies; what is wrong is told at its place in the list."""
    found, problems = [], []
    for index, value in enumerate(values):
        try:
            found.append(resolve(value))
        except SettingsError as error:
            problems += [((index, *path), what) for path, what in error.problems]
        except ValueError as error:
            problems.append(((index,), str(error)))
    if problems:
        raise SettingsError(problems)
    return tuple(found)


def find(
    settings: Any, wanted: type[Read], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Read]]:
    """Yield every value of a type inside settings, with the path that leads to it."""
    if isinstance(settings, wanted):
        yield path, settings
    elif isinstance(settings, BaseModel):
        for name in type(settings).model_fields:
            yield from find(getattr(settings, name), wanted, (*path, name))
    elif isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from find(value, wanted, (*path, key))
    elif isinstance(settings, Sequence) and not isinstance(settings, (str, bytes)):
        for index, value in enumerate(settings):
            yield from find(value, wanted, (*path, index))


def strategies_in(settings: Any) -> Iterator[Strategy[Any]]:
    """Yield every strategy inside settings, those inside other strategies too."""
    return (strategy for _, strategy in strategies_with_paths(settings))


def strategies_with_paths(
    settings: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Strategy[Any]]]:
    """Yield every strategy inside settings, a strategy's own included, with the path that leads to it."""
    for found, strategy in find(settings, Strategy, path):  # type: ignore[type-abstract]
        yield found, strategy
        for name in type(strategy).model_fields:
            yield from strategies_with_paths(getattr(strategy, name), (*found, name))
