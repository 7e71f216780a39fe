"""Parameters of a merge: numbers, gradients and filters, looked up as mergekit looks them up.

The nearest scope wins: a source, then its slice, then the module, then the whole configuration, then the default. A list of
rules none of which fits a tensor leaves it to the next scope.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aya_core.api import MergeParameter, RecipeError, Rule, did_you_mean
from aya_recipe.merge.mergekit_config import keys
from aya_recipe.merge.mergekit_config.layout import Layout, Reference, Source
from aya_recipe.merge.mergekit_config.methods import PARAMETERS, Method, Parameter, parameters_of

_TRUE = ("true", "t", "yes", "y", "on", "1")
_FALSE = ("false", "f", "no", "n", "off", "0")
_LAYER_NUMBER = re.compile(r"(^|\.)\d+(\.|$)")


class Scope(NamedTuple):
    """Parameters that stand together. own: whether they are one model's. part: the slice they hold for; None means all."""

    rules: Mapping[str, tuple[Rule, ...]]
    where: str
    slice_index: int | None = None

    def of(self, name: str) -> tuple[Rule, ...]:
        """Give the rules for a parameter."""
        return tuple(rule._replace(slice_index=self.slice_index) for rule in self.rules.get(name, ()))


class Parameters:
    """All parameters of a configuration, read and checked."""

    def __init__(
        self, layout: Layout, method: Method, method_name: str, base: Reference | None, ignored: keys.Ignored
    ) -> None:
        """Read them. Raises RecipeError for one that is misspelled, or that is no number or boolean.

        ignored: takes note of those that the method does not take there.
        """
        self.layout, self.method, self.method_name, self.ignored = layout, method, method_name, ignored
        self.base = base if method.base != "input" else None
        several = len(layout.slices) > 1
        self.shared = [self._read(written, where) for written, where in layout.shared]
        self.slices: list[Scope] = []
        self.sources: list[dict[Reference, Scope]] = []
        for index, piece in enumerate(layout.slices):
            slice_index = index if several else None
            self.slices.append(self._read(piece.parameters, f"{piece.where}.parameters", slice_index))
            self.sources.append({source.model: self._read_source(source, slice_index) for source in piece.sources})

    @property
    def models(self) -> tuple[Reference, ...]:
        """The models beside the base."""
        return tuple(model for model in self.layout.models if model != self.base)

    def _read_source(self, source: Source, slice_index: int | None) -> Scope:
        scope = self._read(source.parameters, f"{source.where}.parameters", slice_index)
        known = parameters_of(self.method)
        kept = {}
        for name, rules in scope.rules.items():
            if name == "int8_mask":
                continue
            if not known[name].per_model:
                self.ignored.note(
                    f"{scope.where}.{name}",
                    f"{name} holds for all models together, and is read from the parameters at the top",
                )
            elif source.model == self.base:
                self.ignored.note(f"{scope.where}.{name}", f"the base has no {name} in {self.method_name}")
            else:
                kept[name] = rules
        return scope._replace(rules=kept)

    def _read(self, written: Any, where: str, slice_index: int | None = None) -> Scope:
        known = parameters_of(self.method)
        if not isinstance(written, Mapping):
            raise RecipeError(f"{where}: {written!r}, expected a mapping of parameters")
        for name in written:
            if name in known:
                continue
            if name not in PARAMETERS and keys.is_near(str(name), PARAMETERS):
                raise RecipeError(
                    f"{where}.{name}: {self.method_name} has no such parameter; {did_you_mean(str(name), PARAMETERS)}"
                )
            self.ignored.note(f"{where}.{name}", f"{self.method_name} takes no {name}")
        rules = {
            name: _rules(value, known[name], f"{where}.{name}") for name, value in written.items() if name in known
        }
        return Scope(rules, where, slice_index)

    def value(self, parameter: Parameter, names: Mapping[Reference, str]) -> Any:
        """Give a parameter's value: plain where it is the same everywhere, else `MergeParameter`, by model where models differ."""
        if not parameter.varies:
            return self._constant(parameter)
        if not parameter.per_model:
            return _plain(MergeParameter.of(self._shared_rules(parameter)))
        of = {names[model]: self._rules_of(parameter, model) for model in self.models}
        return _plain(MergeParameter.by_model(of))

    def _shared_rules(self, parameter: Parameter) -> list[Rule]:
        scopes = [*self.slices, *self.shared]
        rules = [rule for scope in scopes for rule in scope.of(parameter.name)]
        for piece, scope in zip(self.layout.slices, self.slices, strict=True):
            self._check_given(parameter, [scope, *self.shared], piece.where)
        return [*rules, *_default(parameter)]

    def _rules_of(self, parameter: Parameter, model: Reference) -> list[Rule]:
        rules: list[Rule] = []
        offset = 0
        for piece, around, sources in zip(self.layout.slices, self.slices, self.sources, strict=True):
            if model in sources:
                source = next(source for source in piece.sources if source.model == model)
                self._check_given(parameter, [sources[model], around, *self.shared], source.where)
                if source.first not in (None, offset):
                    self._check_filters(parameter, [sources[model], around, *self.shared])
                rules += [*sources[model].of(parameter.name), *around.of(parameter.name)]
            offset += piece.length or 0
        rules += [rule for scope in self.shared for rule in scope.of(parameter.name)]
        return [*rules, *_default(parameter)]

    def _check_given(self, parameter: Parameter, scopes: Sequence[Scope], where: str) -> None:
        if parameter.default is None and not any(parameter.name in scope.rules for scope in scopes):
            raise RecipeError(
                f"{where}: {self.method_name} needs a {parameter.name} here, for which mergekit has no default; "
                f"add {parameter.name} to its parameters, or to the parameters at the top"
            )

    def _check_filters(self, parameter: Parameter, scopes: Sequence[Scope]) -> None:
        """Refuse a filter by layer number where layers move: mergekit means the model's number, and we the merged one."""
        for scope in scopes:
            for rule in scope.of(parameter.name):
                if rule.filter is not None and _LAYER_NUMBER.search(rule.filter):
                    raise RecipeError(
                        f"{scope.where}.{parameter.name}: filter '{rule.filter}' has the number of a layer, which changes "
                        "in this merge; filter by another part of the name, or give the slice a value of its own"
                    )

    def _constant(self, parameter: Parameter) -> Any:
        found = set()
        for scope in self.slices:
            rules = [rule for each in (scope, *self.shared) for rule in each.of(parameter.name)]
            for rule in (*rules, *_default(parameter)):
                found |= set(rule.values)
                if rule.filter is None:
                    break
        if len(found) > 1:
            raise RecipeError(
                f"{self.shared[-1][1]}.{parameter.name}: differs between tensors; expected one value for the whole merge"
            )
        return parameter.kind(found.pop())


def _default(parameter: Parameter) -> tuple[Rule, ...]:
    return () if parameter.default is None else (Rule((float(parameter.default),)),)


def _plain(value: MergeParameter) -> MergeParameter | float:
    return value if value.constant is None else value.constant


def _rules(written: Any, parameter: Parameter, where: str) -> tuple[Rule, ...]:
    if isinstance(written, Mapping):
        return (_rule(written, parameter, where),)
    if isinstance(written, (list, tuple)) and written and all(isinstance(entry, Mapping) for entry in written):
        return tuple(_rule(entry, parameter, f"{where}[{index}]") for index, entry in enumerate(written))
    return (Rule(_values(written, parameter, where)),)


def _rule(written: Mapping[str, Any], parameter: Parameter, where: str) -> Rule:
    known = keys.mapping(written, ("filter", "value"), where, "{filter: ..., value: ...}")
    wanted = known.get("filter")
    if wanted is not None and not isinstance(wanted, str):
        raise RecipeError(f"{where}.filter: {wanted!r}, expected a part of the names of tensors, such as mlp")
    if "value" not in known:
        raise RecipeError(f"{where}: no value; expected {{filter: ..., value: ...}}")
    return Rule(_values(known["value"], parameter, f"{where}.value"), None if wanted == "*" else wanted)


def _values(written: Any, parameter: Parameter, where: str) -> tuple[float, ...]:
    listed = written if isinstance(written, (list, tuple)) else [written]
    read = _boolean if parameter.kind is bool else _finite
    values = [read(value) for value in listed]
    if not values or None in values:
        expected = "true or false" if parameter.kind is bool else "a finite number"
        more = ", a list of them (a gradient over the layers), or a list of {filter, value}" if parameter.varies else ""
        raise RecipeError(f"{where}: {written!r}, expected {expected}{more}")
    if parameter.kind is int and not all(float(value).is_integer() for value in values if value is not None):
        raise RecipeError(f"{where}: {written!r}, expected a whole number")
    return tuple(float(value) for value in values if value is not None)


def _boolean(written: Any) -> bool | None:
    """Read a boolean as mergekit does, to whom `yes`, `on` and 1 are true."""
    text = str(int(written)) if isinstance(written, (int, float)) and written in (0, 1) else written
    if not isinstance(text, str) or text.lower() not in (*_TRUE, *_FALSE):
        return None
    return text.lower() in _TRUE


def _finite(written: Any) -> float | None:
    """Read a number; text that spells one counts, as in mergekit: YAML 1.1 takes 1e-3 for text."""
    if isinstance(written, bool) or not isinstance(written, (int, float, str)):
        return None
    try:
        value = float(written)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
