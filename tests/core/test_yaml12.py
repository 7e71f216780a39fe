import time

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


def aliases_of_aliases(first, line):
    """Twenty lines, each of which stands for nine times what the one before does."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, 20):
        lines.append(f"a{number}: &a{number} {line.format(','.join(9 * [f'*a{number - 1}']))}")
    return "\n".join(lines)


TOO_MUCH = {
    "aliases of aliases": (aliases_of_aliases("[x,x,x,x,x,x,x,x,x]", "[{}]"), "more than 100,000 values"),
    "merges of merges": (aliases_of_aliases("{k: 1}", "{{<<: [{}]}}"), "more than 100,000 values"),
    "many keys": (f"{{{50_001 * 'a,'}}}", "more than 100,000 values"),
    "a list that holds itself": ("&a [*a]", "stands for the whole of it"),
    "a mapping that holds itself": ("a: &a {<<: *a}", "stands for the whole of it"),
    "a key that holds itself": ("a: &a {*a : 1}", "stands for the whole of it"),
    "deep lists": (3000 * "[", "nested more than 50 deep"),
    "deep mappings": (200 * "{a: ", "nested more than 50 deep"),
    "deep blocks": (5000 * "- ", "nested more than 50 deep"),
    "deep keys": (5000 * "? ", "nested more than 50 deep"),
    "a long number": (5000 * "9", "a whole number of 5,000 digits"),
    "a long hexadecimal number": ("0x" + 5000 * "f", "digits; expected one up to"),
    "a number of 64 bits": ("9223372036854775808", "expected one up to 9223372036854775807"),
    "a large number": ("1e999", "too large"),
    "a long file": (600_000 * "x", "600,000 characters"),
    "a character beyond all": ('"\\UFFFFFFFF"', "not YAML"),
    "half a character": ('"\\ud800"', "half a character"),
}


@pytest.mark.parametrize(("text", "said"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_would_take_too_much_is_refused_at_once(text, said):
    started = time.process_time()
    with pytest.raises(RecipeError, match=said):
        yaml12.parse(text, "x")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    ["!!int x", "!!int [1]", "!!int 0x", "!!bool x", "!!bool [a]", "!!float x", "!!float ''", "!!str [a]", "!!map x", "!!seq {a: 1}",
     "!!timestamp x", "!!binary x", "!!omap [a]", "!!pairs [a]", "? !!set {a}", "!!python/object:os.system x", "!mine x",
     "<<: x", "<<: [1]", "<<: [[]]", "? [a]\n: 1", "{{a: 1}: 2}"],
)  # fmt: skip
def test_odd_tags_and_keys_are_refused_with_their_place(text):
    with pytest.raises(RecipeError, match=r"x:1:\d+: not YAML: "):
        yaml12.parse(text, "x")


def test_tags_that_fit_are_read():
    assert yaml12.parse("[!!int 3, !!str 3, !!float 3, !!bool TRUE, !!seq [a], !!map {a: 1}, .inf]", "x") == [
        3, "3", 3.0, True, ["a"], {"a": 1}, float("inf"),
    ]  # fmt: skip
