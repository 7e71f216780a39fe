"""The runner's side of the worker process (see `worker.py`): starts it, hands it nodes, and waits for what it says of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aya_core.contract.errors import NodeFailedError
from aya_core.contract.processes import Lines, how_it_ended
from aya_core.planning.plan import Plan
from aya_core.planning.recipe import LoadedRecipe


class WorkerPool:
    """The worker process, spoken to over pipes. Started on entry; every child of it is gone on exit."""

    def __init__(self, loaded: LoadedRecipe, plan: Plan, lock: int) -> None:
        self.lock = lock
        threads = loaded.recipe.machine.threads
        self.environment = dict(os.environ)
        if threads is not None:
            for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
                self.environment[variable] = str(threads)
        self.environment.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not outlive a fork
        imports = dict.fromkeys(module for node in plan.nodes.values() for module in node.imports)
        plugins = [str(file) for file in loaded.registry.files]
        self.setup = {"imports": list(imports), "plugins": plugins}
        self.children: dict[str, int] = {}
        self.is_serving = False

    def __enter__(self) -> WorkerPool:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "aya_core.running.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
            start_new_session=True, pass_fds=[self.lock],
        )  # fmt: skip
        self.lines = Lines(self.process)
        self.start(self.setup)
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if not self.is_serving:  # it imports what steps need, and would look at its pipe only then
            self.process.kill()
        self.process.wait()
        for child in self.children.values():  # a worker that was killed left them
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        self.process.stdout.close()

    def start(self, job: Mapping[str, Any]) -> None:
        """Have a node done."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # that there is no event tells
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Have the worker tell all nodes at work to stop. May be called within a signal handler."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)

    def event(self) -> dict[str, Any]:
        """Wait for what the worker says next of a node. Raises NodeFailedError where the worker has ended."""
        while True:
            line = self.lines.next()
            if line is None:
                raise NodeFailedError(
                    f"the worker process {how_it_ended(self.process.wait())}; what it said stands above. What was finished is kept, "
                    "and the same command goes on from there"
                )
            self.is_serving = True
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "started":
                self.children[event["node"]] = event["process"]
                continue
            if event["event"] == "exit":
                del self.children[event["node"]]
            return event
