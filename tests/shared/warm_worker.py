"""Workers of `aya run` that have their imports behind them when they start, which costs seconds of a processor otherwise.

`aya run` starts its worker as `sys.executable -P -m MODULE`. `WarmWorkers` makes an executable to stand in for `sys.executable`:
for these words it hands its open files, its folder and its environment to a process that has the imports behind it, which forks a
worker with them; for all other words it becomes Python itself.
"""

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

MOST_FILES = 64
HIGH = 512
"""Files wait here until the numbers that they are to have are free."""


class WarmWorkers:
    """Starts a process that imports modules and forks workers. Put `executable` where `sys.executable` is looked for."""

    def __init__(self, *modules):
        self.folder = TemporaryDirectory()
        place = Path(self.folder.name, "socket")
        self.executable = Path(self.folder.name, "python")
        self.executable.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {__file__} hand {place} "$@"\n')
        self.executable.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, "serve", place, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout.readline(), "the process that forks workers did not start"

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.folder.cleanup()


def hand(place, *words):
    """Have a worker forked with the files of this process, and end as it ends."""
    if len(words) != 3 or words[:2] != ("-P", "-m") or not words[2].endswith(".worker"):
        os.execv(sys.executable, [sys.executable, *words])
    files = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)]
    output = {"module": words[2], "files": files, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        socket.send_fds(server, [b"."], files)
        server.sendall(json.dumps(output).encode() + b"\n")
        for number in files:
            os.close(number)
        code = int(server.recv(16))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def serve(place, *modules):
    """Fork workers until standard input closes."""
    for module in modules:
        importlib.import_module(module)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].Table.from_pylist(
            [{"warm": 1}]
        )  # on first use it imports pandas, where that is installed
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        waiting = []  # the processes that wait for workers
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            waiting = [pid for pid in waiting if os.waitpid(pid, os.WNOHANG) == (0, 0)]
            if 0 in ready:
                return
            asking, _ = listener.accept()
            pid = os.fork()
            if pid == 0:
                listener.close()
                _fork_worker(asking)
            waiting.append(pid)
            asking.close()


def _fork_worker(asking):
    _, files, _, _ = socket.recv_fds(asking, 1, MOST_FILES)
    with asking.makefile() as lines:
        output = json.loads(lines.readline())
    worker = os.fork()
    if worker == 0:
        asking.close()
        _work(output, files)
    os.closerange(0, 3)  # the ends of pipes are to close with the worker
    for number in files:
        os.close(number)
    _, status = os.waitpid(worker, 0)
    asking.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _work(output, files):
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        waiting = [fcntl.fcntl(number, fcntl.F_DUPFD, HIGH) for number in files]
        for number in files:
            os.close(number)
        for number, file in zip(output["files"], waiting, strict=True):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(output["environment"])
        os.chdir(output["folder"])
        if "torch" in sys.modules and "OMP_NUM_THREADS" in os.environ:  # which torch reads while it is imported
            sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        sys.argv = [output["module"]]
        importlib.import_module(output["module"]).main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    {"hand": hand, "serve": serve}[sys.argv[1]](*sys.argv[2:])
