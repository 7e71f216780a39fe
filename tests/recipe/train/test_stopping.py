"""A run that gets a SIGTERM saves, ends with an exit code of its own, and goes on when it is given again."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from aya_core import cli
from aya_core.contract.errors import STOPPED

HERE = Path(__file__).parent


@pytest.fixture
def long(edit, cheap):
    """Write a recipe of one training that lasts; returns the file."""
    for name in ("stopping_plugin.py", "two_processes.py"):
        shutil.copy(HERE / name, cheap.parent / name)

    def write(**settings):
        def change(raw):
            raw["plugins"].append("stopping_plugin.py")
            data = {"use": "sums", "demonstrations": True}
            raw["stages"] = [{"name": "long", "do": "train", "trainer": {"use": "patient", **settings}, "data": data}]

        return edit(change)

    return write


@pytest.mark.parametrize("settings", [{}, {"together": True}, {"alone": True}], ids=["one", "two", "alone"])
def test_a_sigterm_saves_and_the_same_command_goes_on(long, aya_command, tmp_path, settings):
    """One process, two that a launcher started, and a step whose own process is told by someone else."""
    recipe, out = long(**settings), tmp_path / "run"
    if settings.get("alone"):
        (tmp_path / "alone").touch()
    ended = aya_command("run", recipe, "--out", out, worker="new", cwd=tmp_path)
    assert ended.returncode == STOPPED == 75, ended.stderr
    assert "told to stop (SIGTERM); what was done is kept" in ended.stderr
    assert "Traceback" not in ended.stderr
    saved = sorted(path.name for path in out.glob("artifacts/long/*.partial/work/saved-*"))
    assert saved == (["saved-0", "saved-1"] if settings.get("together") else ["saved-0"])
    again = aya_command("run", recipe, "--out", out, worker="light", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (manifest,) = out.glob("artifacts/long/*/artifact.json")
    assert '"went_on": 1.0' in manifest.read_text()


def test_a_command_that_does_no_step_ends_with_the_same_code(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli.aya, "main", lambda **named: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == STOPPED
    assert "told to stop (SIGTERM)" in capsys.readouterr().err
