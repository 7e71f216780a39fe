"""A chat-completions server that costs next to nothing: raw asyncio, one reply for all, so that a client is what is timed.

python benchmarks/stub_server.py [--faults PERCENT] [--milliseconds N] prints its base_url and serves until its standard input
closes. Each reply repeats the question, whence a client can tell that nothing was lost or mixed up. Faults are: 429 with
Retry-After, 500, a reply cut off halfway, JSON cut off halfway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import deque

HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
TEMPLATE = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "TEXT"}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32},
    }
).encode()  # fmt: skip
BEFORE, AFTER = TEMPLATE.split(b"TEXT")
ANSWER = b"answer to %s and some more words, as a short completion has"


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, faults: float, seconds: float) -> None:
        self.faults = faults
        self.seconds = seconds
        self.buffer = b""
        self.replies: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer every request that has come whole."""
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(rest[:length])

    def answer(self, body: bytes) -> None:
        """Reply at once, or after a while."""
        question = json.loads(body)["messages"][-1]["content"].encode()
        if self.seconds:
            asyncio.get_running_loop().call_later(self.seconds, self.reply, question)
        else:
            self.reply(question)

    def reply(self, question: bytes) -> None:
        """Send the answer, or fail."""
        if self.transport.is_closing():
            return
        content = BEFORE + ANSWER % question + AFTER
        if random.random() * 100 >= self.faults:
            self.transport.write(HEAD % (b"200 OK", b"", len(content)) + content)
            return
        match random.randrange(4):
            case 0:
                self.transport.write(HEAD % (b"429 Too Many Requests", b"Retry-After: 0.05\r\n", 2) + b"{}")
            case 1:
                self.transport.write(HEAD % (b"500 Internal Server Error", b"", 4) + b"oops")
            case 2:
                self.transport.write(HEAD % (b"200 OK", b"", len(content)) + content[:100])
                self.transport.close()
            case _:
                self.transport.write(HEAD % (b"200 OK", b"", 100) + content[:100])


async def serve(faults: float, milliseconds: float) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(faults, milliseconds / 1000), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=float, default=0, help="percent of the replies")
    parser.add_argument("--milliseconds", type=float, default=0, help="to wait before each reply")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.faults, arguments.milliseconds))


if __name__ == "__main__":
    main()
