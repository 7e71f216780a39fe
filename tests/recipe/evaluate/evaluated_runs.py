"""A run in which two models were evaluated at no cost, made in this process but for its worker."""

import json
import os
import shutil
from pathlib import Path

from click.testing import CliRunner

from aya_core import cli

HERE = Path(__file__).parent


def evaluate(folder):
    """Evaluate two models by two evaluators; returns the run folder and what was printed."""
    shutil.copy(HERE / "quiz_plugin.py", folder)
    for name in ("ana", "bo"):
        (folder / name).mkdir()
        (folder / name / "weights").write_text(name)
    words = [
        "evaluate", "ana", "bo", "--evaluator", "quiz", "--evaluator", "long=quiz,questions=6", "--teacher", "clerk",
        "--set", "plugins=[quiz_plugin.py]", "--set", "stages.evaluate.groups={both: [quiz, long]}", "--json", "-q",
    ]  # fmt: skip
    return folder / "runs" / "evaluate", json.loads(printed_in(folder, words))


def printed_in(folder, words):
    """Run the command in a folder; returns what it printed on stdout."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli.aya, words, env={"COLUMNS": "200"})
    finally:
        os.chdir(here)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout
