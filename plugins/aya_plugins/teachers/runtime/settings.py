"""Settings of a server that is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, field_validator

from aya_core.api import Field
from aya_plugins.answers.said import ChatSettings

REMOVABLE = frozenset({"seed", "temperature", "top_p"})
"""Fields of a request that `extra_body` may take out, for servers that refuse them."""

OURS = REMOVABLE | {
    "model", "messages", "prompt", "n", "stop", "stream", "max_tokens", "max_completion_tokens", "chat_template_kwargs",
}  # fmt: skip
"""Fields of a request that settings and sampling decide."""


class ServerSettings(ChatSettings):
    """Where an OpenAI-compatible server is, what it is asked for, and how fast and how often."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody will paste a key

    base_url: str | tuple[str, ...] = Field(
        min_length=1,
        description="Where the server is, usually up to /v1: http://localhost:8000/v1. A list of several servers of one model share the "
        "work, whose results do not depend on how many they are. What `model` said at another address stands.",
    )
    model: str = Field(min_length=1, description="The model that answers, by the name that the server knows.")
    system: str | None = Field(None, description="A system message put before every prompt.")
    api_key_env: str | None = Field(
        None, description="Name of the environment variable that holds the key. None for a server that wants no key."
    )
    concurrency: int = Field(
        64, ge=1, le=4096, description="Requests in flight at the same time, at all servers together."
    )
    requests_per_minute: float | None = Field(
        None, gt=0, description="Send no more than these. Teachers asked at the same time each have their own limit."
    )
    tokens_per_minute: float | None = Field(
        None,
        gt=0,
        description="Use no more than these, prompts and answers together; a request in flight counts max_tokens.",
    )
    timeout_seconds: float = Field(600, gt=0, description="Longest wait for the reply to one attempt.")
    retries: int = Field(
        6, ge=0, description="Attempts after the first when the server is busy, broken or cut off, for each request."
    )
    patience_seconds: float = Field(
        900,
        gt=0,
        description="How long a server may say that it is busy (429, or 503 with Retry-After) without one answer before the run stops. "
        "All requests wait meanwhile as long as it asks; that uses up no retry.",
    )
    backoff_seconds: float = Field(
        1.0,
        ge=0,
        description="Longest wait before the first retry; it doubles with each, up to a minute. "
        "The wait is drawn below it, and comes on top of what the server asks for (Retry-After).",
    )
    max_failures: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the prompts that may stay without an answer after all retries; with more the run stops. "
        "Prompts that the server refuses (too long, filtered) are left out and do not count.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the longest answer; OpenAI's own now wants the second."
    )
    extra_body: Mapping[str, Any] = Field(
        {},
        description="More fields of the request body, such as top_k: -1. "
        "null takes out seed, temperature or top_p where a server refuses it. Not a place for keys.",
    )

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Where all servers are."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url

    @field_validator("base_url")
    @classmethod
    def _are_plain(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(given, str):
            return cls._is_plain(given)
        plain = tuple(map(cls._is_plain, given))
        if len(set(plain)) < len(plain):
            raise ValueError("an address stands here twice; expected each server once")
        return plain

    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address is written into artifacts, so it may hold no user, password or query; "
                "put the key into an environment variable and name that with api_key_env"
            )
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("/chat/completions is added to it; leave it out, so that it ends in /v1, say")
        return url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # keys have small letters
            raise ValueError(
                "expected the name of an environment variable (capitals, digits, _), never the key itself: "
                "settings are written into artifacts"
            )
        return name

    @field_validator("extra_body")
    @classmethod
    def _leaves_ours_alone(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, value in extra.items():
            if name in OURS and not (value is None and name in REMOVABLE):
                raise ValueError(f"'{name}' is decided by other settings: those of the teacher, or `sampling`")
        return extra
