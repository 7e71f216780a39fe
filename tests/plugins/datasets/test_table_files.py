"""Laws of the data sets read from files: which record a row gives, and what every bad row is told."""

import csv
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import ValidationError

from aya_core.api import DataError, Demonstration, Preference, Prompt, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.datasets.delimited import Csv
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.names import Columns
from aya_plugins.datasets.parquet import Parquet
from aya_recipe.options.words import read_dataset


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


def test_scored_answers_to_a_prompt_share_its_id_where_the_column_is_named(tmp_path: Path):
    rows = [{**ROW, "completion": text, "score": score} for text, score in (("üç", 1), ("iki", 0.5))]
    path = write(tmp_path / "g.jsonl", *rows, {**ROW, "id": "b", "completion": "üç", "score": -1})
    found = read(path, columns=Columns(score="score"))
    assert [(row.prompt.id, row.completion, row.score) for row in found] == [
        ("a", "üç", 1),
        ("a", "iki", 0.5),
        ("b", "üç", -1),
    ]
    with pytest.raises(DataError, match="id 'a' was used before"):
        read(path)
    apart = write(tmp_path / "apart.jsonl", rows[0], {**rows[0], "id": "b"}, rows[1])
    with pytest.raises(DataError, match=r"apart.jsonl:3: id 'a' was used before"):
        read(apart, columns=Columns(score="score"))


def test_a_path_that_no_file_can_have_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot be opened .File name too long"):
        read(tmp_path / ("ab" * 200))


def test_a_message_names_some_columns_of_a_row_with_very_many(tmp_path: Path):
    path = write(tmp_path / "wide.jsonl", {f"{n}{'x' * 500}": 1 for n in range(500)})
    with pytest.raises(DataError, match=r"columns found: 0xxx.* and 460 more") as told:
        read(path)
    assert len(str(told.value)) < 3000


@pytest.mark.parametrize("score", ["good", None, True, float("nan"), 10**400])
def test_a_score_that_is_no_number_is_told_with_its_line(tmp_path: Path, score: Any):
    path = write(tmp_path / "g.jsonl", {**ROW, "completion": "üç", "score": score})
    with pytest.raises(DataError, match=r"g.jsonl:1: the score is .*; expected a finite number"):
        read(path, columns=Columns(score="score"))


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


def test_columns_of_ones_choice_are_kept_with_each_prompt_as_text(tmp_path: Path):
    rows = [
        {**ROW, "id": "a", "check": "unit", "level": 3, "easy": True, "steps": ["bir", 2]},
        {**ROW, "id": "b", "check": "", "level": 2.5, "easy": None, "steps": {"ü": None}},
    ]
    columns = Columns(meta=("check", "level", "easy", "steps"))
    found = [row.meta for row in read(write(tmp_path / "m.jsonl", *rows), columns=columns)]
    assert found == [
        {"check": "unit", "level": "3", "easy": "true", "steps": '["bir", 2]'},
        {"check": "", "level": "2.5", "easy": "", "steps": '{"ü": null}'},
    ]
    completed = write(tmp_path / "d.jsonl", {**rows[0], "completion": "üç"})
    assert read(completed, columns=Columns(meta=("check",)))[0].prompt.meta == {"check": "unit"}
    assert read(tmp_path / "m.jsonl")[0].meta == {}


def test_a_column_to_keep_must_be_in_every_row_and_be_writable_as_text(tmp_path: Path):
    path = write(tmp_path / "m.jsonl", {**ROW, "check": "unit"}, {**ROW, "id": "b"})
    with pytest.raises(DataError, match=r"m\.jsonl:2: no column 'check'; known: id, language, prompt"):
        read(path, columns=Columns(meta=("check",)))
    with pytest.raises(DataError, match="no column 'chek'; did you mean 'check'"):
        read(path, columns=Columns(meta=("chek",)))
    dated = write_parquet(tmp_path / "m.parquet", {**ROW, "day": date(2024, 1, 2)})
    with pytest.raises(DataError, match="column 'day' is a date; expected what JSON can hold"):
        read(dated, columns=Columns(meta=("day",)))


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


def test_a_limit_may_be_larger_than_any_number_of_rows(tmp_path: Path):
    path = write(tmp_path / "l.jsonl", ROW, {**ROW, "id": "b"})
    assert [row.id for row in read(path, limit=10**40)] == ["a", "b"]


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
        (
            {"id": "b", "prompt": "?", "language": "Englisch"},
            "unknown language code 'Englisch'; did you mean 'English'",
        ),
        ({"id": "b", "prompt": "?", "language": "E"}, "say which language it is by a map, languages: {E: de}"),
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
    with pytest.raises(DataError, match=r"no \.jsonl or \.json file in this folder"):
        read(tmp_path)


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path):
    path = write_parquet(tmp_path / "x.parquet", {"prompt": "?"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x\.parquet: not a whole Parquet file"):
        read(path)


@pytest.mark.parametrize(
    "options",
    [
        {"language": "Englisch"},
        {"language": "en", "language_from_name": True},
        {"id_template": "{language}"},
        {"id_template": "{id}{prompt}"},
        {"id_template": "{id"},
        {"limit": 0},
        {"folds": {"count": 1, "keep": (0,)}},
        {"folds": {"count": 4, "keep": ()}},
        {"folds": {"count": 4, "keep": (4,)}},
        {"folds": {"count": 4, "keep": (-1,)}},
        {"folds": {"count": 4, "keep": (1, 1)}},
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]):
    with pytest.raises(ValidationError):
        Jsonl(path="x.jsonl", **options)


def test_folds_divide_the_rows_whatever_their_order(tmp_path: Path):
    rows = [{"id": f"q{n}", "prompt": "?"} for n in range(200)]
    forwards, backwards = write(tmp_path / "f.jsonl", *rows), write(tmp_path / "b.jsonl", *rows[::-1])
    parts = [[row.id for row in read(forwards, folds={"count": 4, "keep": (fold,)})] for fold in range(4)]
    assert sorted(id for part in parts for id in part) == sorted(row["id"] for row in rows)
    assert all(30 <= len(part) <= 70 for part in parts)  # 50 each, give or take three standard deviations
    assert [row.id for row in read(backwards, folds={"count": 4, "keep": (0,)})] == parts[0][::-1]
    both = {row.id for row in read(forwards, folds={"count": 4, "keep": (1, 3)})}
    assert both == {*parts[1], *parts[3]}


def test_a_question_is_in_the_same_fold_in_all_its_languages_and_kinds_of_file(tmp_path: Path):
    folds = {"count": 4, "keep": (1,)}
    rows = [{"question_id": n, "prompt": "?"} for n in range(50)]
    texts = [{"question_id": str(n), "prompt": "?"} for n in range(50)]
    write(tmp_path / "ar.jsonl", *rows)
    write(tmp_path / "tr.jsonl", *texts)
    write_parquet(tmp_path / "zh.parquet", *texts)
    found = [
        [row.id.split("/")[1] for row in read(tmp_path / name, id_template="{language}/{id}", folds=folds, **options)]
        for name, options in (
            ("ar.jsonl", {"language": "ar"}), ("tr.jsonl", {"language": "tr"}), ("zh.parquet", {"language": "zh"})
        )
    ]  # fmt: skip
    assert found[0] == found[1] == found[2]
    assert 0 < len(found[0]) < 50


def test_rows_with_the_same_value_of_the_column_named_share_a_fold(tmp_path: Path):
    path = write(tmp_path / "t.jsonl", *({"id": str(n), "topic": f"t{n % 10}", "prompt": "?"} for n in range(100)))
    kept = {int(row.id) % 10 for row in read(path, folds={"count": 2, "keep": (0,), "by": "topic"})}
    rest = {int(row.id) % 10 for row in read(path, folds={"count": 2, "keep": (1,), "by": "topic"})}
    assert kept | rest == set(range(10))
    assert not kept & rest


def test_a_limit_counts_the_rows_of_the_folds(tmp_path: Path):
    path = write(tmp_path / "l.jsonl", *({"id": str(n), "prompt": "?"} for n in range(40)))
    folds = {"count": 2, "keep": (1,)}
    assert read(path, folds=folds, limit=5) == read(path, folds=folds)[:5]


def test_a_column_that_cannot_be_hashed_is_an_error_with_its_file_and_line(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", {"id": "a", "prompt": "?", "topic": None})
    with pytest.raises(DataError, match=r"x\.jsonl:1: column 'topic' is None; expected a text or a whole number"):
        read(path, folds={"count": 2, "keep": (0,), "by": "topic"})
    with pytest.raises(DataError, match=r"x\.jsonl:1: no column 'topc'; did you mean 'topic'\?"):
        read(path, folds={"count": 2, "keep": (0,), "by": "topc"})


def test_delimited_files_give_the_rows_that_jsonl_gives(tmp_path: Path):
    rows = [
        {"id": f"a{n}", "language": "tr", "prompt": f'Kaç, "{n}"?\n\tSöyle', "reference": ref, "n": f"{n}"}
        for n, ref in enumerate(("3", None, "5"))
    ]
    columns = Columns(meta=("n",))
    expected = read(write(tmp_path / "p.jsonl", *rows), columns=columns)
    for name, delimiter in (("p.csv", ","), ("p.tsv", "\t"), ("p.txt", ";")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0], delimiter=delimiter)
            table.writeheader()
            table.writerows(rows)
        options = {"delimiter": ";"} if delimiter == ";" else {}
        assert list(Csv(path=str(tmp_path / name), columns=columns, **options).build().rows(0)) == expected


def test_scores_in_delimited_files_are_numbers(tmp_path: Path):
    path = tmp_path / "g.csv"
    path.write_text("id,prompt,completion,s\na,x,y,0.5\na,x,z,-1\n")
    settings = {"path": str(path), "columns": Columns(score="s")}
    assert [row.score for row in Csv(**settings).build().rows(0)] == [0.5, -1]
    path.write_text("id,prompt,completion,s\na,x,y,good\n")
    with pytest.raises(DataError, match=r"g.csv:2: the score is 'good'; expected a number in column 's'"):
        list(Csv(**settings).build().rows(0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"id,prompt\na,x,y\n", r"p.csv:2: 3 cells; expected 2, as in the header"),
        (b'id,prompt\na,"x\ny"\nb,"z\n', r"p.csv:4: not a row of delimited text"),
        (b"id,prompt\na,\xff\n", r"p.csv:\d: not UTF-8"),
        (b"id,prompt,id\na,b,c\n", r"p.csv:1: the header names 'id' twice"),
        (b"id,prompt\na,\n", r"p.csv:2: no prompt; expected it in column 'prompt'"),
    ],
)
def test_bad_delimited_files_are_told_the_line(tmp_path: Path, text: bytes, message: str):
    (tmp_path / "p.csv").write_bytes(text)
    with pytest.raises(DataError, match=message):
        list(Csv(path=str(tmp_path / "p.csv")).build().rows(0))


def test_the_prompts_of_m_arena_hard_and_dolly_are_read_as_they_were_published(shared_data: Path):
    questions = shared_data / "m_arena_hard" / "questions"
    columns = Columns(language="lang", meta=("cluster",))
    arena = Jsonl(path=str(questions), columns=columns, id_template="{language}/{id}").build().rows(0)
    languages = Counter(row.language for row in arena if isinstance(row, Prompt))
    assert len(languages) == 23
    assert set(languages.values()) == {500}
    dolly = list(Csv(path=str(shared_data / "language_confusion" / "dolly"), limit=150).build().rows(0))
    assert len({prompt.id for prompt in dolly if isinstance(prompt, Prompt)}) == 150
    assert dolly[0] == user_prompt("ar-1", "ar", "ما هي 5 طرق لتناول التفاح؟")


@pytest.mark.parametrize("kind", [Parquet, Jsonl, Csv])
def test_a_folder_for_each_language_names_it(tmp_path: Path, kind: Any) -> None:
    for language in ("de", "tr"):
        (tmp_path / language).mkdir()
        row = {"question_id": "q", "prompt": f"in {language}"}
        if kind is Parquet:
            write_parquet(tmp_path / language / "test-00000-of-00001.parquet", row)
        elif kind is Jsonl:
            write(tmp_path / language / "question.jsonl", row)
        else:
            (tmp_path / language / "test.csv").write_text(f"question_id,prompt\nq,in {language}\n")
    found = list(kind(path=str(tmp_path), language_from_name=True, id_template="{language}/{id}").build().rows(0))
    assert found == [user_prompt("de/q", "de", "in de"), user_prompt("tr/q", "tr", "in tr")]
    assert read_dataset(str(tmp_path), "--prompts")["path"] == str(tmp_path)


def test_a_question_that_languages_share_is_one_item(tmp_path):
    for code in ("ar", "tr"):
        write(tmp_path / f"{code}.jsonl", {"question_id": "q1", "prompt": "?"}, {"question_id": 2, "prompt": "?"})
    rows = read(tmp_path, language_from_name=True, id_template="{language}/{id}")
    assert [(row.id, row.item) for row in rows] == [("ar/q1", "q1"), ("ar/2", "2"), ("tr/q1", "q1"), ("tr/2", "2")]


def test_an_item_is_what_its_column_holds_and_otherwise_not_known(tmp_path):
    file = write(tmp_path / "x.jsonl", {"id": "a", "prompt": "?", "item": 7}, {"id": "b", "prompt": "?"})
    assert [row.item for row in read(file)] == ["7", None]
    other = write(tmp_path / "y.jsonl", {"id": "a", "prompt": "?", "question": "q"})
    assert [row.item for row in read(other, columns=Columns(item="question"))] == ["q"]
    with pytest.raises(DataError, match=r"y.jsonl:1: no column 'questions'; did you mean 'question'"):
        read(other, columns=Columns(item="questions"))
    bad = write(tmp_path / "z.jsonl", {"id": "a", "prompt": "?", "item": ["q"]})
    with pytest.raises(DataError, match=r"z.jsonl:1: the item is \['q'\]; expected a text or a whole number"):
        read(bad)


def test_rows_without_ids_of_their_own_are_no_items(tmp_path):
    file = write(tmp_path / "ar.jsonl", {"prompt": "?"})
    (row,) = read(file, language_from_name=True, id_template="{language}/{id}")
    assert row.item is None
