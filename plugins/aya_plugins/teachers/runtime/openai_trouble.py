"""What is to be done about a reply that is no answer: try again, leave the prompt out, or stop."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from aya_core.api import AyaError, parse_json
from aya_plugins.teachers.runtime.pacing import asked_to_wait

BUSY = frozenset({408, 409, 425, 429})
"""Besides 5xx, what may be otherwise the next time."""

OVERLOADED = frozenset({503, 529})
"""What a server says that will be there again at a time that it names."""

NO_SUCH_THING = frozenset({404, 405, 410, 501})
"""Here are no chat completions, or none of this model."""

WEB_PAGE = "a web page instead of an answer"

QUOTED = 300
"""Characters of a server's message that are quoted."""

LONGEST_WAIT = 3600.0
"""Seconds; a server that wants a longer pause has run out of something that waiting does not bring back."""


class TryAgainError(Exception):
    """An attempt came to nothing, and the next may not. kind: what happened, in few words, of which there are few; wait:
    seconds that the server asked for."""

    def __init__(self, kind: str, details: str = "", wait: float | None = None) -> None:
        super().__init__(f"{kind}: {details}" if details else kind)
        self.kind = kind
        self.wait = wait


class BusyError(TryAgainError):
    """The server has too much to do. That is no failure of the prompt: all wait, as long as it says where it does, and ask again."""


class RefusedError(Exception):
    """The server will not answer this prompt; the message is its reason."""


class GaveUpError(Exception):
    """All attempts came to nothing; the message is the reason of the last."""


class Diagnosis:
    """Says what a reply other than 200 means, in words that never hold the key.

    url, model: of the teacher. key: what must not be quoted. variable: the environment variable that holds it.
    offers: what is asked for.
    """

    def __init__(
        self, url: str, model: str, key: str | None, variable: str | None, offers: str = "chat completions"
    ) -> None:
        self.url = url
        self.model = model
        self._variable = variable
        self._offers = offers
        forms = ["".join(map(_any_form, key))] if key else []
        self._secret = re.compile("|".join([*forms, r"\bbearer(\s|%20|\+)+[^\s\"'<>,;]+"]), re.IGNORECASE)

    def of(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Exception:
        """Return what to raise. now: seconds since 1970."""
        message = self.quote(body)
        reason = f"{status}: {message}" if message else f"{status}, and nothing more"
        if status in (401, 403):
            return self.stop(f"refuses the request ({reason})", self._about_the_key())
        if status in NO_SUCH_THING:
            return self.nothing_here(reason)
        if 300 <= status < 400:
            where = self.clean(headers.get("location", "an address that it does not name"))
            return self.stop(f"sends its callers on to {where} ({status})", "put the right address into base_url")
        if status == 402 or (status == 429 and b"insufficient_quota" in body):
            return self.stop(f"wants to be paid first ({reason})", "top the account up, and run again")
        if status in BUSY or status >= 500:
            wait = asked_to_wait(headers, now)
            if wait is not None and wait > LONGEST_WAIT:
                return self.stop(
                    f"asks for a pause of {wait / 3600:.1f} hours ({reason})",
                    "a quota seems to be used up; run again then, what was answered is kept",
                )
            is_busy = status == 429 or (status in OVERLOADED and wait is not None)
            return (BusyError if is_busy else TryAgainError)(str(status), message, wait)
        if status < 300:
            return TryAgainError(reason)
        return RefusedError(reason)

    def nothing_here(self, reason: str, known: Sequence[str] = ()) -> AyaError:
        """The error for a path or a model that the server does not know. known: the models that it does know."""
        hint = f"; it knows the models {self.clean(', '.join(known))}" if known else ""
        return self.stop(
            f"offers no {self._offers} of the model '{self.model}' ({reason})",
            f"check base_url, which usually ends in /v1, and the model's name{hint}",
        )

    def web_page(self) -> AyaError:
        """The error for a page where JSON was expected."""
        return self.stop("answers with a web page", "check base_url: the address of the API usually ends in /v1")

    def stop(self, what: str, remedy: str) -> AyaError:
        """Make the error that ends the run."""
        return AyaError(f"teacher 'openai': {self.url} {what}; {remedy}")

    def quote(self, body: bytes) -> str:
        """The server's own words, on one line, shortened, the key taken out."""
        text = body.decode("utf-8", "replace")
        try:
            text = _message(parse_json(text)) or text
        except (ValueError, RecursionError):
            if is_html(body):
                text = f"a web page: {_title(text)}"
        return self.clean(text)

    def clean(self, text: str) -> str:
        """Take the key out, then shorten."""
        text = " ".join(self._secret.sub("[key]", text).split())
        return text if len(text) <= QUOTED else text[:QUOTED] + "..."

    def _about_the_key(self) -> str:
        if self._variable is None:
            return "it wants a key: name the environment variable that holds it with `api_key_env`"
        return f"check the key in the environment variable '{self._variable}', and what it may use"


def _title(page: str) -> str:
    opening = re.search("<title>", page, re.IGNORECASE)
    closing = re.compile("</title>", re.IGNORECASE).search(page, opening.end()) if opening else None
    return page[opening.end() : closing.start()] if opening and closing else ""


def _any_form(character: str) -> str:
    """A pattern of the ways in which JSON, HTML and addresses write a character of a key."""
    if character.isalnum():
        return character
    code = ord(character)
    forms = {character, f"\\{character}", f"\\u{code:04x}", html.escape(character), f"&#{code};", f"&#x{code:x};"}
    return f"(?:{'|'.join(map(re.escape, sorted({*forms, quote(character, safe='')})))})"


def is_html(body: bytes) -> bool:
    """Tell a web page by how it begins."""
    return body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _message(value: Any) -> str | None:
    """Find the message in the usual places: {error: {message}}, {error}, {message}, {detail}."""
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail") if value.get(key)), None)
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
