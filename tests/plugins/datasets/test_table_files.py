"""Laws of the data sets read from files: which record a row gives, and what every bad row is told."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aya_core.api import DataError, Demonstration, Preference, Prompt, user_prompt
from aya_core.artifacts import write_rows
from aya_plugins.datasets.columns import Columns
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.parquet import Parquet


def write(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def write_parquet(path: Path, *rows: dict[str, Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def read(path: Path | str, **options: Any) -> list[Any]:
    kind = Parquet if str(path).endswith("parquet") else Jsonl
    return list(kind(path=str(path), **options).build().rows(0))


ROW = {"id": "a", "language": "tr", "prompt": "Kaç?"}


def test_columns_present_say_what_a_row_is(tmp_path: Path):
    (prompt,) = read(write(tmp_path / "p.jsonl", {**ROW, "reference": "3"}))
    (demonstration,) = read(write(tmp_path / "d.jsonl", {**ROW, "completion": "üç"}))
    (preference,) = read(write(tmp_path / "r.jsonl", {**ROW, "chosen": "üç", "rejected": "iki", "completion": "x"}))
    assert prompt == user_prompt("a", "tr", "Kaç?", "3")
    assert demonstration == Demonstration(user_prompt("a", "tr", "Kaç?"), "üç")
    assert preference == Preference(user_prompt("a", "tr", "Kaç?"), "üç", "iki")


@pytest.mark.parametrize(
    "row",
    [
        user_prompt("a", "tr", "Kaç?", "3"),
        Demonstration(user_prompt("a", "tr", "Kaç?"), "üç"),
        Preference(user_prompt("a", "tr", "Kaç?"), "üç", "iki"),
    ],
)
def test_rows_that_a_stage_wrote_read_back_the_same(tmp_path: Path, row: Prompt | Demonstration | Preference):
    write_rows(tmp_path, type(row), [row], "rows.parquet")
    assert read(tmp_path / "rows.parquet") == [row]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_jsonl_and_parquet_give_the_same_rows_for_any_text(tmp_path: Path, texts: list[str]):
    rows = [{"id": str(n), "prompt": text, "completion": text} for n, text in enumerate(texts)]
    assert read(write(tmp_path / "t.jsonl", *rows)) == read(write_parquet(tmp_path / "t.parquet", *rows))


def test_a_prompt_may_be_a_conversation_and_an_answer_a_message(tmp_path: Path):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And 3?"},
    ]
    answer = [{"role": "assistant", "content": "5"}]
    (row,) = read(write(tmp_path / "c.jsonl", {"prompt": turns, "completion": answer}))
    assert row == Demonstration(Prompt("c-1", "und", tuple(turns)), "5")
    assert row.prompt.text == "And 3?"


def test_columns_of_other_names_are_read_where_they_are_named(tmp_path: Path):
    path = write(tmp_path / "m.jsonl", {"question_id": 7, "lang": "zh", "question": "几?", "answer_number": 18})
    columns = Columns(language="lang", prompt="question", reference="answer_number")
    assert read(path, columns=columns) == [user_prompt("7", "zh", "几?", "18")]


def test_files_of_a_folder_are_read_in_name_order_and_name_their_language(tmp_path: Path):
    for language in ("tr", "ar", "zh"):
        write(tmp_path / f"{language}.jsonl", {"question_id": "q1", "prompt": "?"})
    write(tmp_path / "notes.txt", "not data")
    rows = read(tmp_path, language_from_name=True, id_template="{language}/{id}")
    assert [(row.id, row.language) for row in rows] == [("ar/q1", "ar"), ("tr/q1", "tr"), ("zh/q1", "zh")]
    assert read(f"{tmp_path}/[at]r.jsonl", language_from_name=True, id_template="{language}/{id}") == rows[:2]


def test_rows_without_ids_are_numbered_by_file_and_line(tmp_path: Path):
    path = write(tmp_path / "n.jsonl", {"prompt": "one"}, "", {"prompt": "two"})
    assert [row.id for row in read(path)] == ["n-1", "n-3"]


def test_the_language_is_that_of_the_settings_where_the_file_says_none(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", {"prompt": "?"})
    assert read(path)[0].language == "und"
    assert read(path, language="pt-BR")[0].language == "pt-BR"


def test_a_limit_reads_the_first_rows_and_looks_at_no_other(tmp_path: Path):
    path = write(tmp_path / "l.jsonl", ROW, {**ROW, "id": "b"}, "{broken")
    assert [row.id for row in read(path, limit=2)] == ["a", "b"]


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b"\r\n")
    assert read(path) == [user_prompt("a", "tr", "Kaç?")]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("{broken", "not JSON"),
        ("[1]", "expected one object on each line"),
        ({**ROW}, "id 'a' was used before"),
        ({**ROW, "id": 1.5}, "expected a text or a whole number"),
        ({**ROW, "id": True}, "expected a text or a whole number"),
        ({**ROW, "id": ""}, "expected a text or a whole number"),
        ({"id": "b"}, "no prompt; expected it in column 'prompt'"),
        ({"id": "b", "prompt": "  "}, "the prompt is empty"),
        ({"id": "b", "prompt": []}, "expected a text or a list of messages"),
        ({"id": "b", "prompt": 3}, "expected a text or a list of messages"),
        ({"id": "b", "prompt": ["hi"]}, "is not a message"),
        ({"id": "b", "prompt": [{"role": "bot", "content": "?"}]}, "is not a message"),
        ({"id": "b", "prompt": [{"role": "assistant", "content": "?"}]}, "not the user's"),
        ({"id": "b", "prompt": "?", "language": "English"}, "unknown language code 'English'"),
        ({"id": "b", "prompt": "?", "language": "EN"}, "unknown language code 'EN'"),
        ({"id": "b", "prompt": "?", "language": 3}, "expected a code such as 'en'"),
        ({"id": "b", "prompt": "?", "reference": [1]}, "expected a text or a number"),
        (
            {"id": "b", "prompt": "?", "completion": "!"},
            "this row is a demonstration, those before are prompts",
        ),
        ({"id": "b", "prompt": "?", "chosen": "!"}, "no rejected answer"),
        ({"id": "b", "prompt": "?", "rejected": "!"}, "no chosen answer"),
        ({"id": "b", "prompt": "?", "completion": 3}, "expected a text or a list of one assistant message"),
        (
            {"id": "b", "prompt": "?", "completion": [{"role": "user", "content": "!"}]},
            "expected a text or a list of one assistant message",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_with_its_file_and_line(tmp_path: Path, second: Any, expected: str):
    path = write(tmp_path / "bad.jsonl", ROW, second)
    with pytest.raises(DataError, match=r"bad\.jsonl:2: ") as error:
        read(path)
    assert expected in str(error.value)


def test_text_that_is_not_utf8_is_an_error_with_its_file_and_line(tmp_path: Path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b'\n{"prompt": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"latin\.jsonl:2: not UTF-8 .* at byte 15"):
        read(path)


def test_a_named_column_that_is_missing_is_an_error_with_the_nearest_name(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", {"question": "?"})
    with pytest.raises(DataError, match=r"x\.jsonl:1: no column 'qestion'; did you mean 'question'\?"):
        read(path, columns=Columns(prompt="qestion"))


def test_a_row_in_another_language_than_its_file_or_settings_say_is_an_error(tmp_path: Path):
    path = write(tmp_path / "ar.jsonl", ROW)
    with pytest.raises(DataError, match="the row is in 'tr', the name of the file says 'ar'"):
        read(path, language_from_name=True)
    with pytest.raises(DataError, match="the row is in 'tr', the settings say 'de'"):
        read(path, language="de")


def test_a_file_whose_name_is_no_language_is_an_error(tmp_path: Path):
    path = write(tmp_path / "prompts.jsonl", {"prompt": "?"})
    with pytest.raises(DataError, match=r"unknown language code 'prompts'"):
        read(path, language_from_name=True)


def test_a_missing_file_and_an_empty_folder_are_errors(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"no \.jsonl file in this folder"):
        read(tmp_path)


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", {"prompt": "?"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x\.parquet: not a whole Parquet file"):
        read(path)


@pytest.mark.parametrize(
    "options",
    [
        {"language": "English"},
        {"language": "en", "language_from_name": True},
        {"id_template": "{language}"},
        {"id_template": "{id}{prompt}"},
        {"id_template": "{id"},
        {"limit": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]):
    with pytest.raises(ValidationError):
        Jsonl(path="x.jsonl", **options)
