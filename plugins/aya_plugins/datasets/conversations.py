"""Turns of a conversation as files have them, to messages of text: what more a turn holds is refused by name, never left out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aya_core.api import DataError, Line, Message

ROLES = ("system", "user", "assistant")

SHAREGPT = {"human": "user", "gpt": "assistant"}
"""What ShareGPT's files call the roles."""

TOOLS = ("tool", "function", "function_call", "observation", "ipython")
"""Roles of turns that no person and no answer has."""

MORE = (
    "tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking", "images", "image", "audio", "video",
    "videos",
)  # fmt: skip
"""What a turn may hold beside its text."""

MORE_OF_ROWS = frozenset({"tools", "functions", "images", "image", "audio", "audios", "video", "videos", "history"})
"""Columns beside the conversation that a model would have to see."""


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


def refuse_more(line: Line, kept: Sequence[str]) -> None:
    """Refuse a row with tools, pictures or sound, which no record can hold. kept: columns that are kept as text."""
    if MORE_OF_ROWS.isdisjoint(line.row):
        return
    for name in sorted(MORE_OF_ROWS):
        if line.row.get(name) not in (None, "", [], {}) and name not in kept:
            raise DataError(
                f"{line.place}: column '{name}' holds more than text, which would be lost; leave such rows out, or keep the column "
                f"beside each prompt with columns: {{meta: [{name}]}}"
            )


def _message(line: Line, turn: Any) -> Message:
    if isinstance(turn, Mapping):
        said = turn.get("role", turn.get("from"))
        role = SHAREGPT.get(said, said) if isinstance(said, str) else said
        if role in TOOLS:
            raise DataError(
                f"{line.place}: a turn of the role '{said}', which would be lost; leave rows with tools out"
            )
        for name in MORE:
            if turn.get(name) not in (None, "", [], {}):
                raise DataError(
                    f"{line.place}: a turn of the {role} has '{name}', which would be lost; leave such rows out"
                )
        content = turn.get("content", turn.get("value"))
        if is_turns(content):
            content = _joined(line, content)
        if role in ROLES and isinstance(content, str):
            return {"role": role, "content": content}
    raise DataError(f"{line.place}: {turn!r:.80} is not a message; expected a role ({', '.join(ROLES)}) and a content")


def _joined(line: Line, parts: Sequence[Any]) -> str:
    """Join the parts of a content that are text, a line each, as servers do."""
    texts = []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        text = part if isinstance(part, str) else part.get("text") if kind == "text" else None
        if not isinstance(text, str):
            raise DataError(
                f"{line.place}: a part of a content is {kind or part!r:.60}; only parts of text can be kept"
            )
        texts.append(text)
    return "\n".join(texts)
