"""A process that has modules behind it and forks for each task: a task starts in milliseconds, as if in a process of its own.

`python -P warm_process.py MODULE...` imports the modules, then reads requests, a JSON list of tasks a line, does the tasks of a
request side by side, and answers with one exit code: 0, or that of the first that failed, upon which the others are ended.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory


class WarmProcess:
    """Starts such a process and hands it tasks. environment: in which the modules are imported, beside that of this process."""

    def __init__(self, *modules, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def run(self, *tasks):
        """Do tasks side by side; returns the exit code, negative for a signal, and what was printed.

        A task has `file` to run or `call` as module:function, `words` to give it, `environment` (all of it) and, if they are not
        those of this process, the folder `cwd` and `executable`, which it takes for Python.
        """
        with TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            tasks = [{"cwd": os.getcwd(), **task, "out": out, "err": err} for task in tasks]
            self.process.stdin.write(json.dumps(tasks, default=str) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            with err.open() as file:
                fcntl.flock(
                    file, fcntl.LOCK_EX
                )  # which is free when every process that a task has left behind has ended
            stdout, stderr = (file.read_text(encoding="utf-8") for file in (out, err))
        return subprocess.CompletedProcess(tasks, code, stdout, stderr)

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def main():
    sys.path.append(str(Path(__file__).parent))
    for module in sys.argv[1:]:
        importlib.import_module(module)
    sys.path.pop()
    gc.freeze()
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        code, running = 0, set()
        for task in json.loads(line):
            pid = os.fork()
            if pid == 0:
                _do(task)
            running.add(pid)
        while running:
            pid, status = os.wait()
            running.discard(pid)
            if not code and (code := os.waitstatus_to_exitcode(status)):
                for other in running:
                    os.kill(other, signal.SIGTERM)
        os.write(answers, f"{code}\n".encode())


def _do(task):
    code = 1
    try:
        os.environ.clear()
        os.environ.update(task["environment"])
        os.chdir(task["cwd"])
        sys.executable = task.get("executable", sys.executable)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, file in ((1, task["out"]), (2, task["err"])):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(opened, descriptor)
            os.close(opened)
        fcntl.flock(2, fcntl.LOCK_SH)  # held by all processes that this standard error is passed on to
        words = [str(word) for word in task["words"]]
        if "file" in task:
            sys.argv = [task["file"], *words]
            runpy.run_path(task["file"], run_name="__main__")
        else:
            sys.argv = ["-c", *words]
            sys.path.insert(0, "")
            module, function = task["call"].split(":")
            getattr(importlib.import_module(module), function)()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # as an interpreter ends: its threads first
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
