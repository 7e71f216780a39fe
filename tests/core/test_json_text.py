"""JSON of anybody's: read as it is, or refused where it is deeper than anything needs to be."""

import json

import pyarrow
import pyarrow.ipc
import pytest
from hypothesis import given, strategies as st
from pyarrow import parquet

from aya_core.contract.errors import DataError
from aya_core.contract.json_text import DEEPEST, parse_json
from aya_core.contract.lines import READERS
from aya_plugins.arbiters.judge_replies import UnreadableError, read_preference
from aya_plugins.teachers.runtime.openai_reply import NotACompletionError, read_reply

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(ANY)
def test_json_is_read_as_it_is(data):
    assert parse_json(json.dumps(data)) == data
    assert parse_json(json.dumps(data, ensure_ascii=False).encode()) == data


def nested(depth, opening="[", closing="]", inside='"x"'):
    return opening * depth + inside + closing * depth


@pytest.mark.parametrize("depth", [DEEPEST + 1, 500, 990, 50_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"text":', "}"), ('[{"a":', "}]")])
def test_deep_json_is_refused_wherever_it_stands(tmp_path, depth, opening, closing):
    deep = nested(depth, opening, closing)
    with pytest.raises(ValueError, match="more than 100 deep"):
        parse_json(deep)
    with pytest.raises(NotACompletionError):
        read_reply(f'{{"choices":[{{"message":{{"content":{deep}}}}}]}}'.encode())
    with pytest.raises(UnreadableError):
        read_preference(deep)
    for name, text in (
        ("rows.jsonl", f'{{"prompt": {deep}, "half": "\\ud83d\\ude00"}}'),
        ("rows.json", f'[{{"prompt": {deep}}}]'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=r"rows\.jsonl?:"):
            list(READERS[(tmp_path / name).suffix](tmp_path / name))


def test_brackets_in_texts_nest_nothing():
    assert parse_json(json.dumps({"a": 5000 * "[", "b": 5000 * '\\"{'})) == {"a": 5000 * "[", "b": 5000 * '\\"{'}
    assert parse_json(json.dumps(5000 * [[]])) == 5000 * [[]]
    assert parse_json(nested(DEEPEST)) == json.loads(nested(DEEPEST))


def test_short_elements_after_a_long_one_are_read_in_time(tmp_path):
    rows = [{"text": 300_000 * "a"}, *({"n": number} for number in range(20_000))]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert [line.row for line in READERS[".json"](tmp_path / "rows.json")] == rows


def test_a_line_that_would_fill_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("aya_core.contract.lines.LONGEST_LINE", 1000)
    for name in ("rows.jsonl", "rows.json"):
        (tmp_path / name).write_text(json.dumps([{"a": 200_000 * "x"}] if name == "rows.json" else {"a": 2000 * "x"}))
        with pytest.raises(DataError, match=r"a line of more than|longer than"):
            list(READERS[(tmp_path / name).suffix](tmp_path / name))


def odd_tables():
    """Tables with a text that is not UTF-8, and with a year that no calendar of Python has."""
    half = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).buffers()
    yield pyarrow.table({"text": pyarrow.StringArray.from_buffers(1, half[1], half[2])})
    yield pyarrow.table({"when": pyarrow.array([9_400_000_000_000], pyarrow.int64()).cast(pyarrow.timestamp("s"))})


def test_cells_that_python_cannot_hold_are_told(tmp_path):
    for number, table in enumerate(odd_tables()):
        parquet.write_table(table, tmp_path / f"{number}.parquet")
        with (
            pyarrow.OSFile(str(tmp_path / f"{number}.arrow"), "wb") as file,
            pyarrow.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
        for ending in (".parquet", ".arrow"):
            with pytest.raises(DataError, match="not a whole"):
                list(READERS[ending](tmp_path / f"{number}{ending}"))
