"""Run as a program with the words of fuzz.py: a fuzz whose one target does, by the number of the case, each thing that must be found."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "reliability"))

import fuzz
from fuzz_targets import Target, check_printable

from aya_core.contract.errors import AyaError, RecipeError


def nested(depth):
    return nested(depth + 1)


DEEDS = (
    lambda: None,
    lambda: exec("raise RecipeError('x.yaml: a sentence')", {"RecipeError": RecipeError}),
    lambda: {}["nothing"],
    lambda: nested(0),
    lambda: time.sleep(60),
    lambda: os.kill(os.getpid(), signal.SIGSEGV),
    lambda: bytearray(3 << 30),
    lambda: Path("../outside").write_text("x") and None,
    lambda: os.rename("here", "../../outside"),
    lambda: subprocess.run(["true"]),
    lambda: socket.create_connection(("localhost", 9)),
    lambda: check_printable("\x1b[31mred"),
    lambda: exec("raise AyaError('')", {"AyaError": AyaError}),
    lambda: Path("inside").write_text("x") and None,
)


class Planted(Target):
    name, share = "planted", 1

    def write(self, folder, rng):
        (folder / "case").write_text(folder.name)
        (folder / "number").write_text(str(rng.random()))

    def take(self, folder):
        DEEDS[Planted.number]()


def main():
    fuzz.TARGETS = (Planted,)
    fuzz.warm = lambda merges: None
    fuzz.SECONDS = 0.3
    write = fuzz.Fuzz.write

    def numbered(self, case, folder):
        Planted.number = case
        return write(self, case, folder)

    fuzz.Fuzz.write = numbered
    fuzz.main()


if __name__ == "__main__":
    main()
