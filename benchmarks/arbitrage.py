"""Time data arbitrage from recorded answers in Parquet to picked Parquet, and its memory, at two sizes.

    python benchmarks/arbitrage.py [PROMPTS ...]      default: 100000 1000000

Three recorded teachers, a cheap arbiter (an expression over the answer), two steps at a time. Peak memory is that of the largest
process and of all processes of the run together, sampled four times a second.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet

from aya_core.api import LANGUAGES

TEACHERS = ("ana", "bo", "cem")
BLOCK = 50_000
PLUGIN = '''
from aya_core.api import ArbiterStrategy, Verdict, hookimpl


class Cheap(ArbiterStrategy):
    """Score an answer by its last digit."""

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            yield [Verdict(float(candidate.text[-1])) for candidate in case.candidates]


@hookimpl
def aya_arbiters():
    return {"cheap": Cheap}
'''


def make_data(folder: Path, prompts: int) -> None:
    """Write prompts of about 100 characters in 23 languages, and three answers of about 200 characters to each."""
    for name in ("prompts", *TEACHERS):
        writer = None
        for start in range(0, prompts, BLOCK):
            numbers = range(start, min(start + BLOCK, prompts))
            rows = {"id": [f"prompt-{n:09d}" for n in numbers]}
            if name == "prompts":
                rows |= {
                    "language": [LANGUAGES[n % 23] for n in numbers],
                    "prompt": [f"Question {n}: " + "why so? " * 11 for n in numbers],
                }
            else:
                rows |= {
                    "answer": [
                        f"{name} says {n}: " + "because it is so " * 11 + str(hash((name, n)) % 10) for n in numbers
                    ]
                }
            table = pyarrow.table(rows)
            writer = writer or pyarrow.parquet.ParquetWriter(
                folder / f"{name}.parquet", table.schema, compression="zstd"
            )
            writer.write_table(table)
        assert writer is not None
        writer.close()


def recipe(folder: Path) -> Path:
    """Write the recipe and its arbiter."""
    (folder / "cheap.py").write_text(PLUGIN)
    teachers = "\n".join(f"      {name}: {{use: recorded, path: {name}.parquet}}" for name in TEACHERS)
    path = folder / "recipe.yaml"
    path.write_text(
        "name: bench\nplugins: [cheap.py]\nmachine: {jobs: 2, threads: 1}\nstages:\n  - name: arbitrage\n    do: arbitrage\n"
        f"    prompts: {{use: parquet, path: prompts.parquet}}\n    teachers:\n{teachers}\n    arbiter: {{use: cheap}}\n"
    )
    return path


class Memory(threading.Thread):
    """Watches the resident memory of a process and its descendants, in MiB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.largest = self.together = 0.0
        self.stop = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.stop.wait(0.25):
            sizes = [size for pid in self._family() if (size := _proportional(pid))]
            self.largest = max(self.largest, *sizes, 0.0)
            self.together = max(self.together, sum(sizes))

    def _family(self) -> list[int]:
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except (OSError, IndexError):
                    continue
        family, found = {self.pid}, True
        while found:
            found = {pid for pid, parent in parents.items() if parent in family} - family
            family |= found
        return list(family)


def _proportional(pid: int) -> float:
    """Memory of a process in MiB, what forks share counted once (PSS)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def main() -> None:
    """Print a row for each size."""
    sizes = [int(word) for word in sys.argv[1:]] or [100_000, 1_000_000]
    print("| prompts | completions | s | completions/s | largest process, MiB | all processes, MiB | per step, s |")
    print("|---:|---:|---:|---:|---:|---:|---|")
    for prompts in sizes:
        folder = Path(tempfile.mkdtemp(prefix="aya-bench-"))
        try:
            make_data(folder, prompts)
            command = [sys.executable, "-m", "aya_core", "run", str(recipe(folder)), "--out", str(folder / "out")]
            started = time.perf_counter()
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
            memory = Memory(process.pid)
            memory.start()
            _, told = process.communicate()
            seconds = time.perf_counter() - started
            memory.stop.set()
            if process.returncode:
                sys.exit(told)
            steps = " ".join(
                f"{w[3].split('.')[-1]} {w[4]}" for w in map(str.split, told.splitlines()) if len(w) > 4 and "/" in w[2]
            )
            print(
                f"| {prompts:,} | {3 * prompts:,} | {seconds:.1f} | {3 * prompts / seconds:,.0f} | {memory.largest:.0f} | "
                f"{memory.together:.0f} | {steps} |",
                flush=True,
            )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
