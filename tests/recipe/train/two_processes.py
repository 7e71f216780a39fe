"""A launcher: runs its arguments under Python in two processes that have sessions of their own, as torchrun's have."""

import os
import subprocess
import sys

if __name__ == "__main__":
    words = [sys.executable, *sys.argv[1:]]
    environments = [{**os.environ, "RANK": str(rank), "GREETING": "hello"} for rank in range(2)]
    started = [subprocess.Popen(words, env=each, start_new_session=True) for each in environments]
    sys.exit(max(process.wait() for process in started))
