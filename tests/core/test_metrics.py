"""What an evaluator declares of its metrics, and what is made of it."""

import pytest
from hypothesis import given, strategies as st

from aya_core.api import COUNTED, FAULTS, SHARE, Metric, PluginError, check_metric, main_metric, metric_named
from aya_core.planning.registry import Registry

DECLARED = {
    "accuracy": SHARE,
    "accuracy/*": COUNTED,
    "accuracy/easy": FAULTS,
    "chrf": Metric(low=0, high=100, better="max"),
}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("accuracy", SHARE),
        ("accuracy/hard", COUNTED),
        ("accuracy/easy", FAULTS),
        ("accuracy/", None),
        ("accuracyhard", None),
        ("chrf", DECLARED["chrf"]),
        ("chrf++", None),
    ],
)
def test_a_metric_is_what_is_declared_by_its_name_or_by_how_it_begins(name, metric):
    assert metric_named(DECLARED, name) == metric


def test_a_metric_that_is_not_declared_is_named_with_those_that_are():
    with pytest.raises(
        PluginError, match=r"E yielded the metric 'bleu', which it does not declare \(declared: accuracy, .*chrf\)"
    ):
        check_metric(DECLARED, "bleu", 1.0, "E")


@given(st.floats(-5, 5))
def test_a_value_is_held_to_its_range(value):
    assert Metric().holds(value)
    if not -1e-5 < value < 0 and not 1 < value < 1 + 1e-5:  # but for rounding
        assert SHARE.holds(value) == (0 <= value <= 1)


def test_a_value_out_of_its_range_is_an_error():
    with pytest.raises(PluginError, match=r"E yielded 1.2 for 'accuracy', whose range it declares as 0 to 1"):
        check_metric(DECLARED, "accuracy", 1.2, "E")


def test_a_name_says_unit_and_direction():
    assert SHARE.described == ", %"
    assert FAULTS.described == ", % (lower is better)"
    assert Metric("bits per byte", better="min").described == ", bits per byte (lower is better)"
    assert Metric().described == ""


def test_every_bundled_evaluator_says_which_end_of_its_main_metric_is_better():
    offered = Registry().strategies["evaluator"]
    said = {name: evaluator.metrics for name, evaluator in offered.items() if isinstance(evaluator.metrics, dict)}
    assert offered.keys() - said.keys() == {"choice", "flores", "generate", "verifier"}  # there, settings decide
    assert all(next(iter(metrics.values())).better for metrics in said.values())


def test_an_evaluator_without_metrics_is_told_so():
    assert main_metric(DECLARED, "E") == "accuracy"
    with pytest.raises(PluginError, match="E declares no metrics; its author must say"):
        main_metric({}, "E")
