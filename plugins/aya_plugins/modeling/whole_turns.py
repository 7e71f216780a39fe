"""Turns of more than text (tool calls, reasoning) as a chat template reads them, and whether it writes all that they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jinja2

from aya_core.api import NO_MORE, Message

REASONING = ("reasoning_content", "reasoning", "thinking")
"""What templates call what a model thinks before it answers."""

LINKS = ("tool_call_id", "name")
"""What only ties turns together, which their order says, too; templates may leave it out."""

SPEAKERS = {
    "tool": "tools say", "system": "the system prompt says", "user": "the user says", "assistant": "the assistant says in some turn",
}  # fmt: skip

FAULTS = (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError)
"""What a template may raise over turns that it does not know."""

Spelled = Mapping[str, Any]
"""A turn under the names that a template reads."""

Render = Callable[[Sequence[Spelled], Any], str]
"""Writes a finished conversation with its tools."""


class RefusedError(Exception):
    """A conversation that a template does not write whole; says why, in words that fit many rows."""


class Style(NamedTuple):
    """How a template takes calls: arguments as an object or as its text, a content that says nothing as empty or as none."""

    arguments_are_text: bool = False
    content_is_none: bool = False


STYLES = (Style(), Style(content_is_none=True), Style(arguments_are_text=True), Style(True, True))
"""As most templates take them first. DeepSeek's take the last one."""


def spell(
    turns: Sequence[Message], tools: Any, learned: Collection[int], template: str, render: Render
) -> list[Spelled]:
    """Spell turns so that a template writes all of them. learned: places of turns that are learned. template: its source.

    What a turn that is not learned was thinking may be left out, as it is when the model is asked. Raises RefusedError.
    """
    has_calls = any("tool_calls" in turn.get("more", NO_MORE) for turn in turns)
    reason = ""
    for style in STYLES if has_calls else STYLES[:1]:
        spelled = _all_spelled(template, style, turns)
        try:
            text = render(spelled, tools)
        except FAULTS as error:
            reason = reason or f"the chat template refuses the conversation ({' '.join(str(error).split()):.80})"
            continue
        is_repr = style.arguments_are_text is False and any(
            _is_spelled_out(one, turns, text) for one in _arguments(turns)
        )
        left_out = next(_left_out(turns, tools, learned, text, partial(_all_spelled, template, style), render), None)
        if left_out is None and not is_repr:
            return spelled
        reason = reason or left_out or "the chat template does not write the arguments of calls as JSON"
    raise RefusedError(reason)


def _all_spelled(template: str, style: Style, turns: Sequence[Message]) -> list[Spelled]:
    return [_spelled(turn, template, style) for turn in turns]


def _spelled(turn: Message, template: str, style: Style) -> Spelled:
    content: str | None = turn["content"]
    more = dict(turn.get("more", NO_MORE))
    for name in REASONING:
        if name in more and not _reads(template, name):
            other = next((other for other in REASONING if _reads(template, other)), None)
            thought = more.pop(name)
            if other is not None:
                more[other] = thought
            elif "</think>" in template:  # it takes thoughts as a part of the text
                content = f"<think>\n{thought}\n</think>\n\n{content}"
            break
    if "tool_calls" in more:
        if style.arguments_are_text:
            more["tool_calls"] = [_with_text(call) for call in more["tool_calls"]]
        if style.content_is_none:
            content = content or None
    return {"role": turn["role"], "content": content, **more}


def _reads(template: str, name: str) -> bool:
    """Whether a template names a part of a turn, as in message.thinking or message['thinking']."""
    return re.search(rf"[.'\"]{name}\b", template) is not None


def _with_text(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function, arguments = call["function"], call["function"]["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": text}}


def _arguments(turns: Sequence[Message]) -> Iterator[Mapping[str, Any]]:
    """The arguments of calls whose Python spelling differs from JSON's."""
    for turn in turns:
        for call in turn.get("more", NO_MORE).get("tool_calls", ()):
            if isinstance(found := call["function"]["arguments"], Mapping) and found:
                yield found


def _is_spelled_out(arguments: Mapping[str, Any], turns: Sequence[Message], text: str) -> bool:
    """Whether a template writes arguments as Python does, beside where turns say the same as their text."""
    spelled = repr(arguments)
    return text.count(spelled) > sum(turn["content"].count(spelled) for turn in turns)


def _left_out(
    turns: Sequence[Message], tools: Any, learned: Collection[int], text: str,
    spelled: Callable[[Sequence[Message]], Sequence[Spelled]], render: Render,
) -> Iterator[str]:  # fmt: skip
    """What a template leaves out: what makes no difference to the text where it is taken away."""

    def is_seen(others: Sequence[Message], other_tools: Any) -> bool:
        try:
            return render(spelled(others), other_tools) != text
        except FAULTS:
            return True

    if tools is not None and not is_seen(turns, None):
        yield "the chat template leaves out the tools"
    try:
        without_tools = render(spelled(turns), None)  # which name what may be called
    except FAULTS:
        without_tools = text
    for place, turn in enumerate(turns):
        more = turn.get("more", NO_MORE)

        def with_turn(other: Message, place: int = place) -> Sequence[Message]:
            return [*turns[:place], other, *turns[place + 1 :]]

        for name in more:
            if name in LINKS or (name in REASONING and place not in learned):
                continue
            rest = {other: value for other, value in more.items() if other != name}
            if not is_seen(with_turn({"role": turn["role"], "content": turn["content"], "more": rest}), tools):
                yield f"the chat template leaves out '{name}'"
        calls = more.get("tool_calls", ())
        if not all(call["function"]["name"] in without_tools for call in calls):
            yield "the chat template leaves out a call"
        for one in range(len(calls) if len(calls) > 1 else 0):
            others: Message = {**turn, "more": {**more, "tool_calls": [*calls[:one], *calls[one + 1 :]]}}
            if not is_seen(with_turn(others), tools):
                yield "the chat template leaves out a call"
        if turn["content"].strip() and not is_seen(with_turn({**turn, "content": ""}), tools):
            yield f"the chat template leaves out what {SPEAKERS[turn['role']]}"


def is_kept(said: str, text: str, head: str) -> bool:
    """Whether a text holds all that was said, whatever the white space.

    head: what stands before the text; its end may be the beginning of what was said, such as <think>.
    """
    said = said.strip()
    if said in text:
        return True
    begun = next((size for size in range(min(len(said), len(head)), 0, -1) if head.endswith(said[:size])), 0)
    return "".join(said[begun:].split()) in "".join(text.split())
