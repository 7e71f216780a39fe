"""Laws of the recorded teacher: it says what was written, of the model asked for, and nothing else."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.api import Completion, DataError, Prompt, Sampling, Unanswered, user_prompt
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.teachers.recorded import Recorded, RecordedColumns


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def said(found: Iterable[Any]) -> list[str]:
    return [one.text for one in found]


def ask(path: Path, *ids: str, n: int = 1, **settings: Any) -> list[Any]:
    prompts = [user_prompt(id, "en", "?") for id in ids]
    return list(Recorded(path=str(path), **settings).build().answer(prompts, Sampling(n=n), 0))


def test_answers_are_those_recorded_for_the_prompts_asked(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p1", "answer": "one"}, {"id": "p2", "answer": "two"})
    assert ask(path, "p2", "p3", "p1") == [
        Completion("p2", "", 0, "two", finish_reason="recorded"),
        Unanswered("p3", "no recorded answer"),
        Completion("p1", "", 0, "one", finish_reason="recorded"),
    ]


def test_parquet_and_jsonl_records_of_a_folder_answer_together(tmp_path: Path):
    write(tmp_path / "a.jsonl", {"id": "p1", "answer": "one"})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"prompt_id": "p2", "text": "two"}]), tmp_path / "b.parquet")
    assert [answer.text for answer in ask(tmp_path, "p1", "p2")] == ["one", "two"]


def test_several_answers_are_samples_in_the_order_of_the_file(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", *({"id": "p", "answer": text} for text in "abc"))
    assert said(ask(path, "p", n=2)) == ["a", "b"]
    *found, left_out = ask(path, "p", n=4)
    assert said(found) == ["a", "b", "c"]
    assert left_out == Unanswered("p", "fewer recorded answers than samples asked for")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "p", "answer": None}, "the recorded answer is null"),
        ({"id": "p", "generation": None}, "the recorded answer is null"),
        ({"id": "p", "generations": [None]}, "the recorded answer is null"),
        ({"id": "p", "error": {"message": "too long"}}, "the row says: too long"),
        (
            {"id": "batch_1", "custom_id": "p", "response": None, "error": {"message": "expired"}},
            "the batch says: expired",
        ),
        (
            {"custom_id": "p", "response": {"status_code": 400, "body": {"error": {"message": "no"}}}},
            "the batch says: no",
        ),
        ({"custom_id": "p", "result": {"type": "expired"}}, "the batch holds no answer"),
        (
            {"custom_id": "p", "result": {"type": "errored", "error": {"error": {"message": "no"}}}},
            "the batch says: no",
        ),
        ({"prompt_id": "p", "id": "chatcmpl-1", "choices": [{"said": 1}]}, "a choice has no message"),
        ({"id": "p", "answer": "half of", "finish_reason": "error"}, "the recorded answer was broken off"),
        (
            {
                "custom_id": "p",
                "response": {"body": {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]}},
            },
            "an answer that the server broke off",
        ),
        (
            {
                "custom_id": "p",
                "response": {
                    "body": {"object": "response", "status": "failed", "error": {"message": "tired"}, "output": []}
                },
            },
            "the batch says: tired",
        ),
    ],
)
def test_a_failure_that_was_written_down_is_no_answer_and_says_why(tmp_path: Path, row: dict[str, Any], reason: str):
    path = write(tmp_path / "a.jsonl", {"id": "q", "answer": "x"}, row)
    assert said(ask(path, "q")) == ["x"]
    (found,) = ask(path, "p")
    assert isinstance(found, Unanswered)
    assert reason in found.reason


OPENAI = {"message": {"content": "four", "reasoning_content": "two and two"}, "finish_reason": "length"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt_id": "p", "teacher": "a", "index": 0, "text": "four", "prompt_tokens": 5, "completion_tokens": 7,
         "finish_reason": "length", "reasoning": "two and two"},
        {"id": "batch_1", "custom_id": "p", "error": None, "response": {"status_code": 200, "body": {
            "choices": [OPENAI], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}}},
        {"custom_id": "p", "result": {"type": "succeeded", "message": {
            "content": [{"type": "thinking", "thinking": "two and two"}, {"type": "text", "text": "four"}],
            "stop_reason": "max_tokens", "usage": {"input_tokens": 5, "output_tokens": 7}}}},
        {"custom_id": "p", "response": {"body": {"object": "response", "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"}, "usage": {"input_tokens": 5, "output_tokens": 7}, "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "two and two"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "four"}]}]}}},
        {"id": "p", "response": {"id": "chatcmpl-1", "choices": [OPENAI], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}},
        {"id": "chatcmpl-1", "prompt_id": "p", "choices": [OPENAI], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
        {"id": "p", "answer": "<think>two and two</think>four", "finish_reason": "length", "input_tokens": 5, "output_tokens": 7},
    ],
)  # fmt: skip
def test_what_others_say_of_an_answer_is_read(tmp_path: Path, row: dict[str, Any]):
    path = write(tmp_path / "a.jsonl", row)
    assert ask(path, "p") == [Completion("p", "", 0, "four", 5, 7, "length", "two and two")]


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ({"completion": [{"role": "assistant", "content": "four"}]}, ["four"]),
        ({"answer": [{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]}, ["four"]),
        ({"response": {"role": "assistant", "content": "four"}}, ["four"]),
        ({"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "four"}]}, ["four"]),
        ({"generations": ["four", None, "vier"]}, ["four", "vier"]),
        ({"generation": ["four", None, "vier"]}, ["four", "vier"]),
    ],
)
def test_nested_answers_are_read(tmp_path: Path, answer: dict[str, Any], texts: list[str]):
    path = write(tmp_path / "a.jsonl", {"id": "p", **answer})
    assert said(one for one in ask(path, "p", n=3) if isinstance(one, Completion)) == texts


def test_reasoning_can_be_kept_in_the_answer(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p", "answer": "<think>two</think>four"})
    assert said(ask(path, "p", reasoning="keep")) == ["<think>two</think>four"]


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
    given = {one.prompt_id: one.text for one in teacher.answer(asked, Sampling(), 0) if isinstance(one, Completion)}
    assert given == {"ar/q": "ar", "zh/q": "zh"} == {prompt.id: prompt.text for prompt in asked}


def test_columns_of_other_names_are_read_where_they_are_named(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"key": 5, "reply": "five", "by": "m"})
    columns = RecordedColumns(id="key", answer="reply", model="by")
    assert [answer.text for answer in ask(path, "5", columns=columns, model="m")] == ["five"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "p"}, "no answer; expected a text in column 'answer'; the row holds id"),
        ({"id": "p", "answer": {"said": 3}}, "expected a text"),
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


def test_a_model_that_is_no_name_is_an_error_and_one_that_is_a_number_is_its_digits(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p1", "answer": "x", "model": 7})
    assert said(ask(path, "p1", model="7")) == ["x"]
    write(path, {"id": "p1", "answer": "x", "model": ["a"]})
    with pytest.raises(DataError, match=r"a\.jsonl:1: the model is \['a'\]; expected a name in column 'model'"):
        ask(path, "p1")


def test_a_named_column_that_is_missing_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "p", "answer": "x"})
    with pytest.raises(DataError, match="no column 'anwser'; did you mean 'answer'"):
        ask(path, "p", columns=RecordedColumns(answer="anwser"))
