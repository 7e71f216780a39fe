"""Any method of mergekit, by mergekit itself, on our engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aya_core.api import AyaError, Field, MergeParameter, MergeStrategy, Place, TensorMerge, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

_ONE_AT_A_TIME = threading.Lock()
"""mergekit's random methods draw from torch's generator, of which a process has one."""


class Mergekit(MergeStrategy):
    """Merge with a method of mergekit, tensor by tensor, in float32.

    mergekit's own function is called on whole tensors; files, architectures and dtypes are our engine's. So models merge
    that mergekit does not know, such as Aya Expanse. Methods that we have ourselves are faster, need less memory, and draw
    the same random numbers on any machine; here torch's generator is seeded for each tensor, and what it draws may
    change with the version of torch.

    The recipe's weights are the method's `weight`, where it has one; otherwise they are refused unless they are equal.
    The base is given to methods that require one, and to those that can use one where `from_base` says so.

    Source: Goddard et al. 2024, "Arcee's MergeKit", arXiv 2403.13257.
    """

    imports = ("torch", "mergekit")
    extra = "mergekit"

    method: str = Field(description="mergekit's name of the method: nuslerp, ram, arcee_fusion, ...")
    parameters: dict[str, Any] = Field(
        {}, description="Its parameters but weight, by mergekit's names; numbers may vary as in our merges."
    )
    from_base: bool = Field(False, description="Give the base to a method that can do without (nuslerp, multislerp).")

    @property
    def needs_base(self) -> bool:  # type: ignore[override]
        """See `MergeStrategy`. mergekit is asked; where it is not installed, `from_base` alone says so."""
        return self.from_base or (find_spec("mergekit") is not None and _policy(self.method) == "required")

    @property
    def least_models(self) -> int:  # type: ignore[override]
        """See `MergeStrategy`. mergekit is asked, where it is installed."""
        return self._bounds()[0]

    @property
    def most_models(self) -> int | None:  # type: ignore[override]
        """See `MergeStrategy`. mergekit is asked, where it is installed."""
        return self._bounds()[1]

    def _bounds(self) -> tuple[int, int | None]:
        """How many models a method takes beside the base, at least and at most."""
        contract = None if find_spec("mergekit") is None else _contract(self.method)
        if contract is None:
            return 1, None
        beside = 1 if self.needs_base else 0
        most = [contract.max_non_base] if contract.max_non_base is not None else []
        most += [contract.max_inputs - beside] if contract.max_inputs is not None else []
        return max(1, contract.min_non_base or 1, contract.min_inputs - beside), min(most, default=None)

    def build(self) -> TensorMerge:
        """Make the merge. Raises AyaError for a method, a parameter or a value that mergekit does not know."""
        from mergekit import merge_methods

        methods = {method.spec.name: method for method in merge_methods.registered_methods()}
        if self.method not in methods:
            raise AyaError(f"merge 'mergekit': no method '{self.method}'; {did_you_mean(self.method, methods)}")
        spec = methods[self.method].spec
        known = {parameter.name: parameter for parameter in spec.parameters}
        for name in self.parameters:
            if name == "weight":
                raise AyaError(
                    "merge 'mergekit': weights are not among its parameters; give them as the merge's weights"
                )
            if name not in known:
                raise AyaError(
                    f"merge 'mergekit': method '{self.method}' has no parameter '{name}'; "
                    + did_you_mean(name, known.keys() - {"weight"})
                )
        missing = [
            name for name, parameter in known.items() if parameter.required and name not in {"weight", *self.parameters}
        ]
        if missing:
            raise AyaError(f"merge 'mergekit': method '{self.method}' needs {' and '.join(missing)} in its parameters")
        policy = spec.contract.base.value
        if self.from_base and policy not in ("required", "optional"):
            raise AyaError(f"merge 'mergekit': method '{self.method}' uses no base; drop from_base")
        return MergekitMerge(
            self,
            {name: _checked(self.method, known[name], value) for name, value in self.parameters.items()},
            weigh="weight" in known,
            per_input=frozenset(name for name, parameter in known.items() if parameter.scope.value != "shared"),
            needs_base=policy == "required" or self.from_base,
        )


@dataclass(frozen=True)
class MergekitMerge:
    """See `Mergekit`. per_input: parameters that have one value for each model."""

    settings: Mergekit
    parameters: Mapping[str, Any]
    weigh: bool
    per_input: frozenset[str]
    needs_base: bool

    def __call__(
        self, tensors: Sequence[Tensor], weights: Sequence[float], base: Tensor | None, place: Place
    ) -> Tensor:
        """Return what mergekit makes of one tensor. Raises AyaError for what it refuses."""
        import torch
        from mergekit.merge_methods.api import merge_tensors

        from aya_plugins.merges.refusals import refuse_weights

        method = self.settings.method
        parameters = {name: self._value(name, value, place) for name, value in self.parameters.items()}
        if self.weigh:
            parameters["weight"] = list(weights)
        else:
            refuse_weights("mergekit", weights, f"drop them; method '{method}' has no weights")
        inputs = [*tensors] if base is None else [base, *tensors]
        devices = [tensor.device for tensor in inputs[:1] if tensor.is_cuda]
        with _ONE_AT_A_TIME, torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(place.key)
            try:
                merged: Tensor = merge_tensors(
                    inputs, method, parameters=parameters, base_index=None if base is None else 0, name=place.name
                )
            except (ValueError, TypeError) as error:
                raise AyaError(f"merge 'mergekit': method '{method}' refuses '{place.name}': {error}") from error
        is_input = any(merged.data_ptr() == tensor.data_ptr() for tensor in inputs)
        return merged.clone() if is_input else merged

    def _value(self, name: str, value: Any, place: Place) -> Any:
        if not isinstance(value, MergeParameter):
            return value
        return list(place.values(value)) if name in self.per_input else place.value(value)


def _policy(method: str) -> str | None:
    """Say whether a method of mergekit takes a base: required, optional, or neither; None for one that it does not know."""
    contract = _contract(method)
    return None if contract is None else str(contract.base.value)


@cache
def _contract(method: str) -> Any:
    """What mergekit says of the models that a method takes; None for one that it does not know."""
    from mergekit import merge_methods

    return next(
        (known.spec.contract for known in merge_methods.registered_methods() if known.spec.name == method), None
    )


def _checked(method: str, parameter: Any, value: Any) -> Any:
    """Read a parameter's value as mergekit would, or as one that varies."""
    try:
        if isinstance(value, (bool, str)) or value is None or parameter.value_type is bool:
            return parameter.validate(value)
        read = MergeParameter(value)
        for number in read.numbers:
            parameter.validate(number)
    except ValueError as error:
        raise AyaError(f"merge 'mergekit': {method}: parameter '{parameter.name}': {error}") from None
    return read
