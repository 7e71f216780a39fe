"""How the benchmarks take their numbers: best time of several runs, peak memory in a process of its own."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch


def best_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Run once to warm up, then give the shortest of the repeats."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def extra_peak_mib(prepare: Callable[..., Callable[[], object]], *args: object) -> float:
    """Give the memory that one run of prepare(*args)() needs beyond its inputs, in MiB.

    On a GPU, what the allocator reports. On CPU, the growth of the peak resident set in a fresh process.
    """
    if torch.cuda.is_available():
        work = prepare(*args)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_peak_growth, args=(sender, torch.get_num_threads(), prepare, args))
    child.start()
    child.join()
    if child.exitcode != 0:
        raise RuntimeError(f"measuring memory: the child process ended with exit code {child.exitcode}")
    return float(receiver.recv())


def _send_peak_growth(
    sender: Connection, threads: int, prepare: Callable[..., Callable[[], object]], args: Sequence[object]
) -> None:
    torch.set_num_threads(threads)
    work = prepare(*args)
    before = _peak_resident_bytes()
    work()
    sender.send((_peak_resident_bytes() - before) / 2**20)


def _peak_resident_bytes() -> int:
    """Give the peak resident set of this process. On Linux getrusage would carry over the parent's."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def print_heading() -> torch.device:
    """Say what the numbers are measured on; give the device to use."""
    if torch.cuda.is_available():
        print(f"GPU: {torch.cuda.get_device_name()}; torch {torch.__version__}")
        return torch.device("cuda")
    print(f"No GPU here: CPU with {torch.get_num_threads()} thread(s), torch {torch.__version__}.")
    print("Triton is not measured: on CPU it runs in the interpreter, whose speed says nothing.")
    return torch.device("cpu")
