"""Reasons are counted in bounded memory, and those that differ in numbers alone are one."""

from hypothesis import given, strategies as st

from aya_core.api import Reasons
from aya_core.contract.reasons import MOST_PATTERNS, OTHER


def count(*reasons):
    found = Reasons()
    for reason in reasons:
        found.add(reason)
    return found


def test_numbers_are_taken_out():
    assert count("88% of it is repetition", "90% of it is repetition").counts() == {"N% of it is repetition": 2}
    assert count("88% of it is repetition").counts() == {"N% of it is repetition": 1}


def test_reasons_that_read_alike_without_their_numbers_are_counted_together():
    assert count("0N0", "0NN", "0NN").counts() == {"NNN": 3}


def test_numbers_that_are_equal_in_all_can_stay():
    found = Reasons({"400: 12 tokens of 10": 2, "400: 14 tokens of 10": 1}, keep_equal=True)
    assert found.counts() == {"400: N tokens of 10": 3}
    assert found.known_as("400: 13 tokens of 10") == "400: N tokens of 10"


def test_the_commonest_come_first_and_the_rest_is_one():
    found = count(*["a"] * 3, *["b"] * 5, "c", "d")
    assert list(found.counts(2).items()) == [("b", 5), ("a", 3), (OTHER, 2)]


def test_what_was_counted_apart_adds_up():
    one, other = count("88% of it", "89% of it"), count("88% of it")
    both = Reasons(one.counts())
    both.update(other.counts())
    assert both.counts() == {"N% of it": 3}
    assert both.known_as("12% of it") == "N% of it"


def test_a_reason_that_is_common_survives_any_number_of_rare_ones():
    found = Reasons()
    for number in range(20 * MOST_PATTERNS):
        found.add("word " + "".join(chr(97 + int(digit)) for digit in str(number)))
        if number % 10 == 0:
            found.add("common")
    counts = found.counts()
    assert next(iter(counts)) == "common"
    assert counts["common"] == 2 * MOST_PATTERNS
    assert sum(counts.values()) == 22 * MOST_PATTERNS
    assert len(counts) <= MOST_PATTERNS + 1


@given(st.lists(st.text(alphabet="aN1 0,.%\0"), max_size=30))
def test_every_reason_is_counted_once(reasons):
    assert sum(count(*reasons).counts().values()) == len(reasons)
