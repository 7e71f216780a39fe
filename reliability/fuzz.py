"""Feed odd input to all that reads what strangers write, and allow nothing but sentences.

    python reliability/fuzz.py [--cases 100000] [--seed S] [--only TARGET] [--case K] [--processes N] [--keep FOLDER]

A case is a valid input (a recipe, a mergekit file, a checkpoint, rows, recorded answers, a server's or a judge's replies, verdicts, a run
folder) that is changed at random: values of other types, huge numbers, odd Unicode, YAML tags, anchors and merges, keys twice, cuts,
flipped bytes. It is read in this process as a command or a step reads it. Allowed is that it works, or one message that `aya` prints
without a traceback (exit code 2, or 1 of `aya verify` and `aya report`). Found is what ends otherwise:

- any other exception, a traceback, a message that is empty, endless, or holds control characters;
- a case that takes more than ten seconds, or more than 2 GB of memory beside what was there;
- a write outside of the case's folder, a program that is started, a connection.

Each case is drawn from the seed, the target and its number alone: `--seed S --case K` runs it again, with its traceback. The inputs of the
first findings of each kind are kept.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import mmap
import os
import platform
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # which torch reads when it is imported
os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True

from fuzz_guard import Guard  # noqa: E402
from fuzz_targets import TARGETS, Target, refuse  # noqa: E402

from aya_core.planning.registry import Registry  # noqa: E402

SECONDS = 10.0
"""That a case may take: of a processor's time, or three times as much altogether, for others may be at work here."""
MEMORY = 2 << 30
"""Bytes that a case may take beside what was there."""
KEPT = 3
"""Inputs kept of each kind of finding."""
STATE = struct.Struct("=qdd")


def main() -> None:
    """Fuzz, print what was found, and end with code 1 where something was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="how many (100000)")
    parser.add_argument("--seed", type=int, default=None, help="of all cases; drawn and printed by default")
    parser.add_argument(
        "--only", choices=[target.name for target in TARGETS], action="append", help="feed nothing else; may come again"
    )
    parser.add_argument("--case", type=int, metavar="K", help="only this case, with the traceback")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), metavar="N", help="one for each processor by default"
    )
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir(), "fuzz-found"), help="where inputs are kept"
    )
    words = parser.parse_args()
    seed = Random().randrange(10**6) if words.seed is None else words.seed
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        fuzz = Fuzz(seed, Path(folder), words.only)
        if words.case is not None:
            sys.exit(fuzz.again(words.case, words.keep))
        sys.exit(fuzz.go(words.cases, words.processes, words.keep))


class Fuzz:
    """Cases of one seed."""

    def __init__(self, seed: int, folder: Path, only: Sequence[str] | None) -> None:
        self.seed = seed
        self.folder = folder
        chosen = [target for target in TARGETS if only is None or target.name in only]
        temporary(folder)
        registry = Registry()
        self.targets = [kind(folder / f"seeds-{kind.name}", registry) for kind in chosen]
        self.wheel = [target for target in self.targets for _ in range(target.share)]
        Random(0).shuffle(self.wheel)
        warm(merges=any(target.name in ("merges", "checkpoints") for target in self.targets))

    def target(self, case: int) -> Target:
        """Which target a case is of."""
        return self.wheel[case % len(self.wheel)]

    def write(self, case: int, folder: Path) -> Target:
        """Write a case into a new folder."""
        target = self.target(case)
        folder.mkdir()
        target.write(folder, Random(f"{self.seed}/{target.name}/{case}"))
        return target

    def again(self, case: int, keep: Path) -> int:
        """Run one case, and show what comes of it."""
        folder = self.folder / "case"
        target = self.write(case, folder)
        kept = keep / f"{target.name}-{self.seed}-{case}"
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        print(f"{target.name}, case {case}: {kept}", flush=True)
        guard = Guard(folder, temporary(self.folder))
        found = run(target, folder, guard)
        print(found[1] if found else "nothing found")
        return int(found is not None)

    def go(self, cases: int, processes: int, keep: Path) -> int:
        """Run all cases in processes; returns 1 where something was found."""
        print(f"seed {self.seed}; {platform.platform()}, {os.cpu_count()} cores, {date.today()}", flush=True)
        gc.collect()
        gc.freeze()
        started = time.monotonic()
        workers = [Worker(self, place, processes, cases) for place in range(processes)]
        told = started
        try:
            while sum(worker.watch() for worker in workers):
                time.sleep(0.05)
                if time.monotonic() - told > 30:
                    told = time.monotonic()
                    found = sum(len(worker.findings()) for worker in workers)
                    begun = sum(worker.done for worker in workers)
                    print(f"{begun} cases, {told - started:.0f} s, {found or 'nothing'} found so far", flush=True)
        except KeyboardInterrupt:
            cases = sum(worker.done for worker in workers)
            print(f"stopped after about {cases} cases", flush=True)
        findings = [finding for worker in workers for finding in worker.findings()]
        self._show(findings, keep)
        took = time.monotonic() - started
        counts = Counter(self.wheel[case % len(self.wheel)].name for case in range(cases))
        each = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        print(f"{cases} cases ({each}) in {took:.0f} s: {len(findings) or 'nothing'} found", flush=True)
        return int(bool(findings))

    def _show(self, findings: Sequence[Any], keep: Path) -> None:
        kinds: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for case, kind, text in findings:
            kinds[self.target(case).name, kind].append((case, text))
        for (name, kind), found in sorted(kinds.items(), key=lambda item: -len(item[1])):
            numbers = ", ".join(str(case) for case, _ in found[:KEPT])
            print(f"FOUND {len(found)} x {name}: {kind}\n  again: --seed {self.seed} --case {numbers}")
            print("  " + found[0][1].strip().splitlines()[-1][:300])
            for case, text in found[:KEPT]:
                place = keep / f"{name}-{self.seed}-{case}"
                shutil.rmtree(place, ignore_errors=True)
                keep.mkdir(parents=True, exist_ok=True)
                self.write(case, place)
                (place / "FOUND.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


class Worker:
    """A process that does every n-th case, started again after one that it does not survive."""

    def __init__(self, fuzz: Fuzz, place: int, step: int, cases: int) -> None:
        self.fuzz = fuzz
        self.place, self.step, self.cases = place, step, cases
        self.folder = fuzz.folder / f"process-{place}"
        self.folder.mkdir()
        self.results = fuzz.folder / f"results-{place}"
        self.results.touch()
        self.state = mmap.mmap(-1, STATE.size)
        self.killed: list[tuple[int, str, str]] = []
        self.parent = os.getpid()
        self.pid = 0
        self._start(place)

    @property
    def done(self) -> int:
        """How many cases it has begun."""
        return int(STATE.unpack(self.state[:])[0]) // self.step

    def watch(self) -> bool:
        """Look after the process; False when all of its cases are done."""
        if self.pid == 0:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        case, began, used = STATE.unpack(self.state[:])
        if pid == 0:
            slow = time.monotonic() - began
            if began == 0 or slow < SECONDS or (cpu_seconds(self.pid) - used < SECONDS and slow < 3 * SECONDS):
                return True
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.killed.append((case, "it hangs", f"no end after {slow:.0f} s"))
        elif (code := os.waitstatus_to_exitcode(status)) != 0:
            self.killed.append((case, "the process died", f"exit code {code}"))
        else:
            self.pid = 0
            return False
        self._start(case + self.step)
        return True

    def findings(self) -> list[Any]:
        """What was found: number of the case, kind, and text."""
        return [*map(json.loads, self.results.read_text().splitlines()), *self.killed]

    def _start(self, first: int) -> None:
        self.state[:] = STATE.pack(first, 0.0, 0.0)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._work(first)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)

    def _work(self, first: int) -> None:
        limit_memory()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the one who looks after this process
        # Nothing here has to outlast a loss of power, and a case waits longer for the disk than it works.
        vars(os)["fsync"] = lambda opened: None
        guard = Guard(self.folder / "case", temporary(self.folder))
        opened = os.open(self.folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
        folder = self.folder / "case"
        with self.results.open("a") as results:
            for case in range(first, self.cases, self.step):
                if os.getppid() != self.parent:
                    return  # nobody waits for more
                shutil.rmtree(folder, ignore_errors=True)  # of a case that was killed
                target = self.fuzz.write(case, folder)
                self.state[:] = STATE.pack(case, time.monotonic(), time.process_time())
                found = run(target, folder, guard)
                self.state[:] = STATE.pack(case, 0.0, 0.0)
                if found is not None:
                    results.write(json.dumps([case, *found]) + "\n")
                    results.flush()
                os.chdir(self.folder)
                shutil.rmtree(folder)
                os.ftruncate(opened, 0)


def run(target: Target, folder: Path, guard: Guard) -> tuple[str, str] | None:
    """Have a case read; returns the kind of what was found, and its text."""
    os.chdir(folder)
    guard.found.clear()
    guard.is_on = True
    found = None
    try:
        try:
            target.take(folder)
        except Exception as error:
            refuse(error)
    except BaseException as error:
        found = kind_of(error), "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()
    finally:
        guard.is_on = False
    if guard.found:
        return f"outside: {guard.found[0].split()[0]}", guard.found[0]
    return found


def kind_of(error: BaseException) -> str:
    """What is the same for the same mistake: the error, and the innermost function of ours."""
    kind = type(error).__name__
    ours = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(part in frame.filename for part in ("aya_core", "aya_plugins", "aya_recipe", "aya_kernels"))
    ]
    return f"{kind} in {ours[-1]}" if ours else f"{kind}: {error}"[:200]


def temporary(folder: Path) -> Path:
    """Make the folder for temporary files and caches, inside of another."""
    made = folder / "temporary"
    made.mkdir(exist_ok=True)
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        os.environ[name] = str(made)
    tempfile.tempdir = None
    return made


def cpu_seconds(pid: int) -> float:
    """How long a process has used a processor."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_memory() -> None:
    """Have this process fail where it wants far more memory than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


OF_MOST = (
    "aya_core.cli.check",
    "aya_core.cli.plan",
    "aya_core.cli.report",
    "aya_core.cli.status",
    "aya_core.cli.upkeep",
    "aiohttp",
    "aya_plugins.teachers.runtime.openai",
    "aya_recipe.evaluate.winrate",
    "aya_recipe.evaluate.compare",
    "aya_recipe.export.command",
)
OF_MERGES = ("aya_recipe.merge.command", "aya_plugins.merges.runtime.run", "torch", "accelerate", "transformers.modeling_utils",
    "transformers.generation", "transformers.models.llama.modeling_llama")  # fmt: skip
"""Modules that cases import, some only of a few targets."""


def warm(merges: bool) -> None:
    """Import what cases import, which takes longer than they may, and be quiet."""
    for module in (*OF_MOST, *(OF_MERGES if merges else ())):
        importlib.import_module(module)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    main()
