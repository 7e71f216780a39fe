"""Scripts run in processes that are forked from one that has the imports behind it: a start takes milliseconds, not seconds.

They find one another as processes that torchrun starts do, and when one fails the others are ended.
"""

import multiprocessing
import os
import runpy
import socket
import sys
from multiprocessing.connection import wait
from typing import NamedTuple

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "torch.distributed.run", "aya_plugins.trainers.runtime.loop", "aya_plugins.trainers.runtime.reference",
        "transformers.models.cohere.modeling_cohere", "transformers.models.llama.modeling_llama", __name__,
    ]
)  # fmt: skip


class Ended(NamedTuple):
    """code: 0, or that of the process that failed first; a signal is negative. output: what all of them printed."""

    code: int
    output: str


def run(log, script, *words, processes=1, environment=None):
    """Run a Python file with words in one or more processes, each on one thread. log: a file for what they print."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    log.touch()
    started = []
    for rank in range(processes):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        place |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        told = {**(place if processes > 1 else {}), **(environment or {})}
        started.append(context.Process(target=_run, args=(log, str(script), [*map(str, words)], told)))
        started[-1].start()
    code, running = 0, list(started)
    while running:
        wait([process.sentinel for process in running])
        for process in [one for one in running if not one.is_alive()]:
            running.remove(process)
            code = code or process.exitcode
            if code:
                for other in running:
                    other.terminate()
    return Ended(code, log.read_text())


def _run(log, script, words, environment):
    import torch

    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")
