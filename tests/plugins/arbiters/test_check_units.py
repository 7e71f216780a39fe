"""Laws of quantities: the same length is the same in any unit, digits and spelling; a bare number is none."""

import pytest
from hypothesis import example, given, settings, strategies as st

from aya_plugins.checks.quantities import last_quantity, unit

SAME = [
    ("3 km", "3000 m"),
    ("It is 3,000 m.", "3 km"),
    ("Es sind 1.234,5 kg", "1.2345 t"),
    ("المسافة ١٬٥٠٠ m تقريبا", "1.5 km"),
    ("3km的距离", "3000 m"),
    ("**3 km** is right", "3 km"),
    ("_3 km_", "3 km"),
    ("3 km in total", "3 km"),
    ("3 Kilometres", "3 km"),
    ("3 KM", "3 kilometers"),
    ("3 ㎞", "3 km"),
    ("５ ｋｍ", "5 km"),
    ("5 cm²", "500 mm^2"),
    ("5 square centimetres", "5 cm²"),
    ("5 metres squared", "5 m2"),
    ("2 cubic metres", "2000 L"),
    ("36 km/h", "10 m/s"),
    ("36 km per hour", "10 m/s"),
    ("10 m/s2", "10 m/s²"),
    ("1 kg/m**3", "1 g/L"),
    ("3e5 km", "3 × 10⁸ m"),
    ("20 °C", "68 °F"),
    ("0 ℃", "32 degrees Fahrenheit"),
    ("−40 °C", "-40 °F"),
    ("50 %", "50 percent"),
    ("90 minutes", "1.5 h"),
    ("3 µm", "3000 nm"),
    ("3 μm", "3 µm"),
    ("1 nautical mile", "1852 m"),
    ("1 kWh", "3.6 MJ"),
    ("5 N·m", "5 N*m"),
    ("1 ft", "12 in"),
    ("first 7 kg, then 3 km", "3 km"),
]

OTHER = [
    ("3", "3 km"),
    ("3 km, that is 3000", "3 km"),  # the last number stands for the answer
    ("3 kg", "3 km"),
    ("3 m", "3 km"),
    ("3 km/h", "3 km"),
    ("3 km per person", "3 km"),
    ("3 J/(kg·K)", "3 J"),  # brackets are not read, so it is no unit rather than a part of one
    ("3 kg·m/(s)", "3 kg"),
    ("3 €", "3 km"),
    ("3 公里", "3 km"),  # names in other scripts are not known yet
    ("none", "3 km"),
    ("", "3 km"),
    ("1.6 km", "1 mile"),
]


@pytest.mark.parametrize(("answer", "reference"), SAME)
def test_the_same_quantity_is_right_whichever_way_round(answer: str, reference: str):
    assert unit(answer, reference) == 1
    assert unit(reference, answer) == 1


@pytest.mark.parametrize(("answer", "reference"), OTHER)
def test_another_quantity_another_dimension_or_a_bare_number_is_wrong(answer: str, reference: str):
    assert unit(answer, reference) == 0


def test_a_tolerance_is_a_share_in_the_unit_of_the_reference():
    assert unit("1.6 km", "1 mile", 0.01) == 1
    assert unit("1.6 km", "1 mile", 0.005) == 0
    assert unit("20.1 °C", "20 °C", 0.01) == 1
    assert unit("69 °F", "20 °C", 0.01) == 0  # 20.56 °C: of 20, not of 293 K


def test_a_lone_group_of_three_may_be_thousands_or_a_fraction():
    assert unit("1.234 m", "1234 m") == unit("1.234 m", "123.4 cm") == 1


@given(st.integers(1, 10**9), st.sampled_from(["mm", "cm", "m", "km"]), st.sampled_from(["mm", "cm", "m", "km"]))
@settings(deadline=None)
def test_whole_numbers_survive_conversion_exactly(value: int, one: str, other: str):
    factor = {"mm": 1, "cm": 10, "m": 1000, "km": 10**6}
    there = f"{value * factor[one]} mm"
    assert unit(f"{value} {one}", there) == 1
    assert unit(f"{value * factor[one] + 1} mm", f"{value} {one}") == 0
    assert unit(f"{value} {one}", f"{value} {other}") == float(one == other)


@given(st.text(alphabet=st.sampled_from("0123 .,kmsghCKW°%/*·^²⁻()²per squareµΩ€_-١公ъ\n")))
@settings(deadline=None, max_examples=300)
def test_any_answer_is_right_or_wrong_and_raises_nothing(answer: str):
    assert unit(answer, "3 km") in (0, 1)


@given(st.text())
@settings(deadline=None)
@example(text="NAN")
def test_any_text_behind_a_number_is_read_or_not(text: str):
    last_quantity(f"3 {text}")


@pytest.mark.parametrize("reference", ["3", "km", "", "€3", "3 zorkmids", "5 J/(kg·K)"])
def test_a_reference_without_a_unit_is_an_error(reference: str):
    with pytest.raises(ValueError, match="holds no number with a unit of measure"):
        unit("3 km", reference)
