"""OUT of `aya merge`: one merge at a time, nobody else's folders, and no traceback whatever is in the way."""

import errno
import os
import shutil

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import save_file

from aya_core.cli import aya
from aya_core.contract import locks
from aya_core.contract.errors import AyaError, DataError
from aya_recipe.merge.place import OutputPlace


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path):
    """Write two models of one tensor, and a file that merges them."""
    for name, value in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "tiny"}')
        save_file({"w.weight": torch.full((2, 3), value)}, tmp_path / name / "model.safetensors")
    models = [{"model": name, "parameters": {"weight": 1}} for name in "ab"]
    (tmp_path / "merge.yml").write_text(yaml.safe_dump({"merge_method": "linear", "models": models}))
    return tmp_path


def run(folder, *words, out="out"):
    given = [str(folder / "merge.yml"), *map(str, words), str(folder / out)]
    return CliRunner().invoke(aya, ["merge", "--threads", "1", *given])


def refused(folder, message, *words, out="out"):
    """The command ends with one message, and leaves nothing behind."""
    before = sorted(folder.rglob("*"))
    result = run(folder, *words, out=out)
    assert isinstance(result.exception, (AyaError, SystemExit)), result.exception
    said = result.output if isinstance(result.exception, SystemExit) else str(result.exception)
    assert message in said
    assert sorted(folder.rglob("*")) == before


def test_a_second_merge_into_the_same_out_is_refused(folder):
    first = OutputPlace(folder / "out")
    with first.opened():
        refused(folder, f"{folder / 'out'}: another `aya merge` is making it (process {os.getpid()} on ")
        first.finish()
    assert not list((folder / "out").iterdir())
    assert not (folder / "out.partial").exists()


def test_a_merge_that_waited_does_not_overwrite_the_one_that_ended(folder, monkeypatch):
    """The first ends, and removes OUT.partial, while the second waits for its lock."""
    first = OutputPlace(folder / "out")
    block = first.opened()
    block.__enter__()
    monkeypatch.setattr(locks, "LOCK_SECONDS", 60.0)

    def end(_):
        (first.made / "mine").write_text("whole")
        first.finish()
        block.__exit__(None, None, None)

    monkeypatch.setattr(locks.time, "sleep", end)
    result = run(folder)
    assert "out: exists already" in str(result.exception)
    assert [path.name for path in (folder / "out").iterdir()] == ["mine"]
    assert not (folder / "out.partial").exists()


def test_a_lock_of_a_dead_merge_is_no_lock(folder):
    partial = folder / "out.partial"
    partial.mkdir()
    (partial / ".lock").write_text("process 1 on nowhere, since long ago")
    assert run(folder).exit_code == 0
    assert not partial.exists()


def test_what_appears_at_out_during_a_merge_is_left_there(folder):
    place = OutputPlace(folder / "out")

    def merge():
        with place.opened():
            (place.made / "weights").write_text("merged")
            (folder / "out").mkdir()
            place.finish()

    with pytest.raises(
        DataError, match=r"was made by something else meanwhile; the merge is whole and lies in .*out\.merged"
    ):
        merge()
    assert (folder / "out.merged" / "weights").read_text() == "merged"
    assert not list((folder / "out").iterdir())
    assert not place.partial.exists()


@pytest.mark.parametrize("inside", ["mine.txt", "made/mine.txt", "work/mine.txt", ".hidden"])
def test_a_partial_folder_of_anybody_else_is_refused(inside, folder):
    mine = folder / "out.partial" / inside
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    refused(folder, "out.partial: exists, and is not of a merge that was stopped")
    assert mine.read_text() == "precious"


def test_odd_things_in_the_way_are_told(folder):
    (folder / "out.partial").write_text("mine")
    refused(folder, "out.partial: exists, and is not of a merge that was stopped")
    (folder / "out.partial").unlink()
    (folder / "elsewhere").mkdir()
    (folder / "out.partial").symlink_to(folder / "elsewhere")
    refused(folder, "out.partial: exists, and is not of a merge that was stopped")
    (folder / "out.partial").unlink()
    (folder / "out").symlink_to(folder / "nowhere")
    refused(folder, "out: is a link to a place that does not exist")
    (folder / "out").unlink()
    refused(folder, "exists already", out=".")
    refused(folder, "exists already", out="a")
    refused(folder, "exists already", out="merge.yml")
    refused(folder, "this folder cannot be made (Not a directory)", out="merge.yml/out")
    refused(folder, "ile name too long", out="o" * 255)


def test_a_link_in_place_of_our_own_folder_is_not_followed(folder):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "mine.txt").write_text("precious")
    (folder / "out.partial").mkdir()
    (folder / "out.partial" / "aya-merge").touch()
    (folder / "out.partial" / ".lock").touch()
    (folder / "out.partial" / "made").symlink_to(folder / "elsewhere")
    refused(folder, "made: is a link, which no merge makes")
    assert (folder / "elsewhere" / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-shard-gb", "nan"), "nan is no finite number"),
        (("--max-shard-gb", "inf"), "inf is no finite number"),
        (("--max-shard-gb", "0"), "0.0 is not in the range x>0"),
        (("--max-shard-gb", "-1"), "-1.0 is not in the range x>0"),
        (("--device", "cuda:99"), "device 'cuda:99': torch cannot compute there"),
        (("--device", "meta"), "device 'meta': torch cannot compute there"),
        (("--device", "gpu"), "device 'gpu': torch cannot compute there"),
        (("--device", ""), "device '': torch cannot compute there"),
        (("--threads", "0"), "0 is not in the range x>=1"),
        (("--check", "nowhere"), "--check nowhere: no such file"),
        (("nowhere.yml",), "nowhere.yml: no such file"),
        (("x" * 300,), "ile name too long"),
    ],
)
def test_options_that_cannot_be_are_told(words, message, folder):
    refused(folder, message, *words)


FULL = (errno.ENOSPC, errno.EDQUOT)


@pytest.mark.parametrize("error", [*FULL, errno.EROFS, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("where", ["notes of a shard", "the card", "the name of OUT", "a shard"])
def test_errors_of_a_disk_are_told(error, where, folder, monkeypatch):
    import aya_plugins.merges.runtime.output as output
    import aya_plugins.merges.runtime.shards as shards
    import aya_recipe.merge.place as place

    def fail(*_, **__):
        raise OSError(error, os.strerror(error), str(folder / "there"))

    module, name = {
        "notes of a shard": (shards, "write_sealed"),
        "the card": (output, "model_card"),
        "the name of OUT": (place, "flush"),
        "a shard": (shards.os, "posix_fallocate"),
    }[where]
    monkeypatch.setattr(module, name, fail)
    refused(folder, "no space left" if error in FULL and where != "the name of OUT" else os.strerror(error)[1:])


def test_room_is_asked_for_what_goes_along(folder, monkeypatch):
    (folder / "a" / "notes.json").write_text('{"x": "' + "x" * 100_000 + '"}')
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=150_000))
    refused(folder, "no space left")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=200_000))
    assert run(folder).exit_code == 0


def test_a_file_that_may_not_be_read_is_told(folder, monkeypatch):
    import aya_plugins.merges.files.checkpoint as checkpoint

    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint, "OpenFile", fail)
    refused(folder, f"{folder / 'a' / 'model.safetensors'}: permission denied")
