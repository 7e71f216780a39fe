"""Rare columns: files that need none keep their bytes, the others hold all that a row holds."""

import io
import json

import pyarrow.parquet
import pytest

from aya_core.api import Demonstration, Preference, Prompt, read_rows, user_prompt, write_rows
from aya_core.contract import artifacts
from aya_recipe.data.writing import write_records

CALL = {"tool_calls": [{"type": "function", "function": {"name": "w", "arguments": {"c": "Oslo"}}}]}
PLAIN = Demonstration(user_prompt("a", "en", "Hi"), "Hello")
WHOLE = Demonstration(
    Prompt(
        "b", "en",
        ({"role": "user", "content": "?"}, {"role": "assistant", "content": "", "more": CALL}, {"role": "tool", "content": "5"}),
        tools='[{"name": "w"}]',
    ),
    "It is 5", more={"reasoning_content": "hm"}, finish_reason="length", prompt_tokens=7,
)  # fmt: skip
SINGLES = [
    Preference(PLAIN.prompt, "good", None),
    Preference(PLAIN.prompt, None, "bad"),
    Preference(PLAIN.prompt, "a", "b"),
]


def columns(folder):
    return pyarrow.parquet.read_schema(folder / "rows.parquet").names


def test_rows_that_need_no_rare_column_have_none(tmp_path):
    write_rows(tmp_path, Demonstration, [PLAIN])
    assert set(Demonstration.columns) - set(columns(tmp_path)) == {"tools", "prompt_tokens"}
    assert list(read_rows(tmp_path, Demonstration)) == [PLAIN]


@pytest.mark.parametrize("place", [0, 2, 5])
def test_the_first_rare_row_may_come_anywhere(tmp_path, monkeypatch, place):
    monkeypatch.setattr(artifacts, "ROW_GROUP", 2)
    rows = [PLAIN] * 6
    rows[place] = WHOLE
    assert write_rows(tmp_path, Demonstration, rows) == 6
    assert list(read_rows(tmp_path, Demonstration)) == rows
    assert columns(tmp_path) == list(Demonstration.columns)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize("row", [PLAIN, WHOLE, *SINGLES])
def test_a_row_is_read_back_as_it_was(tmp_path, row):
    write_rows(tmp_path, type(row), [row])
    assert list(read_rows(tmp_path, type(row))) == [row] == [type(row).from_row(row.to_row())]


def test_exported_turns_hold_all_under_the_names_that_other_tools_read(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    write_records([PLAIN, WHOLE], Demonstration, None, ("meta",))
    plain, whole = map(json.loads, out.getvalue().splitlines())
    assert "tools" not in plain
    assert plain["prompt"] == [{"role": "user", "content": "Hi"}]
    assert whole["tools"] == [{"name": "w"}]
    assert whole["prompt"][1] == {"role": "assistant", "content": "", **CALL}
    assert whole["completion"] == [{"role": "assistant", "content": "It is 5", "reasoning_content": "hm"}]
