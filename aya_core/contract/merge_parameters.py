"""A number of a merge that may differ between layers, tensors and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aya_core.contract.errors import AyaError
from aya_core.contract.json_text import is_number


class Rule(NamedTuple):
    """What holds for the tensors whose name contains `filter`, in one slice of the model; None means any.

    values: one number, or several, which are a gradient over the layers.
    """

    values: tuple[float, ...]
    filter: str | None = None
    slice_index: int | None = None

    def fits(self, name: str, slice_index: int) -> bool:
        """Whether it holds for a tensor."""
        return (self.filter is None or self.filter in name) and self.slice_index in (None, slice_index)

    def at(self, depth: float) -> float:
        """Interpolate. depth: 0 is the first layer, 1 the last."""
        scaled = depth * (len(self.values) - 1)
        first = int(scaled)
        if first == scaled:
            return self.values[first]
        share = scaled - first
        return (1 - share) * self.values[first] + share * self.values[first + 1]


class MergeParameter:
    """A number that may differ between layers, tensors and models, as mergekit's parameters do.

    It is written as one of

        0.3                                the same everywhere
        [0.2, 0.8]                         a gradient: linear over the layers, from the first to the last
        [{filter: mlp, value: 0.5}, 0.3]   the first rule whose filter is part of the tensor's name; a value may be a gradient
        {europe: 0.3, asia: [0.1, 0.9]}    any of these, by model

    A rule with a slice, as in {slice: 1, value: 0.5}, holds for that slice of a model put together of several (`MergeJob.slices`).

    A tensor outside the layers (embeddings, head, last norm) has the first value of a gradient. Comparing with a number
    compares all values, so that `Field(gt=0, le=1)` bounds them.
    """

    def __init__(self, written: Any) -> None:
        """Read it. Raises ValueError that says what was expected."""
        self._of: dict[str | None, tuple[Rule, ...]]
        if isinstance(written, MergeParameter):
            self._of = written._of
        elif isinstance(written, Mapping) and "value" not in written:
            if not written:
                raise ValueError("got {}; expected a value for each of the models")
            self._of = {str(model): _reachable(_rules(value)) for model, value in written.items()}
        else:
            self._of = {None: _reachable(_rules(written))}

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> MergeParameter:
        """Make one of rules, the first that fits holds."""
        made = cls(0.0)
        made._of = {None: _reachable(rules)}
        return made

    @classmethod
    def by_model(cls, rules: Mapping[str, Sequence[Rule]]) -> MergeParameter:
        """Make one of the rules of each model; where they are equal, it does not differ between models."""
        each: dict[str | None, tuple[Rule, ...]] = {str(model): _reachable(of) for model, of in rules.items()}
        if len(set(each.values())) == 1:
            return cls.of(next(iter(each.values())))
        made = cls(0.0)
        made._of = each
        return made

    @property
    def written(self) -> Any:
        """Say it in plain data, which reads back as the same."""
        if None in self._of:
            return _written(self._of[None])
        return {model: _written(rules) for model, rules in self._of.items()}

    @property
    def models(self) -> frozenset[str] | None:
        """The models it differs between; None where it is the same for all."""
        return None if None in self._of else frozenset(str(model) for model in self._of)

    @property
    def filters(self) -> tuple[str, ...]:
        """Every filter in it."""
        found = (rule.filter for rules in self._of.values() for rule in rules if rule.filter is not None)
        return tuple(dict.fromkeys(found))

    @property
    def numbers(self) -> tuple[float, ...]:
        """Every number in it."""
        return tuple(value for rules in self._of.values() for rule in rules for value in rule.values)

    @property
    def constant(self) -> float | None:
        """Its value, where it is the same everywhere."""
        rules = self._of.get(None, ())
        return rules[0].values[0] if len(rules) == 1 and rules[0] == Rule(rules[0].values[:1]) else None

    def at(self, name: str, *, depth: float = 0.0, slice_index: int = 0, model: str | None = None) -> float:
        """Give its value for a tensor. Raises AyaError where no rule fits."""
        of = self._of.get(None) or self._of.get(model)
        if of is None:
            known = ", ".join(str(model) for model in self._of)
            raise AyaError(
                f"a setting of the merge is given for {known} and not for {model or 'all models together'}; "
                "give one value, or one for each of the models"
            )
        for rule in of:
            if rule.fits(name, slice_index):
                return rule.at(depth)
        whose = f" for {model}" if model else ""
        raise AyaError(
            f"no rule of a setting of the merge{whose} fits tensor '{name}': they are for {', '.join(self.filters)}; end the list with a "
            "number, which holds for all others"
        )

    def __gt__(self, bound: float) -> bool:
        return all(value > bound for value in self.numbers)

    def __ge__(self, bound: float) -> bool:
        return all(value >= bound for value in self.numbers)

    def __lt__(self, bound: float) -> bool:
        return all(value < bound for value in self.numbers)

    def __le__(self, bound: float) -> bool:
        return all(value <= bound for value in self.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MergeParameter) and self._of == other._of

    def __hash__(self) -> int:
        return hash(frozenset(self._of.items()))

    def __repr__(self) -> str:
        return f"MergeParameter({self.written!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read it from what is written, and write that."""
        return core_schema.no_info_plain_validator_function(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.written if isinstance(value, MergeParameter) else value
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Tell editors what may stand here."""
        number: dict[str, Any] = {"type": "number"}
        gradient = {"type": "array", "items": number, "minItems": 1}
        rule = {
            "type": "object",
            "properties": {
                "filter": {"type": "string"},
                "slice": {"type": "integer", "minimum": 0},
                "value": {"anyOf": [number, gradient]},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
        rules = {"type": "array", "items": {"anyOf": [number, gradient, rule]}, "minItems": 1}
        forms = [number, gradient, rule, rules]
        return {"anyOf": [*forms, {"type": "object", "additionalProperties": {"anyOf": forms}}]}


def _rules(written: Any) -> tuple[Rule, ...]:
    if isinstance(written, (list, tuple)) and any(isinstance(entry, Mapping) for entry in written):
        return tuple(_rule(entry) for entry in written)
    return (_rule(written),)


def _rule(written: Any) -> Rule:
    if not isinstance(written, Mapping):
        return Rule(_numbers(written))
    if set(written) - {"filter", "slice", "value"} or "value" not in written:
        raise ValueError(
            f"got {dict(written)!r}; expected a rule as {{filter: part of a name, value: a number or gradient}}"
        )
    wanted, slice_index = written.get("filter"), written.get("slice")
    if wanted is not None and not isinstance(wanted, str):
        raise ValueError(f"filter {wanted!r}; expected a part of the names of tensors, such as mlp or self_attn")
    if slice_index is not None and (
        isinstance(slice_index, bool) or not isinstance(slice_index, int) or slice_index < 0
    ):
        raise ValueError(f"slice {slice_index!r}; expected the number of a slice of the model, 0 for the first")
    return Rule(_numbers(written["value"]), None if wanted == "*" else wanted, slice_index)


def _reachable(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Leave out rules that come after one that fits all they fit."""
    kept: list[Rule] = []
    for rule in rules:
        if not any(k.filter in (None, rule.filter) and k.slice_index in (None, rule.slice_index) for k in kept):
            kept.append(rule)
    return tuple(kept)


def _written(rules: Sequence[Rule]) -> Any:
    listed: list[Any] = []
    for rule in rules:
        value = rule.values[0] if len(rule.values) == 1 else list(rule.values)
        narrowed = {key: on for key, on in (("filter", rule.filter), ("slice", rule.slice_index)) if on is not None}
        listed.append({**narrowed, "value": value} if narrowed else value)
    return listed[0] if len(listed) == 1 and not isinstance(listed[0], dict) else listed


def _numbers(written: Any) -> tuple[float, ...]:
    values = tuple(written) if isinstance(written, (list, tuple)) else (written,)
    if not values or not all(map(is_number, values)):
        raise ValueError(
            f"got {written!r}; expected a finite number, a list of numbers (a gradient over the layers), a list of "
            "{filter, value} rules, or any of these by model"
        )
    return tuple(float(value) for value in values)
