"""A share of `make fuzz`; and what the fuzz finds where there is something to be found."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import fuzz_mutations
import pytest
from fuzz_targets import Rows, WrongError, check_printable, check_sentence
from places import ROOT

from aya_core.planning.registry import Registry

PLANTED = Path(__file__).with_name("planted_targets.py")
"""Fourteen cases: the first two and the last are fine, and each of the others must be found."""


def run(file, *words):
    return subprocess.run([sys.executable, str(file), *map(str, words)], capture_output=True, text=True)


@pytest.mark.processes
def test_odd_input_gives_sentences():
    light = (
        "recipes",
        "headers",
        "rows",
        "answers",
        "replies",
        "judges",
        "battles",
        "runs",
    )  # without torch, whose import takes long
    only = [word for name in light for word in ("--only", name)]
    done = run(ROOT / "reliability" / "fuzz.py", "--cases", 350, "--seed", 1, "--processes", 1, *only)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.processes
def test_each_thing_that_must_be_found_is_found(tmp_path):
    done = run(PLANTED, "--cases", 14, "--seed", 1, "--processes", 2, "--keep", tmp_path)
    found = {int(number) for number in re.findall(r"--case (\d+)", done.stdout)}
    assert found == set(range(2, 13)), done.stdout + done.stderr
    assert done.returncode == 1
    assert (tmp_path / "planted-1-2" / "FOUND.txt").read_text().rstrip().endswith("KeyError: 'nothing'")
    again = run(PLANTED, "--seed", 1, "--case", 2, "--keep", tmp_path)
    assert again.returncode == 1
    assert "KeyError: 'nothing'" in again.stdout


def test_a_case_is_drawn_from_its_seed_and_number_alone(tmp_path):
    target = Rows(tmp_path / "seeds", Registry())
    for number in range(20):
        folders = [tmp_path / f"{number}-{time}" for time in range(2)]
        for folder in folders:
            folder.mkdir()
            target.write(folder, Random(f"1/{number}"))
        one, other = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
        assert one == other


def test_mutations_leave_the_seed_alone_and_differ_from_it():
    seed = {"a": [1, {"b": "text"}], "c": None}
    made = [fuzz_mutations.mutated(seed, Random(number), [seed]) for number in range(200)]
    assert seed == {"a": [1, {"b": "text"}], "c": None}
    assert sum(one != seed for one in made) > 150


@pytest.mark.parametrize("text", ["", " \n", "a" * 100_000, "<X object at 0x7f>"])
def test_a_message_that_says_nothing_is_found(text):
    with pytest.raises(WrongError):
        check_sentence(text)


@pytest.mark.parametrize("text", ["\x1b[31m", "x\ry", "\x9b", "\ud800"])
def test_what_changes_a_terminal_is_found(text):
    with pytest.raises(WrongError):
        check_printable(text)
    check_printable("recipe.yaml: stages: expected a list;\n\tgot 学")
