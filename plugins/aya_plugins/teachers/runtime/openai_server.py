"""One server: a request to it, and what came of it."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from aya_core.api import parse_json
from aya_plugins.teachers.runtime.openai_reply import NotACompletionError, Reply, read_reply
from aya_plugins.teachers.runtime.openai_trouble import NO_SUCH_THING, WEB_PAGE, Diagnosis, TryAgainError, is_html
from aya_plugins.teachers.runtime.pace import Pace
from aya_plugins.teachers.runtime.settings import ServerSettings

CONNECT_SECONDS = 30.0
"""Longest wait for a connection."""

LONGEST_REPLY = 2**20
"""Bytes of a reply, beside those of its tokens."""

BYTES_OF_TOKEN = 4096
"""In a reply at the most, where each token comes with the likeliest others."""

NO_CONNECTION = "no connection"


class Server:
    """A session with one server; enter it before use.

    url: its address. pace: how fast it is asked, which lasts longer than the session. as_text: texts are continued, no chat is held.
    """

    def __init__(self, settings: ServerSettings, key: str | None, url: str, pace: Pace, *, as_text: bool) -> None:
        self.url = url
        self.pace = pace
        self.is_proven = False  # has it ever given a completion?
        self.is_down = False  # could it not be reached the last time?
        offers = "text completions" if as_text else "chat completions"
        self.diagnosis = Diagnosis(url, settings.model, key, settings.api_key_env, offers)
        self._settings = settings
        self._path = "/completions" if as_text else "/chat/completions"
        self._proxy = _proxy(url)
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> Server:
        settings = self._settings
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

    async def ask(self, data: bytes, answer_tokens: int) -> Reply:
        """Send a request once. answer_tokens: what it may use at the most.

        Raises BusyError and TryAgainError for what may be otherwise the next time, RefusedError for a prompt that the server does not
        want, and AyaError for what no other prompt will change.
        """
        status, headers, content = await self._post(data, LONGEST_REPLY + BYTES_OF_TOKEN * answer_tokens)
        if status != 200:
            if status in NO_SUCH_THING:
                problem = f"{status}: {self.diagnosis.quote(content)}"
                raise self.diagnosis.nothing_here(problem, await self._models())
            raise self.diagnosis.of(status, headers, content, time.time())
        if is_html(content):
            raise TryAgainError(WEB_PAGE)
        try:
            reply = read_reply(content)
        except NotACompletionError as error:
            raise TryAgainError(str(error), self.diagnosis.quote(content)) from None
        self.is_proven = True
        return reply

    async def _post(self, data: bytes, most: int) -> tuple[int, Mapping[str, str], bytes]:
        clean = self.diagnosis.clean
        try:
            async with self._session.post(
                self.url + self._path, data=data, proxy=self._proxy, allow_redirects=False
            ) as response:
                return response.status, response.headers, await _read(response, most)
        except aiohttp.ClientConnectorCertificateError as error:
            raise self.diagnosis.stop(
                f"shows a certificate that is not trusted ({clean(str(error.certificate_error))})",
                "check base_url, or let SSL_CERT_FILE name the certificates to trust",
            ) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryAgainError(NO_CONNECTION, clean(str(error))) from None
        except TimeoutError:
            raise TryAgainError(f"no reply within {self._settings.timeout_seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgainError("the connection was cut", type(error).__name__) from None

    async def _models(self) -> Sequence[str]:
        """The models that the server knows, where it tells."""
        try:
            async with self._session.get(self.url + "/models", proxy=self._proxy, allow_redirects=False) as response:
                body = await _read(response, MOST_OF_A_LIST)
                return [str(model["id"]) for model in parse_json(body)["data"]]
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, TryAgainError):
            return ()


MOST_OF_A_LIST = 10_000_000
"""Bytes of a list of models."""


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a body of so many bytes at the most."""
    if response.content_length is not None and response.content_length <= most:
        return await response.read()
    body = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > most:
            raise TryAgainError("a reply far longer than max_tokens")
    return bytes(body)


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address. (aiohttp would look it up anew for each request.)"""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
