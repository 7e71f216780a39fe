"""Turns of a conversation as files have them, to messages: what no record can hold is refused by name, never left out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aya_core.api import DataError, Line, Message, parse_json

ROLES = ("system", "user", "assistant", "tool")

OTHER_ROLES = {
    "human": "user", "gpt": "assistant", "model": "assistant", "developer": "system", "function": "tool", "ipython": "tool",
    "observation": "tool", "function_call": "assistant",
}  # fmt: skip
"""What files call the roles, ShareGPT's and LLaMA-Factory's among them."""

MORE = ("tool_calls", "reasoning_content", "reasoning", "thinking", "tool_plan")
"""What a turn may hold beside its text, by the names that chat templates know. Passed on as it is."""

OF_TOOLS = ("tool_call_id", "name")
"""What a turn of a tool may hold, too."""

UNSEEN = ("images", "image", "audio", "video", "videos", "citations", "documents")
"""What a turn may hold that no model here can see."""

UNSEEN_OF_ROWS = frozenset(
    {"images", "image", "audio", "audios", "video", "videos", "history", "documents", "chat_template_kwargs"}
)
"""Columns beside the conversation that a model would have to see, or a template to know."""

TOOLS = ("tools", "functions")
"""Columns of the tools that may be called."""

NOTHING: tuple[Any, ...] = (None, "", [], {})


def turns(line: Line, value: Any) -> tuple[Message, ...]:
    """Read a list of messages, with role and content or, as ShareGPT has them, from and value. Raises DataError."""
    return tuple(_message(line, turn) for turn in value)


def is_turns(value: Any) -> bool:
    """Whether a cell holds a list that is not empty."""
    return isinstance(value, (list, tuple)) and len(value) > 0


def listed(line: Line, value: Any) -> Any:
    """A conversation as a list of turns, where a table holds it as JSON text or as a list of roles and one of contents.

    Anything else is returned as it is. Raises DataError for text that is no JSON.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{line.place}: {value!r:.60} is no conversation as JSON ({error}); expected a list of messages"
            ) from None
    if isinstance(value, Mapping) and value and all(is_turns(one) for one in value.values()):
        return [dict(zip(value, turn, strict=True)) for turn in zip(*value.values(), strict=True)]
    return value


TRANSCRIPT = re.compile(r"\n\n(Human|Assistant):")
"""What begins a turn of a conversation written as one text, as in Anthropic's sets."""


def transcript(text: Any) -> list[dict[str, str]] | None:
    """The turns of a conversation written as one text; None for any other text."""
    if not isinstance(text, str) or not text.startswith("\n\nHuman:"):
        return None
    _, *parts = TRANSCRIPT.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def refuse_unseen(line: Line, kept: Sequence[str]) -> None:
    """Refuse a row with pictures, sound or arguments of a template, which no record can hold. kept: columns that are kept as text."""
    if UNSEEN_OF_ROWS.isdisjoint(line.row):
        return
    for name in sorted(UNSEEN_OF_ROWS):
        if line.row.get(name) not in NOTHING and name not in kept:
            raise DataError(
                f"{line.place}: column '{name}' holds more than text, which would be lost; leave such rows out, or keep the column "
                f"beside each prompt with columns: {{meta: [{name}]}}"
            )


def read_tools(line: Line, kept: Sequence[str]) -> str | None:
    """The tools of a row as JSON; None where it has none, or they are kept as text. Raises DataError for what is no list of them."""
    found: str | None = None
    for name in TOOLS:
        value: Any = line.row.get(name)
        if value in NOTHING or name in kept:
            continue
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except ValueError:
                value = None
        if value in NOTHING[1:]:
            continue
        if not is_turns(value) or not all(isinstance(one, Mapping) for one in value):
            raise DataError(
                f"{line.place}: column '{name}' holds {line.row[name]!r:.60}; expected a list of tools, each with a name, a description "
                f"and parameters, or keep the column as text with columns: {{meta: [{name}]}}"
            )
        if line.is_filled:
            value = without_nothing(value)
        whole = [one if "function" in one else {"type": "function", "function": one} for one in value]
        text = json.dumps(whole, ensure_ascii=False)
        if found is not None and found != text:
            raise DataError(
                f"{line.place}: both 'tools' and 'functions' hold tools, and not the same ones; leave one out"
            )
        found = text
    return found


def without_nothing(value: Any) -> Any:
    """What a table of structs gives, where each has the keys of all, without those that a row does not fill."""
    if isinstance(value, Mapping):
        return {name: without_nothing(one) for name, one in value.items() if one is not None}
    return [without_nothing(one) for one in value] if isinstance(value, (list, tuple)) else value


def _message(line: Line, turn: Any) -> Message:
    if not isinstance(turn, Mapping):
        raise _no_message(line, turn)
    said = turn.get("role", turn.get("from"))
    role = OTHER_ROLES.get(said, said) if isinstance(said, str) else said
    if role not in ROLES:
        raise _no_message(line, turn)
    for name in UNSEEN:
        if turn.get(name) not in NOTHING:
            raise DataError(
                f"{line.place}: a turn of the {role} has '{name}', which would be lost; leave such rows out"
            )
    if turn.get("weight") == 0 or turn.get("train") is False:
        raise DataError(
            f"{line.place}: a turn of the {role} says that it is not to be learned ('weight' or 'train'), which would be lost; leave such "
            "rows out"
        )
    more = {name: turn[name] for name in MORE if turn.get(name) not in NOTHING}
    if role == "tool":
        more |= {name: turn[name] for name in OF_TOOLS if turn.get(name) not in NOTHING}
    if isinstance(written := turn.get("more"), str) and written:  # as our own files have it
        more |= parse_json(written)
    content = turn.get("content", turn.get("value"))
    if content in NOTHING and turn.get("refusal") not in NOTHING:
        content = turn["refusal"]
    if said == "function_call":
        more["tool_calls"], content = _calls_in(line, content), ""
    elif turn.get("function_call") not in NOTHING:
        if "tool_calls" in more:
            raise DataError(f"{line.place}: a turn has both 'tool_calls' and 'function_call'; leave one out")
        more["tool_calls"] = [turn["function_call"]]
    if "tool_calls" in more:
        more["tool_calls"] = [_call(line, one) for one in _listed(line, more["tool_calls"])]
        content = content or ""
    if is_turns(content):
        content, thoughts = _parts(line, content)
        more |= {"thinking": thoughts} if thoughts else {}
    if not isinstance(content, str):
        raise _no_message(line, turn)
    message: Message = {"role": role, "content": content}
    if more:
        message["more"] = more
    return message


def _no_message(line: Line, turn: Any) -> DataError:
    return DataError(f"{line.place}: {turn!r:.80} is not a message; expected a role ({', '.join(ROLES)}) and a content")


def _listed(line: Line, calls: Any) -> Sequence[Any]:
    calls = listed(line, calls)
    if not is_turns(calls):
        raise DataError(f"{line.place}: tool_calls are {calls!r:.60}; expected a list of calls")
    return calls  # type: ignore[no-any-return]


def _call(line: Line, call: Any) -> Mapping[str, Any]:
    """A call as chat templates take it, its arguments an object and not the text of one."""
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise DataError(
            f"{line.place}: {call!r:.60} is no call of a tool; expected a function with a name and arguments"
        )
    arguments = inner.get("arguments", inner.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            read = parse_json(arguments or "{}")
        except ValueError:
            read = arguments
        arguments = read if isinstance(read, Mapping) else arguments
    elif line.is_filled:
        arguments = without_nothing(arguments)
    known = {"name": inner["name"], "arguments": arguments}
    outer = {name: value for name, value in call.items() if name in ("id", "index") and value is not None}
    return {**outer, "type": "function", "function": known}


def _calls_in(line: Line, text: Any) -> Sequence[Any]:
    """The calls that a turn has as JSON text, one or a list."""
    try:
        found = parse_json(text)
    except (ValueError, TypeError):
        found = None
    if isinstance(found, Mapping):
        return [found]
    if not is_turns(found):
        raise DataError(
            f"{line.place}: the turn 'function_call' is {text!r:.60}; expected a call as JSON: a name and arguments"
        )
    return found  # type: ignore[no-any-return]


def _parts(line: Line, parts: Sequence[Any]) -> tuple[str, str]:
    """Join the parts of a content that are text, a line each, as servers do, and those that are thoughts."""
    texts, thoughts = [], []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        if kind == "thinking":
            thought = part.get("thinking", part.get("text"))
            thoughts.append(
                thought if isinstance(thought, str) else _parts(line, thought)[0] if is_turns(thought) else ""
            )
            continue
        text = (
            part
            if isinstance(part, str)
            else part.get("text")
            if kind in ("text", "output_text", "input_text")
            else None
        )
        if not isinstance(text, str):
            raise DataError(
                f"{line.place}: a part of a content is {kind or part!r:.60}; only parts of text can be kept"
            )
        texts.append(text)
    return "\n".join(texts), "\n".join(thoughts)
