import json
import re

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import Field, ValidationError

from aya_core.contract.errors import AyaError
from aya_core.contract.merge_parameters import MergeParameter, Rule
from aya_core.contract.strategies import Settings
from aya_core.planning import yaml12

NAMES = ["model.embed_tokens.weight", "model.layers.1.self_attn.q_proj.weight", "model.layers.12.mlp.up_proj.weight"]
numbers = st.floats(-10, 10, allow_nan=False)
gradients = st.lists(numbers, min_size=1, max_size=5).map(tuple)
filters = st.sampled_from([None, "mlp", "self_attn", "layers.1", "weight", "nowhere"])
rules = st.lists(st.builds(Rule, gradients, filters, st.sampled_from([None, 0, 1])), min_size=1, max_size=5)
written = st.one_of(
    numbers,
    st.lists(numbers, min_size=1, max_size=5),
    st.lists(
        st.fixed_dictionaries(
            {"value": numbers | st.lists(numbers, min_size=1, max_size=4)},
            optional={"filter": st.sampled_from(["mlp", "*", "layers.1"])},
        ),
        min_size=1,
        max_size=4,
    ),
)
depths = st.floats(0, 1)


def at(value, name, **place):
    """Its value, or None where no rule fits."""
    try:
        return value.at(name, **place)
    except AyaError:
        return None


@given(numbers, depths, st.integers(0, 3))
def test_a_constant_is_a_gradient_of_one_value(number, depth, slice_index):
    assert MergeParameter(number) == MergeParameter([number])
    assert (
        MergeParameter([number]).at("any", depth=depth, slice_index=slice_index)
        == MergeParameter(number).constant
        == number
    )


@given(st.lists(numbers, min_size=2, max_size=6))
def test_a_gradient_goes_through_its_values_evenly(values):
    steps = len(values) - 1
    for index, value in enumerate(values):
        assert MergeParameter(values).at("any", depth=index / steps) == pytest.approx(value, abs=1e-12)


@given(numbers, numbers, depths)
def test_a_gradient_is_a_straight_line_between_two_values(first, last, depth):
    assert MergeParameter([first, last]).at("any", depth=depth) == pytest.approx(
        first + depth * (last - first), abs=1e-12
    )


@given(rules, depths, st.integers(0, 2), st.sampled_from(NAMES))
def test_the_first_rule_that_fits_holds(rules, depth, slice_index, name):
    fitting = [rule for rule in rules if rule.fits(name, slice_index)]
    expected = fitting[0].at(depth) if fitting else None
    assert at(MergeParameter.of(rules), name, depth=depth, slice_index=slice_index) == expected


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), rules, min_size=1))
def test_what_is_written_reads_back_as_the_same(of):
    value = MergeParameter.by_model(of)
    assert MergeParameter(json.loads(json.dumps(value.written))) == value
    assert MergeParameter(value) == value
    assert hash(MergeParameter(value.written)) == hash(value)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), rules, min_size=1), st.sampled_from(NAMES), depths)
def test_by_model_each_model_has_its_own_rules(of, name, depth):
    value = MergeParameter.by_model(of)
    for model, rules in of.items():
        assert at(value, name, model=model, depth=depth) == at(MergeParameter.of(rules), name, depth=depth)


def test_rules_that_are_equal_for_all_models_are_said_once():
    assert MergeParameter.by_model({"a": [Rule((0.5,))], "b": [Rule((0.5,))]}) == MergeParameter(0.5)
    assert MergeParameter.by_model({"a": [Rule((0.5,))], "b": [Rule((0.6,))]}).models == {"a", "b"}


def test_rules_that_none_can_reach_are_left_out():
    rules = [
        Rule((1.0,), "mlp", slice_index=1),
        Rule((2.0,), slice_index=1),
        Rule((3.0,), "up_proj", slice_index=1),
        Rule((4.0,)),
        Rule((5.0,), "mlp"),
    ]
    assert MergeParameter.of(rules).written == [
        {"filter": "mlp", "slice": 1, "value": 1.0},
        {"slice": 1, "value": 2.0},
        4.0,
    ]


@given(rules, numbers)
def test_comparing_compares_all_values(rules, bound):
    value = MergeParameter.of(rules)
    assert (value > bound) == all(number > bound for number in value.numbers)
    assert (value >= bound) == all(number >= bound for number in value.numbers)
    assert (value < bound) == all(number < bound for number in value.numbers)
    assert (value <= bound) == all(number <= bound for number in value.numbers)


class Kept(Settings):
    share: MergeParameter = Field(MergeParameter(0.5), gt=0, le=1)


def test_it_is_a_setting_with_bounds_that_dumps_as_it_is_written():
    kept = Kept(share=[{"filter": "mlp", "value": [0.2, 0.4]}, 0.9])
    assert json.loads(kept.model_dump_json()) == {"share": [{"filter": "mlp", "value": [0.2, 0.4]}, 0.9]}
    assert Kept.model_validate(kept.model_dump()) == kept
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Kept(share=[0.2, 1.4])


@pytest.mark.parametrize(
    "value",
    [0.5, [0.1, 0.9], {"value": 0.3}, [{"filter": "mlp", "slice": 1, "value": [0.1, 0.2]}, 0.3], {"a": 0.3}],
)
def test_the_schema_for_editors_takes_what_is_read(value):
    from jsonschema import validate

    MergeParameter(value)
    validate({"share": value}, Kept.model_json_schema())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", "expected a finite number"),
        (True, "expected a finite number"),
        (float("nan"), "expected a finite number"),
        ([], "expected a finite number"),
        ({}, "a value for each of the models"),
        ([{"filter": "mlp"}], "expected a rule"),
        ([{"fliter": "mlp", "value": 1}], "expected a rule"),
        ([{"filter": 3, "value": 1}], "filter 3; expected a part of the names"),
        ([{"slice": -1, "value": 1}], "slice -1; expected the number of a slice"),
        ([{"slice": True, "value": 1}], "slice True; expected"),
        ({"a": []}, "expected a finite number"),
    ],
)
def test_what_is_no_number_gradient_or_rule_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        MergeParameter(value)


def test_a_tensor_that_no_rule_fits_and_a_model_without_value_are_named():
    with pytest.raises(AyaError, match=r"no rule .* fits tensor 'lm_head.weight'"):
        MergeParameter([{"filter": "mlp", "value": 1}]).at("lm_head.weight")
    with pytest.raises(AyaError, match="given for a, b and not for c"):
        MergeParameter({"a": 1, "b": 2}).at("lm_head.weight", model="c")


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
@given(written, st.sampled_from(NAMES), depths)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_values_are_mergekits(value, name, depth):
    config = pytest.importorskip("mergekit.config")
    setting = config.OutputSliceDefinition(sources=[], parameters={"it": value}).parameters["it"]
    expected = config.evaluate_setting(name, setting, depth, validate=float)
    assert at(MergeParameter(value), name, depth=depth) == expected


def test_what_its_documentation_writes_is_read_and_written_as_it_stands():
    documented = re.findall(r"^ {8}(\S.*?)  +", MergeParameter.__doc__, re.MULTILINE)
    documented += re.findall(r"as in (\{.*?\})", MergeParameter.__doc__)
    assert len(documented) == 5
    for text in documented:
        written = yaml12.parse(text, "the docstring")
        assert MergeParameter(written).written in (written, [written])
