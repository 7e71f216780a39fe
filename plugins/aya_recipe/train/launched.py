"""One of several processes that work together: `python -m aya_recipe.train.launched JOB`, started by a launcher.

`RANK` in the environment says which one this is, as torchrun and accelerate set it. Only the first one reports.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from aya_core.api import STOPPED, AyaError, SettingsError, StoppedError
from aya_recipe.train import launching


def main() -> None:
    """Do the work that lies in a file, and say what came of it."""
    job = Path(sys.argv[1])
    rank = int(os.environ.get("RANK", "0"))
    sys.path.append(os.getcwd())  # for checks of the user's; last, so that no file there stands in for a library
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    threading.Thread(target=_end_with_parent, args=(job,), daemon=True).start()

    def progress(done: int, total: int, measures: Mapping[str, float]) -> None:
        _tell(job, event="progress", done=done, total=total, measures=dict(measures))

    try:
        work, run = launching.load(job, progress)
        is_told = work.stopping
        work = replace(work, stopping=lambda: bool(told) or is_told())
        measures = run(work, work.log if rank == 0 else _say_nothing)
    except StoppedError as stopped:
        _tell(job, event="stopped", message=str(stopped))
        _leave(STOPPED)
    except (AyaError, SettingsError) as error:
        print(error, file=sys.stderr)
        _fail(job, rank, str(error), is_mistake=True)
    except BaseException as error:
        traceback.print_exc()
        _fail(job, rank, f"{type(error).__name__}: {error}", is_mistake=False)
    if rank == 0:
        _tell(job, event="done", measures=dict(measures))


def _say_nothing(done: int, total: int, measures: Mapping[str, float]) -> None:
    """Stand for the report of a process that is not the first."""


def _end_with_parent(job: Path) -> None:
    """Wait until the process that had these started is gone, and end."""
    with job.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        os._exit(1)


def _tell(job: Path, **event: Any) -> None:
    with launching.events_of(job).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event, default=float) + "\n")


def _fail(job: Path, rank: int, message: str, *, is_mistake: bool) -> NoReturn:
    """Say why this process ends, and end at once: others may wait for it in vain, and libraries for them."""
    _tell(job, event="failed", process=rank, message=message, is_mistake=is_mistake)
    _leave(2 if is_mistake else 1)


def _leave(code: int) -> NoReturn:
    """End at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
