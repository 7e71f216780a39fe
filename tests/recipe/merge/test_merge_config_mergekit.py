"""What we read in a configuration, beside what mergekit itself plans for it."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from aya_core.contract.errors import AyaError
from aya_core.contract.merge_parameters import MergeParameter
from aya_recipe.merge.mergekit_config import read_merge_config
from aya_recipe.merge.mergekit_config.methods import METHODS, parameters_of

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
LAYERS = 4
SAID_AS = {"l1": True, "none": False}
WITHOUT_EFFECT = {"int8_mask": METHODS, "rescale": ("task_arithmetic",), "density": ("task_arithmetic",)}

numbers = st.one_of(st.floats(-2, 2), st.integers(-2, 2), st.sampled_from(["1e-3", "0.5", "-2E2"]))
values = numbers | st.lists(numbers, min_size=1, max_size=4)
truths = st.sampled_from([True, False, "yes", "off", 1, 0])


@st.composite
def rules(draw, filters):
    """Rules as mergekit writes them: one, or a list."""
    rule = st.fixed_dictionaries({"value": values}, optional={"filter": st.sampled_from(filters)})
    return draw(values | rule | st.lists(rule, min_size=1, max_size=3))


@st.composite
def configs(draw):
    """Configurations that mergekit accepts, most of them, of every method and form."""
    name = draw(st.sampled_from(sorted(METHODS)))
    method = METHODS[name]
    least, most = method.inputs
    count = draw(st.integers(least, most or 3))
    inputs = [f"org/{letter}" for letter in "abc"[:count]]
    with_base = method.base in ("needed", "first") or (method.base == "optional" and draw(st.booleans()))
    with_base = with_base or (name in ("linear", "karcher") and draw(st.booleans()))
    in_slices = draw(st.booleans())
    filters = ["self_attn", "mlp", "*", "layers.", *([] if in_slices else ["layers.1.", "2"])]

    def parameters(*, of_one_model, everywhere=False):
        given = {}
        for parameter in method.parameters:
            if of_one_model and not parameter.per_model:
                continue
            if not parameter.varies:
                if everywhere and draw(st.booleans()):
                    number = st.integers(1, 9) if parameter.kind is int else numbers
                    given[parameter.name] = draw(truths if parameter.kind is bool else number)
            elif everywhere or draw(st.booleans()):
                given[parameter.name] = draw(rules(filters))
        return {"parameters": given} if given or draw(st.booleans()) else {}

    config = {"merge_method": name, **parameters(of_one_model=False, everywhere=True)}
    if with_base:
        config["base_model"] = "org/base"
    own = method.base == "input"

    def models(among):
        return [
            {"model": model, **(parameters(of_one_model=True) if own or model != "org/base" else {})}
            for model in draw(st.permutations(among))
        ]

    if not in_slices:
        config["models"] = models([*inputs, "org/base"] if with_base and draw(st.booleans()) else inputs)
        return config
    needs_base = with_base and (not own or draw(st.booleans()))
    config["slices"] = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, LAYERS))
        taken = draw(st.lists(st.sampled_from(inputs), min_size=least, max_size=count, unique=True))
        sources = models([*taken, "org/base"] if needs_base else taken)
        for source in sources:
            first = draw(st.integers(0, LAYERS - length))
            source["layer_range"] = [first, first + length]
        config["slices"].append({"sources": sources, **parameters(of_one_model=False)})
    return config


@pytest.fixture(scope="module")
def mergekit():
    """Plan a configuration with mergekit: for every tensor its name, part, depth, and all parameters by model."""
    pytest.importorskip("mergekit")
    from mergekit.common import ModelReference
    from mergekit.config import ConfigReader, MergeConfiguration
    from mergekit.parameter_resolver import resolve_parameters
    from mergekit.plan import MergePlanner

    arch = SimpleNamespace(num_layers=lambda config: LAYERS)
    arch_info = SimpleNamespace(modules={"default": SimpleNamespace(architecture=arch)})

    def resolved(method, module, config, slice_index, t, name, names):
        reader = ConfigReader(config=config, t=t, slice_out=module.slices[slice_index], module=module)
        return resolve_parameters(
            method.spec,
            tensor_name=name,
            inputs=names,
            sources=reader.parameter_sources,
            base_model=reader.base_model,
            t=t,
        )

    def plan(written):
        config = MergeConfiguration.model_validate(written)
        planner = MergePlanner(config, arch_info, SimpleNamespace(trust_remote_code=False), None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ModelReference, "config", lambda self, trust_remote_code=False: None)
            planner.normalize_config()
        module, offset = config.modules["default"], 0
        for slice_index, piece in enumerate(module.slices):
            outside = "model.embed_tokens.weight" if slice_index == 0 else "model.norm.weight"
            names = {source.model: outside for source in piece.sources}
            yield (
                outside,
                slice_index,
                0.0,
                names,
                resolved(planner._method, module, config, slice_index, 0, outside, names),
            )
            length = piece.sources[0].layer_range[1] - piece.sources[0].layer_range[0]
            for layer in range(length):
                t = layer / (length - 1) if length > 1 else 1
                for rest in ("self_attn.o_proj.weight", "mlp.up_proj.weight", "input_layernorm.weight"):
                    name = f"model.layers.{offset + layer}.{rest}"
                    names = {s.model: f"model.layers.{s.layer_range[0] + layer}.{rest}" for s in piece.sources}
                    yield (
                        name,
                        slice_index,
                        t,
                        names,
                        resolved(planner._method, module, config, slice_index, t, name, names),
                    )
            offset += length

    return plan


def planned(mergekit, config):
    """What mergekit plans; configurations that it refuses are passed over."""
    try:
        return list(mergekit(config))
    except (RuntimeError, ValueError):
        assume(False)


def value_of(read, parameter, tensor, **place):
    """One of our settings for a tensor, by mergekit's name for it."""
    settings = read.settings["parameters"] if read.use == "mergekit" else read.settings
    default = "none" if parameter == "rescale" else None
    given = settings.get(parameter.replace("lambda", "lambda_"), default)
    value = read.weights if parameter == "weight" else given
    if isinstance(value, list):
        value = MergeParameter(value)
    return value.at(tensor, **place) if isinstance(value, MergeParameter) else value


@given(configs())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_every_parameter_of_every_tensor_is_what_mergekit_resolves(mergekit, config):
    compared = 0
    plan = planned(mergekit, config)
    read = read_merge_config(config, "merge.yaml")
    by_path = {spec.path: spec.name for spec in (*read.models, *([read.base] if read.base else []))}
    for name, slice_index, t, names, (shared, per_model) in plan:
        for parameter, expected in shared.items():
            if config["merge_method"] not in WITHOUT_EFFECT.get(parameter, ()):
                ours = value_of(read, parameter, name, depth=t, slice_index=slice_index)
                assert SAID_AS.get(ours, ours) == expected
                compared += 1
        for model in names:
            for parameter, expected in per_model[model].items():
                if config["merge_method"] not in WITHOUT_EFFECT.get(parameter, ()):
                    ours = value_of(read, parameter, name, depth=t, slice_index=slice_index, model=by_path[str(model)])
                    assert ours == (1.0 if expected is None else expected)
                    compared += 1
    assert compared or config["merge_method"] == "arcee_fusion"


@given(configs())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_layers_are_taken_from_where_mergekit_takes_them(mergekit, config):
    assume("slices" in config)
    plan = planned(mergekit, config)
    read = read_merge_config(config, "merge.yaml")
    columns = [*read.models, *([read.base] if read.base else [])]
    ours = []
    for one in read.slices:
        for layer in range(one.length):
            firsts = zip(columns, one.layers, strict=True)
            ours.append({spec.path: first + layer for spec, first in firsts if first is not None})
    theirs = [
        {str(model): int(inner.split(".")[2]) for model, inner in names.items()}
        for name, _, _, names, _ in plan
        if "input_layernorm" in name
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    "config",
    [
        {
            "merge_method": "linear",
            "models": [{"model": "a"}],
            "parameters": {"weight": [{"filter": "mlp", "value": 1}]},
        },
        {
            "merge_method": "slerp",
            "base_model": "a",
            "models": [{"model": "b"}],
            "parameters": {"t": {"filter": "mlp", "value": 1}},
        },
    ],
)
def test_a_tensor_that_no_rule_fits_stops_both(mergekit, config):
    with pytest.raises(RuntimeError, match="Missing required parameter"):
        list(mergekit(config))
    read = read_merge_config(config)
    (parameter,) = config["parameters"]
    with pytest.raises(AyaError, match="no rule"):
        value_of(read, parameter, "lm_head.weight", depth=0.0, slice_index=0, model="a")


@pytest.mark.parametrize(
    "changes",
    [
        {"models": [{"model": "a"}]},
        {"models": [{"model": "a"}, {"model": "a"}]},
        {"slices": [{"sources": [{"model": "a", "layer_range": [0, 2]}]}]},
        {"base_model": None},
        {"tokenizer_source": "base", "tokenizer": {"source": "base"}},
        {"parameters": {"weight": None}},
        {"parameters": {"weight": {"a": 1}}},
        {"parameters": {"weight": [{"filter": "mlp", "value": 1}, 1.0]}},
        {"models": [{"model": "a+b+c"}]},
        {"modules": {"default": {"models": [{"model": "a"}]}}},
    ],
)
def test_what_mergekit_refuses_we_refuse(mergekit, changes):
    config = {"merge_method": "ties", "base_model": "base", **changes}
    if not {"models", "slices"} & set(changes):
        config["models"] = [{"model": "a"}]
    with pytest.raises((RuntimeError, ValueError)):
        list(mergekit(config))
    with pytest.raises(AyaError):
        read_merge_config(config)


def test_we_know_every_method_and_parameter_that_mergekit_registers():
    pytest.importorskip("mergekit")
    from mergekit.merge_methods.base import BasePolicy
    from mergekit.merge_methods.registry import registered_methods

    theirs = {method.spec.name: method.spec for method in registered_methods()}
    assert METHODS.keys() == theirs.keys()
    bases = {
        "needed": BasePolicy.REQUIRED,
        "first": BasePolicy.REQUIRED,
        "optional": BasePolicy.OPTIONAL,
        "input": BasePolicy.IGNORED,
    }
    for name, spec in theirs.items():
        ours = parameters_of(METHODS[name])
        assert bases[METHODS[name].base] == spec.contract.base
        for parameter in spec.parameters:
            if (name, parameter.name) == ("task_arithmetic", "density"):
                continue
            mine = ours.pop(parameter.name)
            default = None if parameter.required else (1.0 if parameter.default is None else parameter.default)
            assert (mine.default, mine.per_model) == (default, parameter.scope.value != "shared")
            assert mine.kind is parameter.value_type or name == "passthrough"
        assert ours.keys() <= {"int8_mask"}
