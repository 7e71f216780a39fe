"""Kill a whole cheap recipe at random moments, run it again, and compare all bytes of what it made with an undisturbed run.

    python reliability/drill.py [--kills 100] [--seed S] [--only KIND] [--kill K] [--recipe FILE]

What is killed (KIND), by SIGKILL: the command (`runner`), its `worker`, one step's process (`child`), all of them at one moment (`tree`);
`power` is a tree after which all that was not flushed to disk may be lost, as POSIX lets it be. Half of the moments are times, the other
half are named: the n-th flush, rename or removal, before it is done. A third of the runs that go on are killed again.

Then the same command must end well and leave what the undisturbed run left: the same artifacts, all files of theirs byte by byte, the
same measures but for seconds; `aya verify` must find nothing. Beside that: a command whose worker or step was killed must say so within
ten seconds of the last step's end, in sentences, with exit code 2; and when the command was killed, all its processes must be gone
within ten seconds.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # which torch reads when it is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from drilled import Command, Recorder, adopt_orphans, children, end_all, wait_for_all
from power_cut import Disk

from aya_core.contract import journal
from aya_core.contract.artifacts import MANIFEST, PAYLOAD
from aya_core.contract.records import Prompt
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.running.asking import reuse, teachers
from aya_core.running.work import LOG

HERE = Path(__file__).parent
KINDS = ("runner", "worker", "child", "tree", "power")
AGAIN = 1 / 3
"""Share of the runs that go on after a kill and are killed, too."""
PATIENCE = 10.0
"""Seconds in which a death must be told, or be followed."""
LONGEST = 300.0
"""Seconds after which a run that goes on hangs."""


class FoundError(Exception):
    """What a killed run did that it must not do."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run makes that nobody kills. seconds: it took. events: flushes, renames and removals. made: by the names of files."""

    seconds: float
    events: int
    made: Mapping[str, Any]


def main() -> None:
    """Drill, print what was found, and end with code 1 where something was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="how many (100)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; drawn and printed by default")
    parser.add_argument("--only", choices=KINDS, help="kill nothing else")
    parser.add_argument("--kill", type=int, metavar="K", help="only the run of this number, as a finding names it")
    parser.add_argument("--recipe", type=Path, default=HERE / "drill.yaml", help="drill.yaml beside this file")
    words = parser.parse_args()
    seed = Random().randrange(10**6) if words.seed is None else words.seed
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        code = Drill(words.recipe, Path(folder), seed, words.only).go(words.kills, words.kill)
    # Without the interpreter's own end, at which libraries complain of what they left.
    os._exit(code)


class Drill:
    """Kills runs of one recipe in a folder."""

    def __init__(self, recipe: Path, folder: Path, seed: int, only: str | None) -> None:
        self.folder = folder
        self.seed = seed
        self.kinds = KINDS if only is None else (only,)
        self.recipe = folder / recipe.name
        for file in (recipe, *recipe.parent.glob("*_plugin.py")):
            shutil.copy(file, folder / file.name)
        write_answers(folder / "answers.jsonl")
        self.out = folder / "out"
        self.counts: Counter[str] = Counter()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # a disk holds all files that were flushed
        prepare(self.recipe)
        adopt_orphans()
        self.recorder = Recorder(folder / "socket")

    def go(self, kills: int, only: int | None) -> int:
        """Kill so often, or in the run of one number only; returns how many findings there are."""
        print(f"seed {self.seed}; {platform.platform()}, {os.cpu_count()} cores, {date.today()}", flush=True)
        undisturbed = self._undisturbed()
        print(
            f"undisturbed: {undisturbed.seconds:.1f} s, {len(undisturbed.made)} files and manifests, {undisturbed.events} events",
            flush=True,
        )
        started = time.monotonic()
        findings = 0
        number = -1 if only is None else only - 1
        while self.counts.total() < kills:
            number += 1
            if only is not None and number > only:
                break
            try:
                said = self._run(number, undisturbed)
            except FoundError as error:
                findings += 1
                kept = Path(tempfile.mkdtemp(prefix=f"drill-{self.seed}-{number}-"))
                shutil.copytree(self.folder, kept, dirs_exist_ok=True, ignore=lambda folder, names: ["socket"])
                said = f"FOUND: {error}\n  again: --seed {self.seed} --kill {number}; as it was left: {kept}"
            end_all()
            print(f"run {number}: {said}", flush=True)
        kinds = ", ".join(f"{self.counts[kind]} {kind}" for kind in KINDS if self.counts[kind])
        took = time.monotonic() - started
        print(
            f"{self.counts.total()} kills ({kinds}) in {number + 1} runs, {took:.0f} s: {findings or 'nothing'} found",
            flush=True,
        )
        return int(findings > 0)

    def _command(self, *words: object) -> Command:
        self.recorder.events = 0
        return Command(words, self.folder, self.folder / "printed", self.recorder)

    def _aya_run(self) -> Command:
        return self._command("run", self.recipe, "--out", self.out, "--quiet")

    def _undisturbed(self) -> Undisturbed:
        command = self._aya_run()
        self._end_well(command, "the undisturbed run")
        seconds, events = time.monotonic() - command.started, self.recorder.events
        made = made_in(self.out)
        shutil.rmtree(self.out)
        return Undisturbed(seconds, events, made)

    def _run(self, number: int, undisturbed: Undisturbed) -> str:
        """Kill one run, perhaps more than once, and have it end."""
        shutil.rmtree(self.out, ignore_errors=True)
        rng = Random(f"{self.seed}/{number}")
        self.recorder.disk = disk = Disk(self.out)
        said = []
        try:
            is_killed = True
            while is_killed:
                kind = rng.choice(self.kinds)
                at = None if rng.random() < 0.5 else rng.randint(1, undisturbed.events)
                seconds = LONGEST if at else rng.uniform(0.0, undisturbed.seconds)
                command = self._aya_run()
                command.watch(seconds, stop_at=at)
                if not self._kill(command, kind, rng):
                    said.append("ended before")
                    if command.code:
                        raise FoundError(f"it ended with code {command.code}, not killed: {command.printed()}")
                    break
                self.counts[kind] += 1
                said.append(f"{kind} at {f'event {at}' if at else f'{seconds:.2f} s'}")
                self._follow(command, kind)
                if kind == "power":
                    self._cut(disk, rng)
                    self.recorder.disk = disk = Disk(self.out)
                    disk.flush_all()
                is_killed = rng.random() < AGAIN
            what = " then ".join(said)
            self._end_well(self._aya_run(), f"the run that goes on after {what}")
            self._compare(undisturbed.made, made_in(self.out), what)
            self._end_well(self._command("verify", self.out), f"`aya verify` after {what}")
            return f"{what}: the same"
        finally:
            disk.close()
            self.recorder.disk = None

    def _kill(self, command: Command, kind: str, rng: Random) -> bool:
        """Kill what is to be killed; False where the command has ended before. Waits until there is a worker or a step."""
        while True:
            if command.look() is not None:
                self.recorder.release()
                return False
            if kind in ("tree", "power"):
                end_all()
                self.recorder.release()
                return True
            found = [command.pid] if kind == "runner" else children(command.pid)
            if kind == "child":
                found = [child for worker in found for child in children(worker)]
            if found:
                os.kill(rng.choice(found), signal.SIGKILL)
                self.recorder.release()
                return True
            self.recorder.release()
            command.watch(0.02)

    def _follow(self, command: Command, kind: str) -> None:
        """Wait for what must follow a kill."""
        if kind in ("worker", "child"):
            # Other steps that are at work are done first, which may take as long as a step does.
            command.watch(PATIENCE)
            if command.code is None:
                raise FoundError(
                    f"{PATIENCE:g} s after its {kind} was killed the command still runs: {command.printed()}"
                )
            printed = command.printed()
            if command.code == 0 and kind == "child":
                return  # it had done its work already
            if command.code != 2 or "aya: " not in printed or "Traceback" in printed:
                raise FoundError(f"its {kind} was killed, and the command ended with code {command.code}: {printed}")
        if left := wait_for_all(self.recorder, PATIENCE):
            raise FoundError(
                f"{PATIENCE:g} s after the {kind} was killed there are still processes: {list(map(words_of, left))}"
            )

    def _cut(self, disk: Disk, rng: Random) -> None:
        """Put in place of the run folder what may be left of it after a power cut."""
        if not self.out.exists():
            return
        cut = disk.cut()
        disk.close()
        shutil.rmtree(self.out)
        cut.restore(self.out, rng)

    def _end_well(self, command: Command, what: str) -> None:
        command.watch(LONGEST)
        if command.code != 0:
            raise FoundError(f"{what}: exit code {command.code}: {command.printed()}")
        if left := wait_for_all(self.recorder, PATIENCE):
            raise FoundError(f"{what} left processes: {list(map(words_of, left))}")

    def _compare(self, expected: Mapping[str, Any], made: Mapping[str, Any], what: str) -> None:
        if differing := sorted(name for name in {*expected, *made} if expected.get(name) != made.get(name)):
            first = differing[0]
            how = "missing" if first not in made else "not there undisturbed" if first not in expected else "differs"
            detail = ""
            if how == "differs" and isinstance(made[first], dict):
                keys = [key for key in made[first] if made[first][key] != expected[first].get(key)]
                detail = "".join(
                    f"; {key}: {expected[first].get(key)!r} became {made[first][key]!r}"[:500] for key in keys
                )
            raise FoundError(f"after {what} {len(differing)} files are others, first {first}, which {how}{detail}")


def prepare(recipe: Path) -> None:
    """Import what its run imports, and let shards and journals be so small that there are several."""
    teachers.SHARD_TOKENS = 64
    reuse.PATIENCE_SECONDS = 0.0
    journal.FLUSH_SECONDS = 0.002
    for name in ("aya_recipe.arbitrage.judging", "aya_recipe.evaluate.verdict_cache"):
        importlib.import_module(name).CHUNK_CASES = 8  # type: ignore[attr-defined]
    loaded = load_recipe(recipe)
    plan = make_plan(loaded)  # which reads and keeps all code that decides results
    for node in plan.nodes.values():
        for module in (
            "pyarrow.parquet",
            "aya_core.running.worker",
            "aya_core.cli.run",
            "aya_core.cli.upkeep",
            *node.imports,
        ):
            importlib.import_module(module)
    sys.modules["pyarrow"].Table.from_pylist([{"warm": 1}])
    gc.collect()
    gc.freeze()


def write_answers(file: Path) -> None:
    """Write what the recorded teacher says: of the recipe's problems, an answer that is often right."""
    from aya_plugins.datasets.micro_world_dataset import MicroWorld

    rows = MicroWorld(split="arbitrage", per_language=8, seed=1, as_prompts=True).build().rows(0)
    asked = [row for row in rows if isinstance(row, Prompt) and row.language in ("en", "de", "tr")]
    lines = [json.dumps({"id": row.id, "answer": row.reference}) for row in asked]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def made_in(out: Path) -> dict[str, Any]:
    """What a run has made: of each artifact the manifest without times, and all files."""
    made: dict[str, Any] = {}
    for folder in sorted(out.glob("artifacts/*/*")):
        if folder.suffix and ".damaged" in folder.name:
            continue  # set aside, to be looked at
        name = folder.relative_to(out).as_posix()
        for file in folder.rglob("*"):
            if not file.is_file() or file == folder / LOG:  # which holds speeds, and decides nothing
                continue
            content = file.read_bytes()
            made[file.relative_to(out).as_posix()] = manifest_of(content) if file == folder / MANIFEST else content
        assert (folder / PAYLOAD).is_dir() or folder.suffix, f"{name} holds no payload"
    return made


def manifest_of(content: bytes) -> dict[str, Any]:
    """A manifest without what differs from run to run."""
    manifest: dict[str, Any] = json.loads(content)
    del manifest["seconds"], manifest["sha256"]
    manifest["files"] = {name: [file["bytes"], file["sha256"]] for name, file in manifest["files"].items()}
    manifest["measures"] = {name: value for name, value in manifest["measures"].items() if not is_of_time(name)}
    return manifest


def is_of_time(measure: str) -> bool:
    """Whether a measure says how fast something was, or how much of it an earlier run had done or lost."""
    return any(word in measure for word in ("second", "speed", "per_s", "taken", "damaged", "memory"))


def words_of(pid: int) -> str:
    """The command of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"process {pid}"


if __name__ == "__main__":
    main()
