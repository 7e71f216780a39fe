"""Processes beside this one for the tests of trainers."""

import pytest
import warm_processes


@pytest.fixture
def forked(tmp_path):
    """Run a script, text or a file, in processes that cost no start; returns their exit code and output."""

    def run(script, *words, processes=1, **environment):
        if isinstance(script, str):
            (tmp_path / "script.py").write_text(script)
            script = tmp_path / "script.py"
        return warm_processes.run(
            tmp_path / "printed.txt", script, *words, processes=processes, environment=environment
        )

    return run
