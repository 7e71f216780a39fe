"""An OpenAI-compatible server on loopback that answers by rule, and fails on demand."""

import asyncio
import json
import threading
from collections import Counter
from contextlib import contextmanager

from aiohttp import web

from aya_core.api import stable_hash


def asked_in(body):
    """The question of a chat, or the text to be continued."""
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


def answer_to(body, sample):
    """What the server says: the question, and a word that depends on seed and sample unless it is greedy."""
    text = asked_in(body)
    drawn = stable_hash([body.get("seed"), sample])[:6] if body.get("temperature") else "greedy"
    return f"answer to {text}: {drawn}"


def chat_completion(body, *, most_choices=99, **more):
    """The ordinary reply: each answer has as many tokens as words."""
    texts = [answer_to(body, sample) for sample in range(min(body.get("n", 1), most_choices))]
    choices = [
        {
            "index": index,
            "finish_reason": "stop",
            **({"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}),
        }
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": sum(len(text.split()) for text in texts)}
    return {"object": "chat.completion", "choices": choices, "usage": usage, **more}


class FaultyServer:
    """respond(server, request, body, attempt) returns a response, or None for an ordinary one. attempt counts, from 0,
    how often the same question came.

    requests: (headers, body) of each. most_in_flight: at the same time.
    """

    def __init__(self, respond=None, *, seconds=0.0, continues_texts=True):
        self.respond = respond
        self.continues_texts = continues_texts
        self.seconds = seconds
        self.requests = []
        self.in_flight = self.most_in_flight = 0
        self.attempts = Counter()

    @property
    def bodies(self):
        return [body for _, body in self.requests]

    async def handle(self, request):
        body = await request.json()
        question = asked_in(body)
        self.requests.append((dict(request.headers), body))
        attempt = self.attempts[question]
        self.attempts[question] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            response = self.respond and await self.respond(self, request, body, attempt)
            return response or web.json_response(chat_completion(body))
        finally:
            self.in_flight -= 1

    @contextmanager
    def running(self):
        """Serve in a thread; gives the base_url."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self.url
        finally:
            self.loop.call_soon_threadsafe(self.stopped.set)
            thread.join()

    async def _serve(self, ready):
        self.loop = asyncio.get_running_loop()
        self.stopped = asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.handle)
        if self.continues_texts:
            app.router.add_post("/v1/completions", self.handle)
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await self.stopped.wait()
        await runner.cleanup()


async def models(request):
    return web.json_response({"data": [{"id": "good-model"}]})


async def busy(server, request, body, attempt):
    return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.01"})


async def broken(server, request, body, attempt):
    return web.Response(status=500, text="oh no")


async def gateway(server, request, body, attempt):
    return web.Response(status=502, content_type="text/html", text="<html><title>Bad gateway</title></html>")


async def stall(server, request, body, attempt):
    await server.stopped.wait()


async def cut(server, request, body, attempt):
    """Promise a whole reply, send half of it and hang up."""
    whole = json.dumps(chat_completion(body)).encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(whole)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    request.transport.abort()
    return response


async def malformed(server, request, body, attempt):
    return web.json_response(text=json.dumps(chat_completion(body))[:-9])


async def not_a_completion(server, request, body, attempt):
    return web.json_response({"error": {"message": "upstream is tired", "code": 502}})


FAULTS = (busy, broken, gateway, stall, cut, malformed, not_a_completion)


def now_and_then(percent, faults=FAULTS):
    """Fail on so many percent of the attempts, drawn by a hash of question and attempt; each fault in its turn."""

    async def respond(server, request, body, attempt):
        draw = int(stable_hash([asked_in(body), attempt])[:8], 16)
        if draw % 100 < percent:
            server.faults = getattr(server, "faults", Counter())
            fault = faults[draw // 100 % len(faults)]
            server.faults[fault.__name__] += 1
            return await fault(server, request, body, attempt)
        return None

    return respond
