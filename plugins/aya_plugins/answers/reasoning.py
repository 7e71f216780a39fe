"""Reasoning and answer, taken apart by the marks that models write between them."""

from __future__ import annotations

import re
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

ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", CHANNEL)
"""What a message of that format ends with, or what comes next."""

MARKS = frozenset({mark for pair in (*PAIRS, *AROUND_ANSWERS) for mark in pair} | {MESSAGE, *ENDS})
"""All marks, of which a tokenizer may have made special tokens."""

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
    return "</" in text or "<|" in text or "[/" in text or "◁/" in text or text.lstrip()[:1] in ("<", "[", "◁")


def apart(text: str, *, is_open: bool = False) -> Parts:
    """Take reasoning and answer apart. A text without marks is an answer as it stands.

    Reasoning is a block with which the text begins. Where the prompt ends in the opening mark, the text holds the closing one alone, at
    the border of a line. is_open: the prompt is known to end so: a text without any mark is then reasoning that was cut.
    """
    if not is_open and not may_reason(text):
        return Parts("", text)
    if CHANNEL in text and MESSAGE in text:
        return _by_channel(text)
    start = text.lstrip()
    for opening, closing in PAIRS:
        if start.startswith(opening):
            return _split(start.removeprefix(opening), closing)
    for _, closing in PAIRS:
        place = _closing_alone(text, closing, is_open=is_open)
        if place is not None:
            return Parts(text[:place].strip(), _answer(text[place + len(closing) :]))
    return Parts(text.strip(), "", is_cut=True) if is_open else Parts("", text)


def ends_open(prompt: str) -> bool:
    """Whether a rendered prompt ends in the mark that opens reasoning."""
    return prompt.rstrip().endswith(tuple(opening for opening, _ in PAIRS))


def _split(text: str, closing: str) -> Parts:
    reasoning, found, answer = text.partition(closing)
    return Parts(reasoning.strip(), _answer(answer), is_cut=not found)


def _closing_alone(text: str, closing: str, *, is_open: bool) -> int | None:
    """Where a closing mark stands without its opening one. One within a line may be what the answer talks about."""
    place = text.find(closing)
    while place >= 0:
        after = text[place + len(closing) :]
        is_border = text[:place].rstrip(" \t")[-1:] in ("", "\n") or after.lstrip(" \t")[:1] in ("", "\n")
        if is_open or is_border:
            return place
        place = text.find(closing, place + 1)
    return None


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
