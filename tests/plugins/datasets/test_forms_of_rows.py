"""Rows as they lie around: each usual form gives the record that it means, says how it was read, and loses nothing in silence."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from aya_core.api import DataError, Demonstration, Preference, Prompt, user_prompt
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.names import Columns
from aya_plugins.datasets.parquet import Parquet


def says(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


HI, HELLO, GO = says("user", "Hi"), says("assistant", "Hello"), says("assistant", "Go")
KIND = says("system", "Be kind")


def table(folder: Path, *rows: Any, **options: Any) -> Any:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Jsonl(path=str(path), **options).build()


def read(folder: Path, *rows: Any, **options: Any) -> list[Any]:
    return list(table(folder, *rows, **options).rows(0))


PROMPT = user_prompt("x-1", "und", "Hi")
DEMONSTRATION = Demonstration(PROMPT, "Hello")
PREFERENCE = Preference(PROMPT, "Hello", "Go")
LONGER = Prompt("x-1", "und", (HI, HELLO, says("user", "more")))  # type: ignore[arg-type]
WITH_SYSTEM = Prompt("x-1", "und", (KIND, HI))  # type: ignore[arg-type]

CALL = [{"type": "function", "function": {"name": "w", "arguments": {"c": "Oslo"}}}]
TOOLS = [{"type": "function", "function": {"name": "w", "parameters": {}}}]
USED = [HI, says("assistant", None, tool_calls=CALL), says("tool", "5")]
WITH_TOOL = Prompt("x-1", "und", (HI, says("assistant", "", more={"tool_calls": CALL}), says("tool", "5")))  # type: ignore[arg-type]

FORMS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "messages": ({"messages": [HI, HELLO]}, DEMONSTRATION, "prompt from 'messages', all turns but the last, completion from its last turn"),
    "messages that ask": ({"messages": [HI]}, PROMPT, "prompt from 'messages'"),
    "messages beside a prompt": ({"prompt": "Hi", "messages": [HI, HELLO]}, DEMONSTRATION, "prompt from 'messages'"),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, DEMONSTRATION, "'conversations'",
    ),
    "sharegpt with a system column": (
        {"system": "Be kind", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        Demonstration(WITH_SYSTEM, "Hello"), "after 'system'",
    ),
    "several turns": (
        {"messages": [HI, HELLO, says("user", "more"), GO]}, Demonstration(LONGER, "Go"), "completion from its last turn",
    ),
    "parts": ({"prompt": [says("user", [{"type": "text", "text": "Hi"}])], "completion": "Hello"}, DEMONSTRATION, "prompt from 'prompt'"),
    "completion of several turns": (
        {"prompt": [HI], "completion": [HELLO, says("user", "more"), GO]}, Demonstration(LONGER, "Go"), "all turns of 'completion' but",
    ),
    "explicit": ({"prompt": [HI], "chosen": [HELLO], "rejected": [GO]}, PREFERENCE, "answers from 'chosen' and 'rejected'"),
    "implicit": ({"chosen": [HI, HELLO], "rejected": [HI, GO]}, PREFERENCE, "prompt from 'chosen', all turns but the last"),
    "ultrafeedback binarized": (
        {"prompt": "Hi", "prompt_id": "u", "chosen": [HI, HELLO], "rejected": [HI, GO], "messages": [HI, HELLO], "score_chosen": 9.0,
         "score_rejected": 2.5},
        Preference(user_prompt("u", "und", "Hi"), "Hello", "Go", chosen_score=9.0, rejected_score=2.5),
        "scores from 'score_chosen' and 'score_rejected'",
    ),
    "ultrafeedback": (
        {"source": "x", "instruction": "Hi", "models": ["a", "b", "c"],
         "completions": [{"model": "a", "response": "So-so", "overall_score": 5}, {"model": "b", "response": "Hello", "overall_score": 9},
                         {"model": "c", "response": "Go", "overall_score": 1}]},
        Preference(PROMPT, "Hello", "Go", chosen_score=9.0, rejected_score=1.0), "best and worst of 'completions' by 'overall_score'",
    ),
    "orca pairs": (
        {"system": "Be kind", "question": "Hi", "chosen": "Hello", "rejected": "Go"}, Preference(WITH_SYSTEM, "Hello", "Go"),
        "prompt from 'question' after 'system'",
    ),
    "alpaca": ({"instruction": "Hi", "input": "", "output": "Hello"}, DEMONSTRATION, "prompt from 'instruction' and 'input'"),
    "alpaca with input": (
        {"instruction": "Add", "input": "1, 2", "output": "3"}, Demonstration(user_prompt("x-1", "und", "Add\n\n1, 2"), "3"), "'input'",
    ),
    "dolly": (
        {"instruction": "Who?", "context": "Ana came.", "response": "Ana", "category": "qa"},
        Demonstration(user_prompt("x-1", "und", "Who?\n\nAna came."), "Ana"), "completion from 'response'",
    ),
    "messages as JSON": ({"messages": json.dumps([HI, HELLO])}, DEMONSTRATION, "prompt from 'messages'"),
    "messages as lists": (
        {"messages": {"role": ["user", "assistant"], "content": ["Hi", "Hello"]}}, DEMONSTRATION, "prompt from 'messages'",
    ),
    "transcripts": (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go"}, PREFERENCE,
        "prompt from 'chosen', all turns but the last",
    ),
    "orca": (
        {"system_prompt": "Be kind", "question": "Hi", "response": "Hello"}, Demonstration(WITH_SYSTEM, "Hello"),
        "prompt from 'question' after 'system'",
    ),
    "unpaired": ({"prompt": "Hi", "completion": "Hello", "label": True}, Preference(PROMPT, "Hello", None), "good or bad by 'label'"),
    "unpaired and bad": ({"prompt": [HI], "completion": [GO], "label": False}, Preference(PROMPT, None, "Go"), "good or bad by 'label'"),
    "tool calls": (
        {"messages": [HI, says("assistant", None, tool_calls=CALL)], "tools": json.dumps(TOOLS)},
        Demonstration(replace(PROMPT, tools=json.dumps(TOOLS)), "", more={"tool_calls": CALL}), "completion from its last turn",
    ),
    "arguments as text": (
        {"messages": [HI, says("assistant", "", tool_calls=[{"function": {"name": "w", "arguments": '{"c": "Oslo"}'}}])]},
        Demonstration(PROMPT, "", more={"tool_calls": CALL}), "completion from its last turn",
    ),
    "a function call of old": (
        {"messages": [HI, says("assistant", None, function_call={"name": "w", "arguments": '{"c": "Oslo"}'})]},
        Demonstration(PROMPT, "", more={"tool_calls": CALL}), "completion from its last turn",
    ),
    "a tool's turn": ({"prompt": USED, "completion": "It is 5"}, Demonstration(WITH_TOOL, "It is 5"), "prompt from 'prompt'"),
    "tools in sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": json.dumps(CALL[0]["function"])},
                           {"from": "observation", "value": "5"}, {"from": "gpt", "value": "It is 5"}]},
        Demonstration(WITH_TOOL, "It is 5"), "'conversations'",
    ),
    "reasoning": (
        {"prompt": [HI], "completion": [says("assistant", "Hello", reasoning_content="hm")]},
        Demonstration(PROMPT, "Hello", more={"reasoning_content": "hm"}), "completion from 'completion'",
    ),
    "reasoning as a part": (
        {"messages": [HI, says("assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}])]},
        Demonstration(PROMPT, "Hello", more={"thinking": "hm"}), "completion from its last turn",
    ),
    "how it ended": (
        {"prompt": "Hi", "completion": "Hello", "finish_reason": "length"}, Demonstration(PROMPT, "Hello", finish_reason="length"), "p",
    ),
    "a text": ({"text": "Some words"}, Demonstration(Prompt("x-1", "und", ()), "Some words"), "text from 'text', without a prompt"),
    "aya": ({"inputs": "Hi", "targets": "Hello"}, DEMONSTRATION, "prompt from 'inputs', completion from 'targets'"),
    "alpaca eval without answers": ({"instruction": "Hi"}, PROMPT, "prompt from 'instruction'"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_usual_form_is_read_and_says_how(tmp_path: Path, form: str):
    row, expected, how = FORMS[form]
    made = table(tmp_path, row)
    assert list(made.rows(0)) == [expected]
    ((said, count),) = made.account()["columns"].items()
    assert how in said
    assert count == 1


def test_columns_that_a_row_lacks_are_not_said_to_be_read(tmp_path: Path):
    made = table(tmp_path, {"instruction": "Hi"})
    assert list(made.rows(0)) == [PROMPT]
    assert list(made.account()["columns"]) == ["prompt from 'instruction'"]


def test_forms_that_say_the_same_give_the_same_record(tmp_path: Path):
    forms = ("messages", "sharegpt", "parts", "alpaca", "aya")
    assert {str(read(tmp_path, FORMS[form][0])) for form in forms} == {str([DEMONSTRATION])}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a prompt with tools": ({"prompt": "Hi", "tools": [{"name": "w"}]}, "the prompt holds more than text (tools), which teachers"),
    "observations": (
        {"conversations": [{"from": "human", "value": "?"}, {"from": "observation", "value": "5"}]}, "text (turns of the role tool)",
    ),
    "tool calls that are none": ({"messages": [HI, says("assistant", "", tool_calls=["w"])]}, "'w' is no call of a tool"),
    "a turn that is not to be learned": ({"messages": [HI, says("assistant", "Hello", weight=0)]}, "is not to be learned"),
    "pictures in a turn": ({"messages": [says("user", "Hi", images=["x"]), HELLO]}, "a turn of the user has 'images', which would be lost"),
    "arguments of a template": ({"prompt": "Hi", "completion": "x", "chat_template_kwargs": {"a": 1}}, "column 'chat_template_kwargs'"),
    "pictures": ({"prompt": [says("user", [{"type": "image_url", "image_url": "x"}])], "completion": "Hello"}, "is 'image_url'; only"),
    "a column of tools": ({"prompt": "Hi", "completion": "Hello", "tools": ["w"]}, "column 'tools' holds ['w']; expected a list of tools"),
    "a history": ({"instruction": "Hi", "output": "Hello", "history": [["a", "b"]]}, "column 'history'"),
    "steps with labels": ({"prompt": "Hi", "completions": ["a"], "labels": [True]}, "steps for a reward model of steps"),
    "stepwise": ({"prompt": "Hi", "completions": [], "text": "x", "labels": [], "chosen": "a"}, "no rejected answer"),
    "answers to two questions": ({"chosen": [HI, HELLO], "rejected": [says("user", "Ho"), GO]}, "differ before their last turn"),
    "another prompt": ({"prompt": "Ho", "chosen": [HI, HELLO], "rejected": [HI, GO]}, "does not begin as the prompt does"),
    "a conversation without a question": ({"messages": [HELLO]}, "'messages' holds an answer and no question"),
    "an implicit prompt in texts": ({"chosen": "The sky is blue", "rejected": "The sky is green"}, "common beginning may be part"),
    "messages that are no JSON": ({"messages": "[{'role'"}, "is no conversation as JSON"),
    "no column that is known": ({"texts": "Some"}, "instruction or inputs; columns found: texts"),
    "ratings that are missing": ({"instruction": "Hi", "completions": [{"response": "a"}]}, "completions hold response; expected"),
    "a rating that one answer lacks": (
        {"instruction": "Hi", "completions": [{"response": "a"}, {"response": "b", "overall_score": 1}]},
        "'overall_score' of a completion is None",
    ),
    "a rating that is no number": (
        {"instruction": "Hi", "completions": [{"response": "a", "overall_score": "N/A"}, {"response": "b", "overall_score": 1}]},
        "'overall_score' of a completion is 'N/A'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_a_row_that_holds_more_or_less_than_a_record_is_refused_by_name(tmp_path: Path, form: str):
    row, message = REFUSED[form]
    with pytest.raises(DataError, match=r"x\.jsonl:2: ") as error:
        read(tmp_path, {"prompt": "Ho", "id": "a"} if "chosen" not in row else {**FORMS["explicit"][0], "id": "a"}, row)
    assert message in str(error.value)


def test_what_is_empty_in_a_turn_is_nothing_that_would_be_lost(tmp_path: Path):
    row = {
        "messages": [{**HI, "tool_calls": None, "name": "x"}, {**HELLO, "tool_calls": [], "images": ""}],
        "tools": None,
    }
    assert read(tmp_path, row) == [DEMONSTRATION]


def test_a_column_to_be_kept_as_text_is_not_refused(tmp_path: Path):
    (row,) = read(tmp_path, {"prompt": "Hi", "tools": ["w"]}, columns=Columns(meta=("tools",)))
    assert row.meta == {"tools": '["w"]'}


def test_a_named_column_is_read_whatever_others_there_are(tmp_path: Path):
    row = {"prompt": "Hi", "messages": [HI, HELLO], "output": "x"}
    assert read(tmp_path, row, columns=Columns(prompt="prompt")) == [PROMPT]
    assert read(tmp_path, row, columns=Columns(completion="output")) == [Demonstration(PROMPT, "x")]


def test_rows_without_a_better_and_a_worse_answer_give_no_pair_and_are_counted(tmp_path: Path):
    equal = {"instruction": "Hi", "completions": [{"response": text, "overall_score": 7} for text in "ab"]}
    alone = {"instruction": "Hi", "completions": equal["completions"][:1]}
    made = table(tmp_path, FORMS["ultrafeedback"][0], equal, equal, alone)
    assert len(list(made.rows(0))) == 1
    assert made.account()["without_pair"] == {"answers of equal scores": 2, "a single answer": 1}
    assert len(list(made.rows(0))) == 1
    assert sum(made.account()["without_pair"].values()) == 3  # of the last reading, not of both


def test_conversations_that_end_with_a_question_are_left_out_among_answers_and_counted(tmp_path: Path):
    made = table(
        tmp_path, {"messages": [HI, HELLO]}, {"messages": [HI, HELLO, says("user", "more")]}, {"messages": [HI, GO]}
    )
    assert [row.completion for row in made.rows(0)] == ["Hello", "Go"]
    assert made.account()["without_pair"] == {"conversations without a last answer": 1}


def test_rows_that_we_wrote_ourselves_are_read_back_whole(tmp_path: Path):
    from aya_core.api import write_rows
    from aya_plugins.datasets.parquet import Parquet

    row = Demonstration(
        replace(WITH_TOOL, tools=json.dumps(TOOLS)), "It is 5", finish_reason="stop", more={"thinking": "hm"}
    )
    write_rows(tmp_path, Demonstration, [row])
    assert list(Parquet(path=str(tmp_path)).build().rows(0)) == [row]


LABELED: dict[str, dict[str, Any]] = {
    "prompt and completion": {"prompt": "Hi", "completion": "Hello"},
    "messages": {"messages": [HI, HELLO]},
    "instruction and output": {"instruction": "Hi", "output": "Hello"},
}


@pytest.mark.parametrize("form", LABELED)
@pytest.mark.parametrize("good", [True, 1, 1.0, "1", "1.0", "TRUE", "good", "desirable"])
def test_a_label_says_whether_an_answer_is_good_however_it_is_written(tmp_path: Path, form: str, good: Any):
    assert read(tmp_path, {**LABELED[form], "label": good}) == [Preference(PROMPT, "Hello", None)]
    bad = {True: False, "TRUE": "False", "good": "Bad", "desirable": "undesirable", "1": "0", "1.0": "0.0"}.get(good)
    assert read(tmp_path, {**LABELED[form], "label": bad}) == [Preference(PROMPT, None, "Hello")]


@pytest.mark.parametrize("form", LABELED)
def test_a_label_that_says_something_else_is_refused_or_kept(tmp_path: Path, form: str):
    row = {**LABELED[form], "label": "sports"}
    with pytest.raises(DataError, match=r"the label is 'sports'; expected true or false.*columns: \{meta: \[label\]\}"):
        read(tmp_path, row)
    (kept,) = read(tmp_path, row, columns=Columns(meta=("label",)))
    assert kept == replace(DEMONSTRATION, prompt=replace(PROMPT, meta={"label": "sports"}))


@pytest.mark.parametrize(
    ("written", "means"),
    [("max_tokens", "length"), ("MAX_TOKENS", "length"), ("FinishReason.MAX_TOKENS", "length"),
     ("max-tokens", "length"), ("ERROR_LIMIT", "length"),
      ("content_filter", "filtered"), ("model_length", "length"), ("end_turn", "stop"),
     ("length", "length"), ("recorded", "recorded")],
)  # fmt: skip
def test_how_an_answer_ended_is_read_in_the_words_of_any_server(tmp_path: Path, written: str, means: str):
    (row,) = read(tmp_path, {"prompt": "Hi", "completion": "Hello", "finish_reason": written})
    assert row.finish_reason == means


def test_an_answer_that_was_broken_off_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="the answer was broken off"):
        read(tmp_path, {"prompt": "Hi", "completion": "Hel", "finish_reason": "error"})


def test_a_refusal_stands_in_for_an_empty_content(tmp_path: Path):
    assert read(tmp_path, {"messages": [HI, says("assistant", None, refusal="Hello")]}) == [DEMONSTRATION]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"system": "Be rude", "messages": [KIND, HI, HELLO]}, "begins with a system turn"),
        ({"messages": [HI, HELLO], "tools": TOOLS, "functions": [{"name": "other"}]}, "both 'tools' and 'functions'"),
        ({"messages": [HI, says("assistant", "", tool_calls=CALL, function_call={"name": "w", "arguments": "{}"})]},
         "both 'tool_calls' and 'function_call'"),
    ],
)  # fmt: skip
def test_what_is_said_twice_and_not_alike_is_refused(tmp_path: Path, row: Any, said: str):
    with pytest.raises(DataError, match=said):
        read(tmp_path, row)


def test_a_system_prompt_that_is_said_twice_alike_is_one(tmp_path: Path):
    assert read(tmp_path, {"system": "Be kind", "messages": [KIND, HI, HELLO]}) == [Demonstration(WITH_SYSTEM, "Hello")]


def test_conversations_that_end_with_a_question_may_come_first(tmp_path: Path):
    asked, answered = {"messages": [HI]}, {"messages": [HI, HELLO]}
    made = table(tmp_path, asked, asked, answered, asked)
    assert [row.completion for row in made.rows(0)] == ["Hello"]
    assert made.account()["without_pair"] == {"conversations without a last answer": 3}
    assert len(read(tmp_path, asked, asked)) == 2


def test_keys_that_a_struct_does_not_fill_are_no_arguments(tmp_path: Path):
    """A column of structs has the keys of all rows in each."""
    calls = [[{"type": "function", "function": {"name": "w", "arguments": {"c": "Oslo"}}}],
             [{"type": "function", "function": {"name": "w", "arguments": {"d": [{"e": 1}, {"f": None}]}}}]]  # fmt: skip
    rows = [{"messages": [HI, {**says("assistant", ""), "tool_calls": call}], "tools": [{"name": "w", "x": n or None}]}
            for n, call in enumerate(calls)]  # fmt: skip
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    first, second = Parquet(path=str(tmp_path / "x.parquet")).build().rows(0)
    assert first.more["tool_calls"][0]["function"]["arguments"] == {"c": "Oslo"}
    assert second.more["tool_calls"][0]["function"]["arguments"] == {"d": [{"e": 1}, {}]}
    assert json.loads(first.prompt.tools)[0]["function"] == {"name": "w"}
    (plain,) = read(
        tmp_path, {"messages": [HI, {**says("assistant", ""), "tool_calls": [{"name": "w", "arguments": {"c": None}}]}]}
    )
    assert plain.more["tool_calls"][0]["function"]["arguments"] == {"c": None}
