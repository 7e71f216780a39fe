"""What mergekit's methods take, with mergekit's defaults, and which of our strategies does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    kind: of its values. default: mergekit's; None where it has none. per_model: it may differ between models. varies: it
    may differ between tensors. setting: ours for it; None where it changes no result. said_as: what values are called there.
    """

    name: str
    kind: type[bool] | type[int] | type[float] = float
    default: float | bool | None = None
    per_model: bool = False
    varies: bool = False
    setting: str | None = None
    written_as: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """One of mergekit's methods.

    base: whether differences start from it, or base_model is the `first` of the models, or one more `input`. inputs: how few
    and how many models there may be beside the base. fixed: settings that make our strategy this method.
    """

    use: str
    parameters: tuple[Parameter, ...] = ()
    base: Literal["needed", "first", "optional", "input"] = "needed"
    inputs: tuple[int, int | None] = (1, None)
    fixed: Mapping[str, Any] = field(default_factory=dict)


_INT8_MASK = Parameter("int8_mask", bool, False)
_WEIGHT = Parameter("weight", per_model=True, varies=True, setting="weight")


def _yes_or_no(name: str, default: bool) -> Parameter:
    return Parameter(name, bool, default, setting=name)


def _number(name: str, default: float, kind: type[int] | type[float] = float) -> Parameter:
    return Parameter(name, kind, default, setting=name)


def _varying(name: str, default: float) -> Parameter:
    return Parameter(name, float, default, varies=True, setting=name)


def _per_model(name: str, default: float) -> Parameter:
    return Parameter(name, float, default, per_model=True, varies=True, setting=name)


def _differences(
    use: str, *own: Parameter, normalize: bool, rescale: bool, drops: bool = True, fixed: Mapping[str, Any] = _NOTHING
) -> Method:
    """Make one of the methods on differences from a base. drops: some of them, so that rescaling has an effect."""
    rescaling = Parameter("rescale", bool, rescale, setting="rescale", written_as={True: "l1", False: "none"})
    if not drops:
        rescaling = Parameter("rescale", bool, rescale)
    density = (_per_model("density", 1.0),) if drops else ()
    scale = Parameter("lambda", float, 1.0, varies=True, setting="lambda_")
    shared = (_yes_or_no("normalize", normalize), rescaling, scale)
    return Method(use, (_WEIGHT, *density, *own, *shared), fixed=fixed)


_T = Parameter("t", varies=True, setting="t")
_EPSILON = _per_model("epsilon", 0.15)
_GAMMA = _per_model("gamma", 0.01)

METHODS: Mapping[str, Method] = {
    "linear": Method("weighted", (_WEIGHT, _yes_or_no("normalize", True)), base="input"),
    "slerp": Method("slerp", (_T,), base="first", inputs=(1, 1)),
    "multislerp": Method(
        "multislerp", (_WEIGHT, _yes_or_no("normalize_weights", True), _number("eps", 1e-8)), base="optional"
    ),
    "task_arithmetic": _differences("task-arithmetic", normalize=False, rescale=False, drops=False),
    "ties": _differences("ties", normalize=True, rescale=False),
    "dare_linear": _differences("dare-linear", normalize=False, rescale=True),
    "dare_ties": _differences("dare-ties", normalize=False, rescale=True),
    "della": _differences("della", _EPSILON, normalize=True, rescale=True, fixed={"elect": "weighted"}),
    "della_linear": _differences("della", _EPSILON, normalize=False, rescale=True, fixed={"elect": "none"}),
    "breadcrumbs": _differences("breadcrumbs", _GAMMA, normalize=False, rescale=False, fixed={"elect": "none"}),
    "breadcrumbs_ties": _differences(
        "breadcrumbs", _GAMMA, normalize=False, rescale=False, fixed={"elect": "weighted"}
    ),
    "model_stock": Method("model-stock", (_yes_or_no("filter_wise", False),), inputs=(2, None)),
    "nearswap": Method("nearswap", (_T,), inputs=(1, 1)),
    "sce": Method("sce", (_varying("select_topk", 1.0),)),
    "karcher": Method("karcher", (_number("max_iter", 10, int), _number("tol", 1e-5)), base="input"),
    "passthrough": Method("passthrough", (_per_model("scale", 1.0),), base="input", inputs=(1, 1)),
    "nuslerp": Method(
        "mergekit",
        (_WEIGHT, _yes_or_no("nuslerp_row_wise", False), _yes_or_no("nuslerp_flatten", True)),
        base="optional",
        inputs=(2, 2),
    ),
    "arcee_fusion": Method("mergekit", inputs=(1, 1)),
    "ram": Method("mergekit", (_varying("epsilon", 1e-5),)),
    "ramplus_tl": Method("mergekit", (_varying("r", 0.1), _varying("alpha", 0.2), _varying("epsilon", 1e-5))),
}
"""Every method that mergekit 0.1.5 registers."""

PARAMETERS = frozenset({
    *(parameter.name for method in METHODS.values() for parameter in method.parameters),
    "int8_mask", "density", "embed_slerp",
})  # fmt: skip
"""Every parameter that some method takes, or took in an earlier mergekit. It passes over those that a method does not take."""


def parameters_of(method: Method) -> dict[str, Parameter]:
    """Give a method's parameters by name, with `int8_mask`, which is about mergekit's memory and may stand anywhere."""
    return {parameter.name: parameter for parameter in (*method.parameters, _INT8_MASK)}
