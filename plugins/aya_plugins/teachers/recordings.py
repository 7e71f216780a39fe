"""Rows in which answers were written down: our own exports, batch outputs of servers, and what distilabel and litellm write.

A row that holds no answer says why, as far as it does: failures are written as null, or as an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aya_core.api import DataError
from aya_plugins.answers.endings import BROKEN, ending
from aya_plugins.datasets.files import Line
from aya_plugins.teachers.runtime.openai_reply import Choice, NotACompletionError, read_reply

RECORDED = "recorded"
"""How an answer ended whose row does not say."""

ANSWERS = ("answer", "completion", "text", "generation", "generations", "response", "output", "messages")
ENDS = ("finish_reason", "stop_reason")
REASONING = ("reasoning", "reasoning_content", "thinking", "thought")
PROMPT_TOKENS = ("prompt_tokens", "input_tokens")
ANSWER_TOKENS = ("completion_tokens", "output_tokens")
"""The columns that are looked for, the first that is filled."""

MORE = frozenset((*ENDS, *REASONING, *PROMPT_TOKENS, *ANSWER_TOKENS, "custom_id", "choices"))
"""Columns of rows that say more than a text, or that are replies of servers."""

ERROR_LETTERS = 200
"""Of an error that are kept as a reason."""


class Recording(NamedTuple):
    """One answer of a row. text: None where there is none, for a reason."""

    text: str | None
    reason: str = ""
    reasoning: str = ""
    finish_reason: str = RECORDED
    prompt_tokens: int = 0
    completion_tokens: int = 0


def is_reply(row: Mapping[str, Any]) -> bool:
    """Whether a row is what a server sent, or a line of a batch: its `id` is then the server's."""
    return "custom_id" in row or isinstance(row.get("choices"), list)


def bare_answer(row: Mapping[str, Any], column: str | None) -> str | None:
    """The answer of a row that says nothing beside it, as most do; None for any other row."""
    if not MORE.isdisjoint(row):
        return None
    for name in ANSWERS if column is None else (column,):
        if (found := row.get(name)) is not None:
            return found if isinstance(found, str) else None
    return None


def recordings(line: Line, column: str | None) -> Iterator[Recording]:
    """Yield the answers of a row. column: the one that holds them, where it is named. Raises DataError for what is no answer at all."""
    row = line.row
    if column is None and is_reply(row):
        yield from _reply(line, row)
        return
    names = ANSWERS if column is None else (column,)
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        yield Recording(None, _why_none(line, row, names))
        return
    value = row[name]
    if isinstance(value, dict) and is_reply(value):
        yield from _reply(line, {**value, "error": row.get("error")})
        return
    for one in value if _are_samples(name, value) else [value]:
        if one is None:
            yield Recording(None, "the recorded answer is null")
        else:
            yield _answer(line, row, name, one)


def _are_samples(name: str, value: Any) -> bool:
    """Whether an answer is a list of several. (A list of parts or messages is one, of mappings.)"""
    if not isinstance(value, (list, tuple)):
        return False
    return name == "generations" or (len(value) > 0 and all(one is None or isinstance(one, str) for one in value))


def _answer(line: Line, row: Mapping[str, Any], name: str, value: Any) -> Recording:
    text, thought = _text(line, name, value)
    reasoning = _first(row, REASONING)
    ended = ending(_first(row, ENDS), RECORDED)
    if ended == BROKEN:
        return Recording(None, "the recorded answer was broken off")
    return Recording(
        text, "", reasoning if isinstance(reasoning, str) else thought, ended,
        _count(row, PROMPT_TOKENS), _count(row, ANSWER_TOKENS),
    )  # fmt: skip


def _text(line: Line, name: str, value: Any) -> tuple[str, str]:
    """The answer, and the reasoning beside it: of a text, a list of parts, or a message or the last of a list of them."""
    if isinstance(value, str):
        return value, ""
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    message = value[-1] if is_list else value
    if is_list and not (isinstance(message, dict) and "content" in message):
        message = {"content": list(value)}  # parts of one text
    if isinstance(message, dict) and "content" in message and message.get("role", "assistant") == "assistant":
        choice = _choices(line, {"choices": [{"message": message}]})[0]
        return choice.text, choice.reasoning
    raise DataError(f"{line.place}: the answer is {value!r:.80}; expected a text in column '{name}'")


def _reply(line: Line, row: Mapping[str, Any]) -> Iterator[Recording]:
    """A reply of a server by itself, or in a line of a batch of OpenAI's or Anthropic's."""
    response, result = row.get("response"), row.get("result")
    body = response.get("body") if isinstance(response, dict) else row
    if isinstance(result, dict):
        message = result.get("message")
        body = None
        if isinstance(message, dict):
            usage = message.get("usage")
            usage = usage if isinstance(usage, dict) else {}
            body = {
                "choices": [{"message": {"content": message.get("content")}, "finish_reason": message.get("stop_reason")}],
                "usage": {
                    "prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens"),
                },
            }  # fmt: skip
    if isinstance(body, dict) and body.get("object") == "response":
        body = _as_completion(body)
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        found = [row.get("error"), (result or {}).get("error") if isinstance(result, dict) else None]
        found += [body.get("error") if isinstance(body, dict) else None]
        error = next((one for one in found if one), None)
        yield Recording(None, f"the batch says: {_said(error)}" if error else "the batch holds no answer")
        return
    try:
        reply = read_reply(json.dumps(body, default=str).encode())
    except NotACompletionError as error:
        yield Recording(None, f"the recorded reply is {error}")
        return
    for choice in reply.choices:
        ended = RECORDED if choice.finish_reason == "unknown" else choice.finish_reason
        yield Recording(choice.text, "", choice.reasoning, ended, reply.prompt_tokens, choice.tokens)
    for _ in range(reply.withheld):
        yield Recording(None, "a content filter kept the recorded answer back")


def _as_completion(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What OpenAI's interface of responses said, as a chat completion: the parts of all its items in their order."""
    items = body.get("output")
    items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    parts: list[Any] = []
    for item in items:
        content = item.get("content")
        is_said = item.get("type") == "message" and isinstance(content, list)
        parts += content if is_said else [item]  # reasoning, and what calls tools
    details = body.get("incomplete_details")
    ended = details.get("reason") if isinstance(details, dict) else None
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return {
        "error": body.get("error"),
        "choices": [{"message": {"content": parts}, "finish_reason": ended or body.get("status")}] if items else [],
        "usage": {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")},
    }  # fmt: skip


def _choices(line: Line, body: Mapping[str, Any]) -> Sequence[Choice]:
    try:
        return read_reply(json.dumps(body, default=str).encode()).choices
    except NotACompletionError:
        raise DataError(
            f"{line.place}: the answer is {body!r:.80}; expected a text, parts of one, or a message"
        ) from None


def _why_none(line: Line, row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Why a row has no answer. Raises DataError where it has no place for one."""
    if row.get("error"):
        return f"the row says: {_said(row['error'])}"
    if any(name in row for name in names):
        return "the recorded answer is null"
    held = ", ".join(sorted(row))
    raise DataError(f"{line.place}: no answer; expected a text in column '{names[0]}'; the row holds {held}")


def _said(error: Any) -> str:
    """An error in words."""
    while isinstance(error, dict):
        error = next((error[key] for key in ("message", "error", "detail", "type", "code") if error.get(key)), None)
    return " ".join(str(error).split())[:ERROR_LETTERS]


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _count(row: Mapping[str, Any], names: Sequence[str]) -> int:
    number = _first(row, names)
    return (
        int(number) if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < 2**40 else 0
    )
