"""What the machine refuses: each refusal is a sentence, and none hides why a run failed."""

import errno
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from aya_core import cli
from aya_core.contract.errors import AyaError, NodeFailedError
from aya_core.contract.trouble import REMEDIES, is_file, machine_trouble, os_sentence
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.running import runner as running, worker
from aya_core.running.record import LONGEST_NAME, file_name
from aya_core.running.runner import Runner


def full(name=None):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.mark.parametrize("number", REMEDIES)
def test_a_refusal_says_what_where_and_what_to_do(number):
    said = os_sentence(OSError(number, os.strerror(number), "/a/file"))
    assert said.startswith("/a/file: ")
    assert said.endswith(f"; {REMEDIES[number]}")
    assert "Errno" not in said


def chained(error, cause):
    try:
        try:
            raise cause
        except BaseException:
            raise error  # noqa: B904 - as libraries do
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (full("/x"), "/x: no space left on device; free some space"),
        (RuntimeError("I/O error: Error { kind: StorageFull }"), "StorageFull }; free some space"),
        (ValueError("database or disk is full"), "disk is full; free some space"),
        (chained(RuntimeError("no file was written"), full("/x")), "/x: no space left on device"),
        (MemoryError(), "memory ran out"),
        (
            UnicodeEncodeError("utf-8", "/a/b\udcff", 4, 5, "surrogates not allowed"),
            r"'/a/b\udcff': a name here is not UTF-8",
        ),
        (chained(RuntimeError("engine"), MemoryError("4 GB")), "memory ran out (4 GB)"),
    ],
)
def test_trouble_of_the_machine_is_known_however_a_library_says_it(error, said):
    assert said in machine_trouble(error)


@pytest.mark.parametrize("error", [RuntimeError("engine"), FileNotFoundError(2, "no such file", "x"), KeyError("x")])
def test_errors_of_code_are_not_taken_for_trouble(error):
    assert machine_trouble(error) is None


@pytest.mark.parametrize("name", ["a\0b", 300 * "a", "nothing"])
def test_no_file_stands_where_none_can(tmp_path, name):
    assert not is_file(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (full("/x"), "aya: /x: no space left on device; free some space there, or choose another folder\n"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "/x"),
            "aya: /x: file name too long; choose a shorter name\n",
        ),
        (ConnectionResetError(104, "Connection reset by peer"), "aya: connection reset by peer\n"),
        (MemoryError(), "aya: memory ran out; "),
    ],
)
def test_the_command_line_ends_with_a_sentence_and_code_2(monkeypatch, capsys, error, said):
    monkeypatch.setattr(cli.aya, "main", lambda **_: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(said)


def test_other_errors_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(cli.aya, "main", lambda **_: (_ for _ in ()).throw(RuntimeError("ours")))
    with pytest.raises(RuntimeError, match="ours"):
        cli.main()


@pytest.mark.processes
def test_output_that_nothing_takes_is_told(tmp_path):
    """/dev/full is a disk without space."""
    with open("/dev/full", "w") as disk:
        done = subprocess.run(
            [sys.executable, "-m", "aya_core", "check", "--help"],
            stdout=disk,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, f"aya: no space left on device; {REMEDIES[errno.ENOSPC]}\n")


@pytest.mark.parametrize(
    ("error", "said", "is_mistake"),
    [
        (full("/x"), "/x: no space left on device; free some space there, or choose another folder. What was", True),
        (AyaError("bad rows"), "bad rows", True),
        (RuntimeError("engine"), "RuntimeError: engine", False),
    ],
)
def test_a_step_tells_why_it_failed_though_its_log_takes_nothing(monkeypatch, error, said, is_mistake):
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=lambda text: (_ for _ in ()).throw(full("/log"))))
    code = worker._failed(writing, "sft", error)
    monkeypatch.undo()
    assert code == (2 if isinstance(error, AyaError) else 1)
    event = json.loads(os.read(reading, 4096))
    os.close(reading)
    os.close(writing)
    assert event["message"].startswith(said)
    assert (event["node"], event["mistake"]) == ("sft", is_mistake)


class Pool:
    """A worker that fails the first step it is given, or that has died."""

    dies = False

    def __init__(self, *_):
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, job):
        node = {"node": job["node"]["id"]}
        self.events += [
            {"event": "failed", **node, "message": "it broke", "mistake": True},
            {"event": "exit", **node, "code": 2},
        ]

    def event(self):
        if self.dies:
            raise NodeFailedError("the worker process was killed")
        return self.events.pop(0)


@pytest.fixture
def run(cheap, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "WorkerPool", Pool)
    loaded = load_recipe(cheap)
    return Runner(loaded, make_plan(loaded), tmp_path / "out")


def test_a_full_disk_does_not_hide_which_step_failed(run, monkeypatch):
    monkeypatch.setattr(run.run, "note", lambda **facts: None)
    before = run._work

    def work(*arguments):
        monkeypatch.setattr(run.run, "note", lambda **facts: (_ for _ in ()).throw(full("/out/run.json")))
        before(*arguments)

    monkeypatch.setattr(run, "_work", work)
    monkeypatch.setattr(running, "read_about", lambda folder: SimpleNamespace(seconds=0.0))
    with pytest.raises(NodeFailedError, match=r"step '.*': it broke") as caught:
        run.go()
    assert "/out/run.json: no space left on device" in caught.value.__notes__[0]


def test_a_record_that_cannot_be_written_is_told_with_what_was_at_work(run, monkeypatch):
    monkeypatch.setattr(run, "_read_log", lambda node: (_ for _ in ()).throw(full("/out/steps.jsonl")))
    with pytest.raises(NodeFailedError, match=r"/out/steps.jsonl: no space left on device; .* \(at work: \w+"):
        run.go()


def test_the_death_of_the_worker_names_the_steps_that_were_at_work(run, monkeypatch):
    monkeypatch.setattr(Pool, "dies", True)
    with pytest.raises(NodeFailedError, match=r"the worker process was killed \(at work: \w+"):
        run.go()


def test_steps_with_long_names_have_files_of_their_own():
    long, other = 300 * "/models", 300 * "/models" + "x"
    assert file_name("a/b") == "a--b"
    assert len({file_name(long), file_name(other)}) == 2
    assert len(file_name(100 * "日本語").encode()) <= LONGEST_NAME
