"""All servers of a teacher: a request goes to the one that has the least to do, and to another where that fails."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any

from aya_plugins.teachers.runtime.openai_reply import Reply
from aya_plugins.teachers.runtime.openai_server import NO_CONNECTION, Server
from aya_plugins.teachers.runtime.openai_trouble import WEB_PAGE, BusyError, Diagnosis, GaveUpError, TryAgainError
from aya_plugins.teachers.runtime.pace import Pace
from aya_plugins.teachers.runtime.pacing import Bucket, backoff
from aya_plugins.teachers.runtime.settings import ServerSettings

BYTES_PER_TOKEN = 3
"""A low guess for text in many scripts; what is guessed too high is given back when the reply has come."""

REST_SECONDS = 60.0
"""After which a server that could not be reached is tried with one request, where others do its work."""

log = logging.getLogger(__name__)


class Limits:
    """How fast a teacher may ask, which lasts from one call to the next: its own rate limits, and the pace of each server."""

    def __init__(self, settings: ServerSettings) -> None:
        per_minute = (settings.requests_per_minute, settings.tokens_per_minute)
        self.requests, self.tokens = (None if limit is None else Bucket(limit) for limit in per_minute)
        self.paces = {url: Pace(settings.concurrency) for url in settings.base_urls}

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


class Servers:
    """Sessions with all servers; enter it before use. troubles counts attempts that came to nothing, by reason."""

    def __init__(self, settings: ServerSettings, key: str | None, limits: Limits, *, as_text: bool = False) -> None:
        self.settings = settings
        self.troubles: Counter[str] = Counter()
        self.name = ", ".join(settings.base_urls)
        self._limits = limits
        self._servers = [Server(settings, key, url, pace, as_text=as_text) for url, pace in limits.paces.items()]
        self._busy_since: float | None = None

    async def __aenter__(self) -> Servers:
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()
        async with AsyncExitStack() as stack:
            for server in self._servers:
                await stack.enter_async_context(server)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def diagnosis(self) -> Diagnosis:
        """What says why the run stops, where it is no single server's fault."""
        return self._servers[0].diagnosis

    async def complete(self, body: Mapping[str, Any], answer_tokens: int) -> Reply:
        """Send a request until it is answered. answer_tokens: what it may use at the most, all choices together.

        Raises RefusedError for a prompt that the server does not want, GaveUpError when all attempts failed, and
        AyaError for what no other prompt will change.
        """
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        tokens = len(data) / BYTES_PER_TOKEN + answer_tokens
        attempt, before = 0, None
        while True:
            await self._limits.wait(tokens)
            server, sent = await self._next(before)
            used = 0
            try:
                reply = await server.ask(data, answer_tokens)
                used = reply.used_tokens or int(tokens)
                server.pace.answered()
                server.is_down = False
                self._busy_since = None
                return reply
            except BusyError as busy:
                server.pace.busy(sent, busy.wait)
                self._is_busy(server, busy)
                continue
            except TryAgainError as error:
                server.pace.failed()
                trouble = error
                self._tell(server, trouble.kind, str(trouble))
            except BaseException:
                server.pace.failed()
                raise
            finally:
                self._limits.used(tokens, used)
                self._freed.set()
            before = server
            server.is_down = trouble.kind == NO_CONNECTION
            if server.is_down and not all(other.is_down for other in self._servers):
                server.pace.rest(REST_SECONDS)
                continue
            if attempt == self.settings.retries:
                raise self._given_up(server, trouble)
            await asyncio.sleep(backoff(attempt, self.settings.backoff_seconds, trouble.wait))
            attempt += 1

    async def _next(self, before: Server | None) -> tuple[Server, float]:
        """Wait for a server that can be asked: of several the one with the least in flight, and not the one that has just failed.
        Those who wait are served in their order."""
        async with self._turn:
            while True:
                waits = {
                    server: math.inf if self._is_on_trial(server) else server.pace.wait() for server in self._servers
                }
                ready = [server for server, wait in waits.items() if wait <= 0]
                if ready:
                    chosen = min(ready, key=lambda server: (server is before, server.pace.in_flight))
                    return chosen, chosen.pace.sent()
                self._freed.clear()
                soonest = min(waits.values())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._freed.wait(), None if soonest == math.inf else soonest)

    def _is_on_trial(self, server: Server) -> bool:
        """Whether a server that could not be reached has one request to answer before it gets more, while others do the work."""
        return server.is_down and server.pace.in_flight > 0 and not all(other.is_down for other in self._servers)

    def _is_busy(self, server: Server, busy: BusyError) -> None:
        """Count a server that is busy. Raises AyaError once all have been for too long."""
        self._tell(server, busy.kind, str(busy))
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since > self.settings.patience_seconds:
            raise server.diagnosis.stop(
                f"has been busy for {now - self._busy_since:.0f} s without one answer ({busy})",
                "run again later, what was answered is kept; patience_seconds says how long to wait",
            )

    def _given_up(self, server: Server, last: TryAgainError) -> Exception:
        attempts = self.settings.retries + 1
        if last.kind == NO_CONNECTION:
            return server.diagnosis.stop(f"cannot be reached ({last})", f"is the server up? Tried {attempts} times")
        if last.kind == WEB_PAGE and not server.is_proven:
            return server.diagnosis.web_page()
        return GaveUpError(f"{last}, at the last of {attempts} attempts")

    def _tell(self, server: Server, kind: str, what: str) -> None:
        if kind not in self.troubles:
            log.warning("%s: trying again after: %s (told once, counted below)", server.url, what)
        self.troubles[kind] += 1
