"""One server: a request, its attempts, and how fast they may follow one another."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from aya_plugins.teachers.runtime.openai_reply import NotACompletionError, Reply, read_reply
from aya_plugins.teachers.runtime.openai_trouble import NO_SUCH_THING, Diagnosis, GaveUpError, TryAgainError, is_html
from aya_plugins.teachers.runtime.pacing import Bucket, backoff
from aya_plugins.teachers.runtime.settings import ServerSettings

CONNECT_SECONDS = 30.0
"""Longest wait for a connection."""

BYTES_PER_TOKEN = 3
"""A low guess for text in many scripts; what is guessed too high is given back when the reply has come."""

NO_CONNECTION = "no connection"

log = logging.getLogger(__name__)


class Limits:
    """The rate limits of a teacher, which last from one call to the next."""

    def __init__(self, settings: ServerSettings) -> None:
        per_minute = (settings.requests_per_minute, settings.tokens_per_minute)
        self.requests, self.tokens = (None if limit is None else Bucket(limit) for limit in per_minute)

    async def wait(self, tokens: float) -> None:
        """Wait until a request that may use so many tokens can be sent."""
        waits = [self.requests.reserve(1)] if self.requests else []
        waits += [self.tokens.reserve(tokens)] if self.tokens else []
        if waits and max(waits) > 0:
            await asyncio.sleep(max(waits))

    def used(self, reserved: float, tokens: float) -> None:
        """Say how many tokens it was in truth."""
        if self.tokens:
            self.tokens.give_back(reserved - tokens)


class Server:
    """A session with the server; enter it before use.

    as_text: texts are continued, no chat is held. troubles counts attempts that came to nothing, by reason.
    """

    def __init__(self, settings: ServerSettings, key: str | None, limits: Limits, *, as_text: bool = False) -> None:
        self.settings = settings
        self.path = "/completions" if as_text else "/chat/completions"
        offers = "text completions" if as_text else "chat completions"
        self.diagnosis = Diagnosis(settings.base_url, settings.model, key, settings.api_key_env, offers)
        self.troubles: Counter[str] = Counter()
        self.is_proven = False  # has it ever given a chat completion?
        self._limits = limits
        self._proxy = _proxy(settings.base_url)
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> Server:
        settings = self.settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=settings.timeout_seconds, sock_connect=min(CONNECT_SECONDS, settings.timeout_seconds)
            ),
            headers={"Content-Type": "application/json", "User-Agent": "aya-core", **self._authorization},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def complete(self, body: Mapping[str, Any], answer_tokens: int) -> Reply:
        """Send a request until it is answered. answer_tokens: what it may use at the most, all choices together.

        Raises RefusedError for a prompt that the server does not want, GaveUpError when all attempts failed, and
        AyaError for what no other prompt will change.
        """
        data = json.dumps(body, ensure_ascii=False).encode()
        tokens = len(data) / BYTES_PER_TOKEN + answer_tokens
        for attempt in range(self.settings.retries + 1):
            try:
                return await self._attempt(data, tokens)
            except TryAgainError as trouble:
                last = trouble
                self._note(trouble)
            if attempt < self.settings.retries:
                await asyncio.sleep(backoff(attempt, self.settings.backoff_seconds, last.wait))
        if last.kind == NO_CONNECTION:
            raise self.diagnosis.stop(
                f"cannot be reached ({last})", f"is the server up? Tried {self.settings.retries + 1} times"
            )
        raise GaveUpError(f"{last}, at the last of {self.settings.retries + 1} attempts")

    async def _attempt(self, data: bytes, tokens: float) -> Reply:
        await self._limits.wait(tokens)
        used = 0
        try:
            status, headers, content = await self._post(data)
            if status != 200:
                if status in NO_SUCH_THING:
                    problem = f"{status}: {self.diagnosis.quote(content)}"
                    raise self.diagnosis.nothing_here(problem, await self._models())
                raise self.diagnosis.of(status, headers, content, time.time())
            reply = self._read(content)
            used = reply.used_tokens or int(tokens)
            return reply
        finally:
            self._limits.used(tokens, used)

    async def _post(self, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        url = self.settings.base_url + self.path
        clean = self.diagnosis.clean
        try:
            async with self._session.post(url, data=data, proxy=self._proxy, allow_redirects=False) as response:
                return response.status, response.headers, await response.read()
        except aiohttp.ClientConnectorCertificateError as error:
            raise self.diagnosis.stop(
                f"shows a certificate that is not trusted ({clean(str(error.certificate_error))})",
                "check base_url, or let SSL_CERT_FILE name the certificates to trust",
            ) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryAgainError(NO_CONNECTION, clean(str(error))) from None
        except TimeoutError:
            raise TryAgainError(f"no reply within {self.settings.timeout_seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgainError("the connection was cut", type(error).__name__) from None

    def _read(self, content: bytes) -> Reply:
        if is_html(content):
            if not self.is_proven:
                raise self.diagnosis.web_page()
            raise TryAgainError("a web page instead of an answer")
        try:
            reply = read_reply(content)
        except NotACompletionError as error:
            raise TryAgainError(str(error), self.diagnosis.quote(content)) from None
        self.is_proven = True
        return reply

    def _note(self, trouble: TryAgainError) -> None:
        if trouble.kind not in self.troubles:
            log.warning("%s: trying again after: %s (told once, counted below)", self.settings.base_url, trouble)
        self.troubles[trouble.kind] += 1

    async def _models(self) -> Sequence[str]:
        """The models that the server knows, where it tells."""
        try:
            async with self._session.get(self.settings.base_url + "/models", proxy=self._proxy) as response:
                return [str(model["id"]) for model in json.loads(await response.read())["data"]]
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError):
            return ()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address. (aiohttp would look it up anew for each request.)"""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
