"""What a completion says, of a chat or of a text: the choices, and how many tokens each took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


class NotACompletionError(Exception):
    """A reply that is no chat completion; the message says what it is instead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. tokens: generated, reasoning included; 0 where the server does not tell."""

    text: str
    tokens: int
    finish_reason: str


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
        parsed = json.loads(body)
    except ValueError:
        raise NotACompletionError("malformed JSON") from None
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    if not isinstance(choices, list) or not choices:
        raise NotACompletionError("JSON, but no chat completion: it has no choices")
    choices = sorted(choices, key=_index)
    texts = [_text(choice) for choice in choices]
    usage = parsed.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt_tokens, total = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    tokens = _tokens(choices, [len((text or "").encode()) for text in texts], total)
    return Reply(
        [
            Choice(text, many, str(choice.get("finish_reason") or "unknown"))
            for choice, text, many in zip(choices, texts, tokens, strict=True)
            if text is not None
        ],
        texts.count(None),
        prompt_tokens,
        prompt_tokens + total,
    )


def _index(choice: Any) -> int:
    if not isinstance(choice, dict) or not (isinstance(choice.get("message"), dict) or "text" in choice):
        raise NotACompletionError("JSON, but no chat completion: a choice has no message")
    return _count(choice.get("index"))


def _text(choice: Mapping[str, Any]) -> str | None:
    """The answer itself; None where a content filter left nothing of it, "" where all went into the reasoning."""
    content = choice["message"].get("content") if "message" in choice else choice["text"]
    if isinstance(content, list):  # some servers return reasoning and text as parts of one list
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(str(part.get("text", "")) for part in parts)
    if content and not isinstance(content, str):
        raise NotACompletionError("JSON, but no chat completion: the content is no text")
    if not content:
        return None if choice.get("finish_reason") == "content_filter" else ""
    return _sound(content)


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
    return number if isinstance(number, int) and number > 0 else 0
