"""Reasoning and answer, taken apart by the marks that models write between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
)
"""What stands before reasoning and after it: of Qwen, DeepSeek and many more; of others as told by users; of Seed, Magistral, Command A,
Sky-T1 and Kimi."""

AROUND_ANSWERS = (
    ("<answer>", "</answer>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
"""What some of these put around the answer that follows."""

CHANNEL, MESSAGE = "<|channel|>", "<|message|>"
"""Of gpt-oss (the "harmony" format): each message names its channel, and what is on `final` is the answer."""

FINAL = "final"

BARE = ("analysis", "assistantfinal")
"""What is left of that format where a server takes special tokens out."""

ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", CHANNEL)
"""What a message of that format ends with, or what comes next."""

MARKS = frozenset({mark for pair in (*PAIRS, *AROUND_ANSWERS) for mark in pair} | {MESSAGE, *ENDS})
"""All marks, of which a tokenizer may have made special tokens."""

_OPENING = re.compile("|".join(re.escape(opening) for opening, _ in PAIRS), re.IGNORECASE)
_CLOSING = re.compile("|".join(re.escape(closing) for _, closing in PAIRS), re.IGNORECASE)
_CLOSING_OF = {opening: re.compile(re.escape(closing), re.IGNORECASE) for opening, closing in PAIRS}

_MESSAGE = re.compile(
    rf"{re.escape(CHANNEL)}(.*?){re.escape(MESSAGE)}(.*?)(?={'|'.join(map(re.escape, ENDS))}|\Z)", re.DOTALL
)


class Parts(NamedTuple):
    """What a model said. is_cut: its reasoning does not end, so there is no answer."""

    reasoning: str
    answer: str
    is_cut: bool = False


def may_reason(text: str) -> bool:
    """Whether a text may hold reasoning, at a glance: most answers do not."""
    return (
        "</" in text or "<|" in text or "[/" in text or "◁/" in text or text.lstrip()[:1] in ("<", "[", "◁")
        or (text.startswith(BARE[0]) and BARE[1] in text)
    )  # fmt: skip


def apart(text: str, *, is_open: bool = False) -> Parts:
    """Take reasoning and answer apart. A text without marks is an answer as it stands.

    Reasoning is a block with which the text begins, or several, whatever the case of their marks. Where the prompt ends in the opening
    mark, the text holds the closing one alone, at the border of a line. is_open: the prompt is known to end so: a text without any mark
    is then reasoning that was cut.
    """
    if not is_open and not may_reason(text):
        return Parts("", text)
    if CHANNEL in text and MESSAGE in text:
        return _by_channel(text)
    if text.startswith(BARE[0]) and BARE[1] in text:
        reasoning, _, answer = text.removeprefix(BARE[0]).partition(BARE[1])
        return Parts(reasoning.strip(), answer.strip())
    if _OPENING.match(text.lstrip()):
        return _blocks(text, ())
    if (closing := _closing_alone(text, is_open=is_open)) is not None:
        return _blocks(text[closing.end() :], (text[: closing.start()].strip(),))
    return Parts(text.strip(), "", is_cut=True) if is_open else Parts("", text)


def ends_open(prompt: str) -> bool:
    """Whether a rendered prompt ends in the mark that opens reasoning."""
    return prompt.rstrip().endswith(tuple(opening for opening, _ in PAIRS))


def _blocks(text: str, before: tuple[str, ...]) -> Parts:
    """Take off the blocks with which a text begins. before: reasoning that came before it."""
    found = [*before]
    while opening := _OPENING.match(text := text.lstrip()):
        text = text[opening.end() :]
        closing = _end_of_block(text, _CLOSING_OF[_as_listed(opening[0])])
        if closing is None:
            return Parts(_joined([*found, text]), "", is_cut=True)
        found.append(text[: closing.start()])
        text = text[closing.end() :]
    return Parts(_joined(found), _answer(text))


def _as_listed(opening: str) -> str:
    return next(one for one in _CLOSING_OF if one.lower() == opening.lower())


def _end_of_block(text: str, mark: re.Pattern[str]) -> re.Match[str] | None:
    """The mark that ends the block in which a text begins: the first, or, where others open inside, as many more as stand at borders."""
    end: re.Match[str] | None = None
    inner = 0
    start = 0
    for closing in mark.finditer(text):
        if end is not None and not (inner > 0 and _is_at_border(text, closing)):
            break
        inner += len(_OPENING.findall(text, start, closing.start())) - (end is not None)
        end, start = closing, closing.end()
    return end


def _closing_alone(text: str, *, is_open: bool) -> re.Match[str] | None:
    """The closing mark that stands without its opening one. One within a line may be what the answer talks about."""
    return next((found for found in _CLOSING.finditer(text) if is_open or _is_at_border(text, found)), None)


def _is_at_border(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark stands at the beginning or the end of a line."""
    before, after = mark.start(), mark.end()
    while before and text[before - 1] in " \t":
        before -= 1
    while after < len(text) and text[after] in " \t":
        after += 1
    return before == 0 or text[before - 1] == "\n" or after == len(text) or text[after] == "\n"


def _joined(found: Sequence[str]) -> str:
    return "\n\n".join(part for one in found if (part := one.strip()))


def _answer(text: str) -> str:
    """What follows the reasoning, out of the marks around it where there are any."""
    text = text.strip()
    for opening, closing in AROUND_ANSWERS:
        if text.startswith(opening):
            return text.removeprefix(opening).removesuffix(closing).strip()
    return text


def _by_channel(text: str) -> Parts:
    found = [(header.split()[0] if header.split() else "", body.strip()) for header, body in _MESSAGE.findall(text)]
    answers = [body for channel, body in found if channel == FINAL]
    reasoning = "\n\n".join(body for channel, body in found if channel != FINAL)
    return Parts(reasoning, "\n\n".join(answers), is_cut=not answers)
