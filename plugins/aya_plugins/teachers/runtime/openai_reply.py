"""What a completion says, of a chat or of a text: the choices, and how many tokens each took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from aya_core.api import parse_json
from aya_plugins.answers.endings import BROKEN, ending

MOST_TOKENS = 2**40
"""A count above is nobody's."""

SPOKEN = frozenset({"text", "output_text"})
"""Types of the parts of a content that are answer; what other types hold in their texts is reasoning, but for a refusal."""

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks", "thought")
"""Where servers put reasoning, in the message or beside it; the first that is filled counts, for some say the same twice."""


class NotACompletionError(Exception):
    """A reply that is no chat completion; the message says what it is instead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. tokens: generated, reasoning included; 0 where the server does not tell. reasoning: what it gave apart."""

    text: str
    tokens: int
    finish_reason: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, choices in the order of their index. withheld: choices that a content filter kept back whole."""

    choices: Sequence[Choice]
    withheld: int
    prompt_tokens: int
    used_tokens: int


def read_reply(body: bytes) -> Reply:
    """Read the body of a reply.

    A choice's tokens are counted where the reply lists them (`token_ids`, or `logprobs`). Otherwise the usage, which is
    the total over all choices, is split by the length of the texts: right in sum, and exact for a single choice.

    Raises NotACompletionError for anything but a completion with at least one choice.
    """
    try:
        parsed = parse_json(body)
    except (ValueError, RecursionError):
        raise NotACompletionError("malformed JSON") from None
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    if not isinstance(choices, list) or not choices:
        has_error = isinstance(parsed, dict) and parsed.get("error")
        raise NotACompletionError(
            "an error in place of an answer" if has_error else "JSON, but no chat completion: it has no choices"
        )
    choices = sorted(choices, key=_index)
    found = [_said(choice) for choice in choices]
    if all(one.finish_reason == BROKEN for one in found):
        raise NotACompletionError("an answer that the server broke off")
    usage = parsed.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt_tokens, total = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    tokens = _tokens(choices, [len(f"{one.text}{one.reasoning}".encode()) for one in found], total)
    kept = [
        Choice(one.text, many, one.finish_reason, one.reasoning)
        for one, many in zip(found, tokens, strict=True)
        if one.finish_reason != BROKEN and (one.text or one.finish_reason != "filtered")
    ]
    withheld = sum(one.finish_reason == "filtered" and not one.text for one in found)
    return Reply(kept, withheld, prompt_tokens, prompt_tokens + total)


def _index(choice: Any) -> int:
    if not isinstance(choice, dict) or not (isinstance(choice.get("message"), dict) or "text" in choice):
        raise NotACompletionError("JSON, but no chat completion: a choice has no message")
    index = choice.get("index", 0)
    if isinstance(index, float) and not math.isfinite(index):
        raise NotACompletionError("JSON, but no chat completion: a choice has an index that is no number")
    return _count(index)


def _said(choice: Mapping[str, Any]) -> Choice:
    """What a choice says: its text, empty where all went into the reasoning. A refusal is a text that ends in refused."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {"content": choice.get("text")}
    finish_reason = _sound(ending(choice.get("finish_reason"), "unknown"))
    text, thought, refusal = _parts(message.get("content"))
    reasoning = next(filter(None, (_text_in(part.get(name)) for part in (message, choice) for name in REASONING)), "")
    refusal = refusal or _text_in(message.get("refusal"))
    if not text and refusal:
        text, finish_reason = refusal, "refused"
    return Choice(_sound(text), 0, finish_reason, _sound("\n\n".join(filter(None, (reasoning, thought)))))


def _parts(content: Any) -> tuple[str, str, str]:
    """Text, reasoning and refusal of a content, which some servers return as parts: a list of them, or one alone."""
    if content is None or isinstance(content, str):
        return content or "", "", ""
    if not isinstance(content, (list, dict)):
        raise NotACompletionError("JSON, but no chat completion: the content is no text")
    spoken: list[str] = []
    thought: list[str] = []
    refused: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        kind = str(part.get("type", "text")) if isinstance(part, dict) else "text"
        where = spoken if kind in SPOKEN else refused if kind == "refusal" else thought
        where.append(_text_in(part))
    return "".join(spoken), "\n\n".join(filter(None, thought)), "".join(refused)


def _text_in(value: Any) -> str:
    """The text of a part, however deep it stands: `{text}`, `{thinking}`, `{summary}`, or a list of such."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_in, value))
    if isinstance(value, dict):
        names: Iterable[str] = ("text", "thinking", "reasoning", "content", "summary", "refusal")
        return next((text for name in names if (text := _text_in(value.get(name)))), "")
    return ""


def _sound(text: str) -> str:
    """Mend half surrogate pairs, which JSON can hold and no file can."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _tokens(choices: Sequence[Mapping[str, Any]], lengths: Sequence[int], total: int) -> Sequence[int]:
    listed = [_listed(choice) for choice in choices]
    counted = [many for many in listed if many is not None]
    return counted if len(counted) == len(choices) else _split(total, [length + 1 for length in lengths])


def _listed(choice: Mapping[str, Any]) -> int | None:
    logprobs = choice.get("logprobs")
    for tokens in (choice.get("token_ids"), logprobs.get("content") if isinstance(logprobs, dict) else None):
        if isinstance(tokens, list):
            return len(tokens)
    return None


def _split(total: int, weights: Sequence[int]) -> Sequence[int]:
    """Share a total out by weights, in whole numbers that add up to it."""
    ends = [0]
    for weight in weights:
        ends.append(ends[-1] + weight)
    borders = [round(total * end / ends[-1]) for end in ends]
    return [high - low for low, high in pairwise(borders)]


def _count(number: Any) -> int:
    """A number of tokens, which some servers write as text or as 12.0; 0 for what is none."""
    if isinstance(number, str) and number.isdecimal() and len(number) < 16:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < MOST_TOKENS:
        return 0
    return int(number)
