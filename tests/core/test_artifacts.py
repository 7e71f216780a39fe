import json
import os

import pytest

from aya_core.contract import artifacts
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.errors import ArtifactError, DataError
from aya_core.contract.hashes import Hashes
from aya_core.contract.records import (
    Completion,
    Demonstration,
    Judged,
    Preference,
    Prompt,
    RowScore,
    Verdict,
    user_prompt,
)

PROMPT = Prompt(
    "ar/1", "ar", ({"role": "system", "content": "كن"}, {"role": "user", "content": "سؤال"}), "جواب", {"task": "t"}
)
RECORDS = [
    PROMPT,
    user_prompt("x", "en", "hello"),
    Demonstration(PROMPT, "答え", "gemma", 0.0),
    Preference(PROMPT, "a", "b", "m1", "m2", 1.0, -2.5, 3),
    Preference(PROMPT, "a", "b"),
    Completion("p", "teacher", 3, "text\n", 5, 7, "length"),
    Judged(Completion("p", "t", 0, ""), Verdict(0.0)),
    Judged(Completion("p", "t", 0, "x"), Verdict.abstain("why")),
    RowScore("p", "en", "chrf", 0.25, 12.0),
]


def make(folder, text="payload"):
    partial = artifacts.begin(folder)
    (partial / "payload" / "a.txt").write_text(text)
    (partial / "work").mkdir(exist_ok=True)
    return artifacts.finish(
        folder, node="n", kind="scores", fingerprint="f", inputs={}, settings={}, identity={}, code={}, plugins={}, seed=0,
        seconds=1.0, measures={},
    )  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_from_disk_as_they_went(record, tmp_path):
    artifacts.write_rows(tmp_path, type(record), [record] * 3)
    assert list(artifacts.read_rows(tmp_path, type(record))) == [record] * 3


def test_a_finished_artifact_loads_verifies_and_has_no_scratch_left(tmp_path):
    made = make(tmp_path / "a")
    assert artifacts.load(tmp_path / "a") == made
    artifacts.verify(made, Hashes())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["artifact.json", "payload"]


def test_content_does_not_depend_on_the_path(tmp_path):
    one, two, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", "else")
    assert one.content == two.content != other.content
    assert artifacts.content_of(one.payload) == one.content


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: f.write_text("pAyload"), "changed since it was written"),
        (lambda f: f.write_text("longer than before"), "bytes, its manifest says"),
        (lambda f: f.unlink(), "missing from the artifact"),
        (lambda f: (f.parent / "b.txt").write_text("x"), "not part of the artifact"),
    ],
)
def test_damage_is_found_and_named(harm, message, tmp_path):
    artifact = make(tmp_path / "a")
    harm(artifact.payload / "a.txt")
    with pytest.raises(ArtifactError, match=message):
        artifacts.verify(artifact, Hashes())


def test_a_damaged_manifest_is_named(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "artifact.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"artifact\.json: damaged"):
        artifacts.load(tmp_path / "a")


def test_another_format_is_refused(tmp_path):
    make(tmp_path / "a")
    manifest = tmp_path / "a" / "artifact.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        artifacts.load(tmp_path / "a")


def test_a_flipped_bit_anywhere_in_a_manifest_is_found(tmp_path):
    make(tmp_path / "a")
    manifest = tmp_path / "a" / "artifact.json"
    whole = manifest.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        manifest.write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"delete|format"):
            artifacts.load(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"a.txt": {"bytes": 7}}},
        {"files": [[[[]]]]},
        {"files": {}},
        {"content": "0" * 64},
        {"seed": "0"},
        {"seed": None},
        {"measures": 3},
        {"inputs": {"a": 1}},
        {"unknown": 1},
    ],
)
def test_a_manifest_of_other_types_is_damaged_even_if_it_is_sealed(tmp_path, change):
    make(tmp_path / "a")
    manifest = tmp_path / "a" / "artifact.json"
    write_sealed(manifest, read_sealed(manifest) | change)
    with pytest.raises(ArtifactError, match=r"artifact\.json: damaged: .*; delete .* to make it anew"):
        artifacts.load(tmp_path / "a")


@pytest.mark.parametrize("garbage", ["", "[]", "null", "[" * 100_000, "{", '{"format": {}}', "\0" * 500])
def test_garbage_in_place_of_a_manifest_is_damage(tmp_path, garbage):
    make(tmp_path / "a")
    (tmp_path / "a" / "artifact.json").write_text(garbage)
    with pytest.raises(ArtifactError, match=r"damaged|format"):
        artifacts.load(tmp_path / "a")


def test_an_artifact_in_the_place_of_another_is_named(tmp_path):
    make(tmp_path / "a")
    assert artifacts.load(tmp_path / "a", node="n", seed=0).node == "n"
    with pytest.raises(ArtifactError, match=r"whose node is 'n', and in this place it is 'm'.*exchanged"):
        artifacts.load(tmp_path / "a", node="m")


def test_files_that_keep_size_and_time_are_trusted_unless_all_are_to_be_read(tmp_path):
    artifact = make(tmp_path / "a")
    file = artifact.payload / "a.txt"
    before = file.stat()
    file.write_text("pAyload")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    artifacts.verify(artifact, Hashes())
    with pytest.raises(ArtifactError, match="changed since it was written"):
        artifacts.verify(artifact, Hashes(), everything=True)


def test_all_damage_is_listed(tmp_path):
    partial = artifacts.begin(tmp_path / "a")
    for name in "abcd":
        (partial / "payload" / name).write_text(name)
    artifact = artifacts.finish(
        tmp_path / "a", node="n", kind="scores", fingerprint="f", inputs={}, settings={}, plugins={}, seed=0, seconds=1.0, measures={},
        identity={}, code={},
    )  # fmt: skip
    (artifact.payload / "a").unlink()
    (artifact.payload / "b").write_text("x")
    (artifact.payload / "c").write_text("long")
    (artifact.payload / "e").write_text("x")
    assert len(list(artifacts.damage(artifact, Hashes(), everything=True))) == 4


def test_what_was_whole_but_for_its_name_is_taken_up(tmp_path):
    made = make(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.partial")
    (tmp_path / "a.partial" / "work").mkdir()
    assert artifacts.take_up(tmp_path / "a", "f") == made
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["artifact.json", "payload"]
    assert artifacts.take_up(tmp_path / "a", "f") is None


def test_what_has_a_manifest_and_is_damaged_is_made_again(tmp_path, capsys):
    make(tmp_path / "a")
    (tmp_path / "a" / "payload" / "a.txt").write_text("pAyload")
    (tmp_path / "a").rename(tmp_path / "a.partial")
    assert artifacts.take_up(tmp_path / "a", "f") is None
    assert "a.txt: changed since it was written" in capsys.readouterr().err
    assert not (tmp_path / "a.partial" / "artifact.json").exists()


def test_a_truncated_parquet_file_is_named(tmp_path):
    artifacts.write_rows(tmp_path, Prompt, [PROMPT] * 100)
    path = tmp_path / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"rows\.parquet: not a whole Parquet file"):
        list(artifacts.read_rows(tmp_path, Prompt))


def test_rows_of_another_record_are_refused(tmp_path):
    artifacts.write_rows(tmp_path, Prompt, [PROMPT])
    with pytest.raises(DataError, match=r"no column 'chosen'"):
        list(artifacts.read_rows(tmp_path, Preference))
