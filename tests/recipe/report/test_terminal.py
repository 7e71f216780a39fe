"""Tables in the terminal: they fit by folding names, and no number is ever cut."""

import io

import pytest
from rich.console import Console

from aya_core.contract.reports import Table
from aya_recipe.evaluate.report import main_table
from aya_recipe.report.terminal import show_table

MODELS = ["base", "offline-merged-of-three-clusters", "more-sft-merged", "random-student"]
NUMBERS = [["0.368 ± 0.012", "+0.368 ± 0.010", "12/34/54", f"{n},234 to 1,840"] for n in range(4)]
TABLE = Table(
    ["model", "score", "change from the row above", "win/loss/tie vs base, %", "n"],
    [[model, *row] for model, row in zip(MODELS, NUMBERS, strict=True)],
    "scores",
)


def printed(table, width, *, terminal):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    show_table(table, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_no_number_is_cut_or_folded_in_a_terminal_and_lines_fit(width):
    output = printed(TABLE, width, terminal=True)
    for row in NUMBERS:
        assert all(cell.replace(" ± ", "±") in output for cell in row)
    assert "…" not in output
    if width >= 40:
        assert max(map(len, map(str.rstrip, output.splitlines()))) <= width


def test_a_wide_table_is_printed_in_parts_that_all_name_their_rows():
    wide = Table(["language", *(f"model-{n}" for n in range(14))], [["de", *["0.123 ± 0.010"] * 14]])
    output = printed(wide, 80, terminal=True)
    assert output.count("0.123±0.010") == 14
    assert output.count("\n de ") == output.count("language") >= 2


def test_nothing_is_folded_where_it_is_no_terminal():
    output = printed(TABLE, 80, terminal=False)
    assert all(any(model in line for line in output.splitlines()) for model in MODELS)
    assert len({len(line.rstrip()) > 80 for line in output.splitlines()}) == 2


def estimate(value, half=0.01):
    return {"value": value, "score": value, "low": value - half, "high": value + half, "n": 9}


def test_a_change_says_what_is_better_where_less_is_and_nothing_is_less_than_nothing():
    rows = [
        {"name": "base", **estimate(3.0)},
        {"name": "better", **estimate(2.0), "gain": estimate(-1.0)},
        {"name": "worse", **estimate(2.5), "gain": estimate(0.5)},
        {"name": "same", **estimate(2.5), "gain": estimate(-0.0001)},
    ]
    table = main_table({"goal": "min", "stages": rows, "controls": []})
    assert table.header == ["model", "score", "change from the row above", "n"]  # nothing was answered greedily
    assert [row[2] for row in table.rows] == ["", "-1.000 ± 0.010 better", "+0.500 ± 0.010 worse", "+0.000 ± 0.010"]
    (_, better, *_) = main_table({"goal": "max", "stages": rows, "controls": []}).rows
    assert better[2] == "-1.000 ± 0.010"


def test_shares_are_in_percent_and_models_without_stages_change_from_the_first():
    rows = [{"name": "/x/a/ana", **estimate(0.5)}, {"name": "/x/bo", **estimate(0.25), "gain": estimate(-0.25)}]
    table = main_table({"goal": "max", "unit": "share", "are_stages": False, "stages": rows, "controls": []})
    assert table.header == ["model", "score, %", "change from ana", "n"]
    assert table.rows == [["ana", "50.0 ± 1.0", "", "9"], ["bo", "25.0 ± 1.0", "-25.0 ± 1.0", "9"]]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_title_is_never_parted(width):
    long = Table(["model", "n"], [["a", "1"]], "a title of words, and/a/path/that/is/longer/than/the/table/below/it")
    assert long.title in printed(long, width, terminal=False)
