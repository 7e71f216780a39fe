"""Processes beside this one for the tests of trainers."""

import os
import socket

import pytest
from warm_process import WarmProcess

MODULES = (
    "torch", "aya_plugins.trainers.runtime.loop", "aya_plugins.trainers.runtime.reference",
    "transformers.models.cohere.modeling_cohere", "transformers.models.llama.modeling_llama",
)  # fmt: skip


@pytest.fixture(scope="session")
def warm_trainer():
    """A process that has the imports of training behind it."""
    process = WarmProcess(*MODULES, OMP_NUM_THREADS="1")
    yield process
    process.end()


@pytest.fixture(scope="session")
def forked(warm_trainer, tmp_path_factory):
    """Run a script, text or a file, in one process or several that find one another; returns its exit code and output.

    The environment is that of processes which torchrun starts, each on one thread.
    """

    def run(script, *words, processes=1, **environment):
        folder = tmp_path_factory.mktemp("forked")
        if isinstance(script, str):
            (folder / "script.py").write_text(script)
            script = folder / "script.py"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            shared = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_PORT": free.getsockname()[1]}
        tasks = []
        for rank in range(processes):
            place = {**shared, "MASTER_ADDR": "127.0.0.1", "RANK": rank, "LOCAL_RANK": rank} if processes > 1 else {}
            output = {name: str(value) for name, value in {**place, **environment}.items()}
            tasks.append({"file": script, "words": words, "environment": {**os.environ, **output}})
        return warm_trainer.run(*tasks)

    return run
