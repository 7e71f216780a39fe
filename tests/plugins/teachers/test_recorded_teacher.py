"""Laws of the recorded teacher: it says what was written, of the model asked for, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.api import Completion, DataError, Prompt, Sampling, user_prompt
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.teachers.recorded import Recorded, RecordedColumns


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def ask(path: Path, *ids: str, n: int = 1, **settings: Any) -> list[Completion]:
    prompts = [user_prompt(id, "en", "?") for id in ids]
    return list(Recorded(path=str(path), **settings).build().answer(prompts, Sampling(n=n), 0))


def test_answers_are_those_recorded_for_the_prompts_asked(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p1", "answer": "one"}, {"id": "p2", "answer": "two"})
    assert ask(path, "p2", "p3", "p1") == [
        Completion("p2", "", 0, "two", finish_reason="recorded"),
        Completion("p1", "", 0, "one", finish_reason="recorded"),
    ]


def test_parquet_and_jsonl_records_of_a_folder_answer_together(tmp_path: Path):
    write(tmp_path / "a.jsonl", {"id": "p1", "answer": "one"})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"prompt_id": "p2", "text": "two"}]), tmp_path / "b.parquet")
    assert [answer.text for answer in ask(tmp_path, "p1", "p2")] == ["one", "two"]


def test_several_answers_are_samples_in_the_order_of_the_file(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", *({"id": "p", "answer": text} for text in "abc"))
    assert [(answer.index, answer.text) for answer in ask(path, "p", n=2)] == [(0, "a"), (1, "b")]
    with pytest.raises(DataError, match="3 answers to 'p', sampling asks for n = 4"):
        ask(path, "p", n=4)


def test_only_the_model_asked_for_answers(tmp_path: Path):
    rows = [{"id": "p", "model": name, "answer": name.upper()} for name in ("ana", "bo")]
    path = write(tmp_path / "a.jsonl", *rows)
    assert [answer.text for answer in ask(path, "p", model="bo")] == ["BO"]
    with pytest.raises(DataError, match=r"answers of several models \(ana, bo\); say which"):
        ask(path, "p")
    with pytest.raises(DataError, match="no answers of 'boo'; did you mean 'bo'"):
        ask(path, "p", model="boo")


def test_ids_that_languages_share_are_told_apart_by_the_same_template_as_the_prompts(tmp_path: Path):
    prompts, answers = tmp_path / "prompts", tmp_path / "answers"
    for folder in (prompts, answers):
        folder.mkdir()
    for language in ("ar", "zh"):
        write(prompts / f"{language}.jsonl", {"question_id": "q", "prompt": language})
        write(answers / f"{language}.jsonl", {"question_id": "q", "model": "m", "answer": language})
    template: dict[str, Any] = {"language_from_name": True, "id_template": "{language}/{id}"}
    asked = [row for row in Jsonl(path=str(prompts), **template).build().rows(0) if isinstance(row, Prompt)]
    teacher = Recorded(path=str(answers), model="m", **template).build()
    given = {answer.prompt_id: answer.text for answer in teacher.answer(asked, Sampling(), 0)}
    assert given == {"ar/q": "ar", "zh/q": "zh"} == {prompt.id: prompt.text for prompt in asked}


def test_columns_of_other_names_are_read_where_they_are_named(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"key": 5, "reply": "five", "by": "m"})
    columns = RecordedColumns(id="key", answer="reply", model="by")
    assert [answer.text for answer in ask(path, "5", columns=columns, model="m")] == ["five"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "p"}, "the answer is None; expected a text"),
        ({"id": "p", "answer": 3}, "the answer is 3; expected a text"),
        ({"id": None, "answer": "x"}, "no prompt id"),
        ({"answer": "x"}, "no prompt id"),
        ({"id": 1.5, "answer": "x"}, "the id is 1.5; expected a text or a whole number"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_with_its_file_and_line(
    tmp_path: Path, row: dict[str, Any], expected: str
):
    path = write(tmp_path / "a.jsonl", {"id": "q", "answer": "x"}, row)
    with pytest.raises(DataError, match=r"a\.jsonl:2: ") as error:
        ask(path, "p")
    assert expected in str(error.value)


def test_a_named_column_that_is_missing_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p", "answer": "x"})
    with pytest.raises(DataError, match="no column 'anwser'; did you mean 'answer'"):
        ask(path, "p", columns=RecordedColumns(answer="anwser"))
