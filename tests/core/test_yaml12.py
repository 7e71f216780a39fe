import pytest
from hypothesis import given, strategies as st

from aya_core.contract.errors import RecipeError
from aya_core.planning import yaml12

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_dumped_is_parsed_as_the_same(value):
    assert yaml12.parse(yaml12.dump(value), "x") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("1e-3", 0.001),
        ("0o17", 15),
        ("017", 17),
        ("1:30", "1:30"),
        ("~", None),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    assert yaml12.parse(f"key: {text}", "x") == {"key": value}


def test_a_key_given_twice_is_an_error_with_its_line():
    with pytest.raises(RecipeError, match=r"r\.yaml:3:1: .*'a' stands here twice"):
        yaml12.parse("a: 1\nb: 2\na: 3\n", "r.yaml")


def test_text_that_is_not_yaml_is_an_error_with_its_line():
    with pytest.raises(RecipeError, match=r"r\.yaml:1"):
        yaml12.parse("a: [1, 2", "r.yaml")


def test_merge_keys_and_anchors_work():
    text = "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n"
    assert yaml12.parse(text, "x")["b"] == {"k": 1, "l": 3}
