"""Bars as SVG: well-formed, as long as their numbers, and inside of the picture."""

from xml.etree import ElementTree

import pytest

from aya_recipe.report import bars
from aya_recipe.report.bars import Bar, Scored

COLORS = {"<one>": "#111", "two & more": "#222"}


def rects(svg, height):
    """The bars of a height, each (x, y, width)."""
    root = ElementTree.fromstring(svg)
    found = root.iter("{http://www.w3.org/2000/svg}rect")
    whole = [tuple(float(one.get(name)) for name in ("x", "y", "width", "height")) for one in found]
    assert all(
        x + width <= float(root.get("width")) and y + tall <= float(root.get("height")) for x, y, width, tall in whole
    )
    return [one[:3] for one in whole if one[3] == height]


@pytest.mark.parametrize("top", [1.0, 40.0])
def test_scores_are_as_long_as_their_numbers(top):
    values = [0.0, 0.25 * top, top]
    rows = [Scored("<one>", value, "#111", value - 0.1 * top, value) for value in values]
    svg = bars.scores("a < b", rows)
    assert [width for _, _, width in rects(svg, bars.BAR)] == pytest.approx([0, bars.WIDTH / 4, bars.WIDTH], abs=0.1)
    assert [width for _, _, width in rects(svg, 2)] == pytest.approx([0, bars.WIDTH / 10, bars.WIDTH / 10], abs=0.1)


def test_negative_numbers_go_to_the_left_of_zero():
    rows = [Scored("a", -1.0, "#111", -1.5, -0.5), Scored("b", 0.5, "#111", 0.25, 0.75)]
    (x, _, width), (after, _, other) = rects(bars.scores("rewards", rows), bars.BAR)
    assert x + width == pytest.approx(after, abs=0.1)
    assert width == pytest.approx(2 * other, abs=0.1)
    assert width / (bars.WIDTH / 2.5) == pytest.approx(1, abs=0.01)  # from -1.5 to 1


def test_shares_end_at_one_and_are_told_in_percent():
    svg = bars.scores("accuracy", [Scored("a", 0.5, "#111", 0.3, 1.2)], is_share=True)
    assert [width for _, _, width in rects(svg, bars.BAR)] == [bars.WIDTH / 2]
    assert [width for _, _, width in rects(svg, 2)] == pytest.approx([0.7 * bars.WIDTH])
    assert ">50.0%<" in svg


def test_groups_stand_side_by_side_and_do_not_overlap():
    groups = {f"l{n}": [Scored(name, 0.5, color) for name, color in COLORS.items()] for n in range(7)}
    drawn = rects(bars.groups("t", COLORS, groups), bars.THIN)
    assert len(drawn) == 14
    assert {width for _, _, width in drawn} == {bars.PANEL / 2}
    assert len({(x, y) for x, y, _ in drawn}) == 14
    assert len({x for x, _, _ in drawn}) == bars.ACROSS


def test_the_parts_of_a_bar_are_its_shares_and_end_where_the_next_begins():
    parts = {"<one>": 1.0, "two & more": 3.0}
    svg = bars.shares("t", COLORS, [Bar("x", parts, dict.fromkeys(parts, "1 of 4"), "4")])
    (start, _, one), (after, _, two) = rects(svg, bars.BAR)
    assert (one, two) == (bars.WIDTH / 4, 3 * bars.WIDTH / 4)
    assert after == pytest.approx(start + one)
