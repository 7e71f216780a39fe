"""The environment in which COMET runs: made on first use, and kept for all runs of this machine.

unbabel-comet needs older libraries than we do, so it has its own interpreter. torch, by far the largest of them, is not
installed again: the environment holds links to the torch of the interpreter that made it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from aya_core.api import AyaError, flush, stable_hash, write_file

PINS = Path(__file__).with_name("constraints.txt")
PACKAGE, VERSION = "unbabel-comet", "2.2.7"
NAMED = (PACKAGE, "torch", "transformers", "tokenizers", "numpy")
"""Distributions whose versions move scores."""

WHOLE = "whole.json"
"""Written last. An environment without it was left half-made by a kill, and is made again."""

LAST_PYTHON = (3, 12)
"""The last Python for which there is a numpy below 2."""


def environment(python: str | None = None) -> Path:
    """Find the interpreter of COMET's environment, and make the environment where there is none.

    python: an interpreter with unbabel-comet that you made. None: ours, in `place()`. Two processes at once make it once.
    Raises AyaError with what pip said last.
    """
    if python is not None:
        found = shutil.which(os.path.expanduser(python))
        if found is None:
            raise AyaError(f"comet.python: no interpreter '{python}'; expected that of an environment with {PACKAGE}")
        return Path(found)
    folder = place()
    inside = folder / "bin" / "python"
    if not (folder / WHOLE).is_file():
        with _locked(folder.with_name(folder.name + ".lock")) as lock:
            if not (folder / WHOLE).is_file():
                _make(folder, inside, lock)
    return inside


def place() -> Path:
    """Where our environment lies: in AYA_COMET_ENV, or else in the user's cache, named by all that it is made of."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aya-core"
    root = Path(os.environ.get("AYA_COMET_ENV") or cache).expanduser().absolute()
    shared = [f"{one.name} {one.version} {one.locate_file('')}" for one in _shared()]
    return root / f"comet-{stable_hash([made_of(), sys.base_prefix, sys.version, shared])[:16]}"


def made_of() -> str:
    """Name the pinned versions."""
    return stable_hash([PACKAGE, VERSION, PINS.read_text()])[:16]


def versions(python: Path) -> Mapping[str, str]:
    """Ask an environment for the versions of what moves scores. Raises AyaError where there is no unbabel-comet."""
    asked = "import json, sys, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    result = subprocess.run([python, "-I", "-c", asked, *NAMED], capture_output=True, text=True)
    if result.returncode:
        raise AyaError(f"comet.python: {python} has no {PACKAGE}: {_last_lines(result.stderr, 1)}")
    found: Mapping[str, str] = json.loads(result.stdout)
    return found


def _make(folder: Path, inside: Path, lock: int) -> None:
    """Make the environment in its final place, for its scripts name it. A kill leaves no `WHOLE`."""
    if sys.version_info[:2] > LAST_PYTHON:
        raise AyaError(
            f"{PACKAGE} {VERSION} needs numpy below 2, which exists for Python up to {'.'.join(map(str, LAST_PYTHON))}, and this is "
            f"{sys.version.split()[0]}; make an environment with an older Python, and name its interpreter in `comet.python`"
        )
    print(f"making the environment of COMET in {folder} (once)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--python", str(inside)]
    without = ["--without-pip"]
    if not _has_pip():  # an environment of uv's has none; that of COMET then gets its own
        pip, without = [str(inside), "-m", "pip"], []
    _run([sys.executable, "-m", "venv", *without, str(folder)], lock)
    (packages,) = folder.glob("lib/python*/site-packages")
    _link(_shared(), packages)
    _run([*pip, "install", "--no-compile", "--constraint", str(PINS), f"{PACKAGE}=={VERSION}"], lock)
    flush(folder)
    write_file(folder / WHOLE, json.dumps(versions(inside)))


def _has_pip() -> bool:
    """Whether this environment has pip. Its module is not looked for: setuptools takes that for a build, and changes its ways."""
    try:
        distribution("pip")
    except PackageNotFoundError:
        return False
    return True


def _run(command: Sequence[str], lock: int) -> None:
    """Run a step. It holds the lock, too: killed, we leave it running, and nobody else may begin before it has ended."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[lock])
    if done.returncode:
        raise AyaError(
            f"the environment of COMET could not be made; `{' '.join(command)}` said:\n{_last_lines(done.stdout, 12)}\n"
            "Where this machine reaches no package index, set pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS), or make an "
            f"environment with {PACKAGE}=={VERSION} elsewhere and name its interpreter in `comet.python`"
        )


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _shared() -> Sequence[Distribution]:
    """torch as it is installed here, and what it needs that no pin names: on machines with a GPU the libraries of CUDA."""
    pinned = {_name(line)[0] for line in PINS.read_text().splitlines() if "==" in line}
    found: dict[str, Distribution] = {}
    wanted, seen = [("torch", frozenset[str]())], set()
    while wanted:
        name, extras = wanted.pop()
        if name in pinned or (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # not for this platform; without torch here pip brings its own
            continue
        for line in found[name].requires or ():
            extra = re.findall(r"extra == ['\"]([^'\"]+)", line)
            if not extra or extras.intersection(extra):
                wanted.append(_name(line))
    return [found[name] for name in sorted(found)]


def _name(requirement: str) -> tuple[str, frozenset[str]]:
    """The distribution that a requirement names, in its one spelling, and the extras of it."""
    name, extras = re.findall(r"^([\w.-]+)\s*(?:\[([^]]*)\])?", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower(), frozenset(
        extra.strip() for extra in extras.split(",") if extra.strip()
    )


def _link(shared: Sequence[Distribution], packages: Path) -> None:
    """Link what distributions consist of. Folders that several may share, as `nvidia`, are made anew and what is in them
    linked: whatever pip puts there goes into the environment, never into ours."""
    links: dict[Path, Path] = {}
    for one in shared:
        root = Path(str(one.locate_file("")))
        ends = {file.parts for file in one.files or () if file.parts[0] not in ("..", "/", "__pycache__")}
        for parts in ends:
            depth = next(
                (depth for depth in range(1, len(parts)) if _is_whole(root.joinpath(*parts[:depth]))), len(parts)
            )
            links[packages.joinpath(*parts[:depth])] = root.joinpath(*parts[:depth])
    for link, source in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)


@cache
def _is_whole(folder: Path) -> bool:
    """Whether a folder belongs to one distribution."""
    return folder.suffix == ".dist-info" or (folder / "__init__.py").is_file()


def _last_lines(text: str, count: int) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
