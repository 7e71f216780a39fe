"""Results change only with their version: what every action, strategy and kernel gives from small fixed inputs is kept."""

import golden
import pytest
from makers import MAKERS, WITHOUT, versions

GOLDEN = golden.read()


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")  # of libraries
@pytest.mark.parametrize("label", MAKERS)
def test_results_change_only_with_their_version(label, tmp_path):
    kept, version = GOLDEN.get(label), versions().get(label)
    if kept is None or kept["version"] != version:
        pytest.fail(f"version {version} of {label} has no golden values: {golden.WRITE}", pytrace=False)
    if found := list(golden.differences(kept["results"], golden.plain(MAKERS[label](tmp_path)))):
        pytest.fail(golden.described(label, version, found), pytrace=False)


def test_all_that_is_sealed_has_golden_values_or_a_reason_for_none():
    unkept = set(versions()) - set(GOLDEN)
    assert unkept == set(WITHOUT), "write a maker under tests/golden, or the reason in makers.py"
    assert set(GOLDEN) == set(MAKERS)
    assert all(one["results"] for one in GOLDEN.values())


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (1.0, 1.001),
        (0.0, 0.00001),
        ("a", "b"),
        ([1, 2], [1]),
        ({"a": 1}, {"a": 1, "b": None}),
        (1.0, None),
        (None, 1.0),
        (1.0, "1.0"),
        (True, 1),
        ("nan", 0.0),
    ],
)
def test_results_that_differ_are_told(kept, found):
    assert not list(golden.differences([kept, found], [kept, found]))
    (replied,) = golden.differences({"case": [7, kept]}, {"case": [7, found]})
    assert replied.startswith("case[1]")


def test_rounding_is_no_difference():
    assert not list(golden.differences({"a": [1.0, 0.0]}, {"a": [1.00001, 1e-9]}))


def test_a_long_text_differs_wherever_it_differs():
    one, other = (golden.plain("word " * 50 + end) for end in ("one", "other"))
    assert list(golden.differences(one, other))
