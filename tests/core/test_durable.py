"""Files and journals: what was written is there, and what is not what was written is not believed."""

import json
import os
import time

import pytest
from hypothesis import given, strategies as st

from aya_core.contract import journal as journal_module
from aya_core.contract.durable import (
    make_folder,
    read_sealed,
    rename,
    set_aside,
    write_file,
    write_sealed,
    writing_file,
)
from aya_core.contract.errors import DamageError
from aya_core.contract.hashes import Hashes, file_hash
from aya_core.contract.journal import Journal

FACTS = {"step": 7, "name": "α\n", "files": {"a": "1"}, "last": [1.5, None, "x"]}


@pytest.fixture
def flushed(monkeypatch):
    """The names of what is flushed and renamed, in order."""
    done = []
    fsync, renamed = os.fsync, os.rename
    monkeypatch.setattr(
        os,
        "fsync",
        lambda opened: done.append(os.readlink(f"/proc/self/fd/{opened}").rpartition("/")[2]) or fsync(opened),
    )
    monkeypatch.setattr(os, "rename", lambda *names: done.append("rename") or renamed(*names))
    return done


def test_a_file_is_flushed_then_renamed_then_its_folder_is_flushed(tmp_path, flushed):
    write_file(tmp_path / "a.txt", "text")
    first, *rest = flushed
    assert first.startswith(".a.txt.")
    assert rest == ["rename", tmp_path.name]
    assert (tmp_path / "a.txt").read_text() == "text"


def test_of_a_write_that_fails_nothing_is_left(tmp_path):
    def fail(partial):
        partial.write_bytes(b"ne")
        raise RuntimeError

    write_file(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError), writing_file(tmp_path / "a.txt") as partial:
        fail(partial)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_rename_between_folders_flushes_both(tmp_path, flushed):
    make_folder(tmp_path / "from" / "a")
    make_folder(tmp_path / "to")
    flushed.clear()
    rename(tmp_path / "from" / "a", tmp_path / "to" / "a")
    assert flushed == ["rename", "to", "from"]


def test_what_is_sealed_comes_back(tmp_path):
    write_sealed(tmp_path / "facts.json", FACTS)
    assert read_sealed(tmp_path / "facts.json") == FACTS


def test_every_flipped_bit_and_every_cut_of_a_sealed_file_is_found(tmp_path):
    file = tmp_path / "facts.json"
    write_sealed(file, FACTS)
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            with pytest.raises(DamageError):
                read_sealed(file)
        file.write_bytes(whole[:place])
        with pytest.raises(DamageError):
            read_sealed(file)


def test_what_is_set_aside_keeps_its_bytes_and_gives_way_to_no_other(tmp_path):
    for text in ("one", "two"):
        (tmp_path / "a").write_text(text)
        set_aside(tmp_path / "a")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.damaged": "one", "a.damaged1": "two"}


RESULTS = [(3, [["x", 1.5]]), (-(2**63), []), (5, [["é\n", None]]), ("key", "value")]


def journal_of(path):
    journal = Journal(path)
    journal.write(RESULTS)
    journal.close()
    return path.read_bytes()


def test_a_journal_gives_what_was_written_and_the_last_of_equal_keys(tmp_path):
    journal_of(tmp_path / "j")
    again = Journal(tmp_path / "j")
    again.write([(3, "later")])
    assert Journal(tmp_path / "j").read() == {**dict(RESULTS), 3: "later"}


def test_a_flipped_bit_costs_the_lines_that_it_touches_and_no_other(tmp_path, capsys):
    path = tmp_path / "j"
    whole = journal_of(path)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        journal = Journal(path)
        found = journal.read()
        assert found.items() <= dict(RESULTS).items()
        assert len(found) >= len(RESULTS) - 2  # two lines where it was the end of one
        if changed[-1:] == b"\n":
            assert journal.damaged >= 1
            assert f"{path}: damaged lines: {journal.damaged}" in capsys.readouterr().err


@given(st.binary(max_size=60).filter(lambda raw: b"\n" not in raw))
def test_no_garbage_is_believed(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("journal") / "j"
    path.write_bytes(journal_of(path) + raw + b"\n" + b"[" * 100_000 + b"\n")
    journal = Journal(path)
    assert journal.read() == dict(RESULTS)
    assert journal.damaged == 2


@pytest.mark.parametrize(
    "entry",
    [[["key"], 1], [{"a": 1}, 1], [None, 1], [1.5, 1], ["key"], ["key", 1, 2], "[" * 100_000, "no JSON", ""],
    ids=str,
)
def test_a_line_that_nobody_wrote_is_damaged_even_with_a_checksum(tmp_path, entry):
    path = tmp_path / "j"
    text = entry if isinstance(entry, str) else json.dumps(entry)[1:]
    line = f",{text}".encode()
    path.write_bytes(journal_of(path) + journal_module._start(line) + line + b"\n")
    journal = Journal(path)
    assert journal.read() == dict(RESULTS)
    assert journal.damaged == 1


def test_a_half_line_at_the_end_is_no_damage_and_is_written_over(tmp_path):
    path = tmp_path / "j"
    whole = journal_of(path)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal(path)
        known = journal.read()
        assert journal.damaged == 0
        journal.write([(key, value) for key, value in RESULTS if key not in known])
        journal.close()
        assert path.read_bytes() == whole


@pytest.fixture
def read_files(monkeypatch):
    """The files that were read to be hashed."""
    read = []
    monkeypatch.setattr("aya_core.contract.hashes.file_hash", lambda path: read.append(path.name) or file_hash(path))
    return read


def test_a_file_is_hashed_once_while_it_stays_as_it_is(tmp_path, read_files):
    file = tmp_path / "model"
    file.write_text("weights")
    os.utime(file, (time.time() - 60, time.time() - 60))
    hashes = Hashes(tmp_path / "hashes.jsonl")
    assert hashes.of(file) == hashes.of(file) == Hashes(tmp_path / "hashes.jsonl").of(file) == file_hash(file)
    assert read_files == ["model"]
    file.write_text("heavier")
    assert hashes.of(file) == file_hash(file)
    assert read_files == ["model"] * 2


def test_a_file_that_was_just_written_is_hashed_each_time(tmp_path, read_files):
    (tmp_path / "model").write_text("weights")
    hashes = Hashes(tmp_path / "hashes.jsonl")
    hashes.of(tmp_path / "model")
    hashes.of(tmp_path / "model")
    assert read_files == ["model"] * 2


def test_a_damaged_memory_of_hashes_is_not_believed(tmp_path):
    file, kept = tmp_path / "model", tmp_path / "hashes.jsonl"
    file.write_text("weights")
    os.utime(file, (time.time() - 60, time.time() - 60))
    digest = Hashes(kept).of(file)
    kept.write_text(kept.read_text().replace(digest, "0" * 64))
    assert Hashes(kept).of(file) == digest


@pytest.mark.parametrize("value", [7, [], ["0" * 64], [1, 2, 3, None], {"a": 1}, "text"], ids=str)
def test_a_memory_of_hashes_that_nobody_wrote_is_not_believed(tmp_path, value):
    file, kept = tmp_path / "model", tmp_path / "hashes.jsonl"
    file.write_text("weights")
    journal = Journal(kept)
    journal.write([(str(file), value)])
    journal.close()
    assert Hashes(kept).of(file) == file_hash(file)
