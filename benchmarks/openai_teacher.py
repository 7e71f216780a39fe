"""Count the short completions a second that the `openai` teacher takes from a server that costs next to nothing.

python benchmarks/openai_teacher.py [--prompts N] [--concurrency N] [--repeats N] prints a table: completions a second (median and
best of the repeats), processor seconds of the client for 1,000 completions, and how many were lost or doubled. The server waits 50
ms before each reply, so that as many requests as allowed are in flight, and no client can do more than concurrency / 0.05. Where the
official client (`openai`, over httpx) is installed, it asks the same questions.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aya_core.api import Prompt, Sampling, user_prompt
from aya_plugins.teachers.openai import OpenAI

SAMPLING = Sampling(temperature=0.7, max_tokens=32)
STUB = Path(__file__).parent / "stub_server.py"


@contextmanager
def stub(faults: float) -> Iterator[str]:
    """Start the server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, STUB, "--faults", str(faults), "--milliseconds", "50"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def ours(url: str, prompts: Sequence[Prompt], concurrency: int) -> list[tuple[str, str]]:
    """Ask with the teacher."""
    teacher = OpenAI(base_url=url, model="stub", concurrency=concurrency, backoff_seconds=0.05).build()
    return [(one.prompt_id, one.text) for one in teacher.answer(prompts, SAMPLING, 0)]


def official(url: str, prompts: Sequence[Prompt], concurrency: int) -> list[tuple[str, str]]:
    """Ask with the official client, as many at the same time."""
    import openai

    async def ask_all() -> list[tuple[str, str]]:
        pending = iter(prompts)
        found = []

        async def work(client: openai.AsyncOpenAI) -> None:
            for prompt in pending:
                reply = await client.chat.completions.create(
                    model="stub", messages=[dict(turn) for turn in prompt.messages], seed=1,  # type: ignore[misc]
                    temperature=SAMPLING.temperature, top_p=SAMPLING.top_p, max_tokens=SAMPLING.max_tokens,
                )  # fmt: skip
                found.append((prompt.id, reply.choices[0].message.content or ""))

        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=6) as client:
            await asyncio.gather(*(work(client) for _ in range(concurrency)))
        return found

    return asyncio.run(ask_all())


def measure(
    ask: Callable[[str, Sequence[Prompt], int], list[tuple[str, str]]], faults: float, arguments: argparse.Namespace
) -> str:
    """Time it; make the row of the table."""
    prompts = [user_prompt(f"p{number}", "en", f"question {number}") for number in range(arguments.prompts)]
    rates, spent, lost, doubled = [], [], 0, 0
    with stub(faults) as url:
        for _ in range(arguments.repeats):
            started, processor = time.perf_counter(), time.process_time()
            found = ask(url, prompts, arguments.concurrency)
            rates.append(len(found) / (time.perf_counter() - started))
            spent.append((time.process_time() - processor) / len(found) * 1000)
            times = Counter(id for id, text in found if text.startswith(f"answer to question {id[1:]} "))
            lost += sum(prompt.id not in times for prompt in prompts)
            doubled += len(found) - len({id for id, _ in found})
    return (
        f"{statistics.median(rates):,.0f} | {max(rates):,.0f} | {statistics.median(spent):.2f} | {lost} | {doubled} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable()  # what is tried again is told, and here much is
    print(f"{arguments.prompts} prompts, {arguments.concurrency} in flight, {arguments.repeats} repeats\n")
    print("| client | faults | completions/s, median | best | client, processor s / 1,000 | lost | doubled |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for faults in (0, 20):
        print(f"| teacher `openai` | {faults}% | {measure(ours, faults, arguments)}", flush=True)
    if importlib.util.find_spec("openai"):
        print(f"| official client | 0% | {measure(official, 0, arguments)}", flush=True)


if __name__ == "__main__":
    main()
