import json

import pytest

from aya_core import artifacts
from aya_core.errors import ArtifactError, DataError
from aya_core.records import Completion, Demonstration, Judged, Preference, Prompt, RowScore, Verdict, user_prompt

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
        folder, node="n", kind="scores", fingerprint="f", inputs={}, settings={}, plugins={}, seed=0, seconds=1.0, measures={}
    )  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_from_disk_as_they_went(record, tmp_path):
    artifacts.write_rows(tmp_path, type(record), [record] * 3)
    assert list(artifacts.read_rows(tmp_path, type(record))) == [record] * 3


def test_a_finished_artifact_loads_verifies_and_has_no_scratch_left(tmp_path):
    made = make(tmp_path / "a")
    assert artifacts.load(tmp_path / "a") == made
    artifacts.verify(made)
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
        artifacts.verify(artifact)


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
