"""The same rows from every kind of file: compressed, JSON arrays, what `datasets.save_to_disk` wrote; and what a bad file is told."""

import bz2
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset as HfDataset, DatasetDict

from aya_core.api import DataError, Demonstration, user_prompt
from aya_core.contract import lines
from aya_core.contract.lines import json_array, json_lines
from aya_plugins.datasets.delimited import Csv
from aya_plugins.datasets.hub import Hub
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.parquet import Parquet
from aya_plugins.datasets.save_to_disk import SaveToDisk
from aya_plugins.datasets.text import Text
from aya_recipe.numbers.winrates.reading import read_battles
from aya_recipe.options.words import read_dataset

ROWS = [{"id": f"r{n}", "language": "tr", "prompt": f"Kaç {n}?", "completion": f"üç\n{n}"} for n in range(7)]
EXPECTED = [Demonstration(user_prompt(row["id"], "tr", row["prompt"]), row["completion"]) for row in ROWS]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=1).encode()


def zst(data: bytes) -> bytes:
    return pyarrow.compress(data, "zstd", asbytes=True)  # type: ignore[no-any-return]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def table(**columns: Any) -> bytes:
    lines = ["id,language,prompt,completion", *(f'{r["id"]},tr,{r["prompt"]},"{r["completion"]}"' for r in ROWS)]
    return "\n".join(lines).encode()


def read(path: Path) -> list[Any]:
    chosen = read_dataset(str(path), "--prompts")
    made = {"jsonl": Jsonl, "csv": Csv, "parquet": Parquet, "save-to-disk": SaveToDisk}[chosen["use"]](
        path=chosen["path"]
    )
    return list(made.build().rows(0))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jsonl", TEXT), ("x.jsonl.gz", gzip.compress(TEXT)), ("x.jsonl.zst", zst(TEXT)), ("X.JSONL", TEXT),
        ("x.json", ARRAY), ("x.json.gz", gzip.compress(ARRAY)), ("x.json.zst", zst(ARRAY)), ("lines.json", TEXT),
        ("x.csv", table()), ("x.csv.gz", gzip.compress(table())), ("x.csv.zst", zst(table())),
        ("members.jsonl.gz", b"".join(gzip.compress(line + b"\n") for line in TEXT.splitlines())),
        ("frames.jsonl.zst", b"".join(zst(line + b"\n") for line in TEXT.splitlines())),
    ],
)  # fmt: skip
def test_rows_are_the_same_in_every_kind_of_file(tmp_path: Path, name: str, data: bytes):
    assert read(write(tmp_path / name, data)) == EXPECTED


def test_a_file_is_called_the_same_whether_it_is_compressed_or_not(tmp_path: Path):
    row = b'{"prompt": "?"}\n'
    write(tmp_path / "de.jsonl.gz", gzip.compress(row))
    write(tmp_path / "tr.jsonl.zst", zst(row))
    found = list(Jsonl(path=str(tmp_path), language_from_name=True).build().rows(0))
    assert [(one.id, one.language) for one in found] == [("de-1", "de"), ("tr-1", "tr")]
    write(tmp_path / "el.txt.gz", gzip.compress(b"ena\n\ndyo\n"))
    assert [row.prompt.id for row in Text(path=str(tmp_path)).build().rows(0)] == [
        f"{tmp_path.name}-el-{n}" for n in (1, 2)
    ]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl.gz", gzip.compress(TEXT)[:-20], "not a whole .gz file"),
        ("x.jsonl.gz", gzip.compress(TEXT)[:-8] + b"\0" * 8, "not a whole .gz file"),
        ("x.jsonl.zst", zst(TEXT)[:-20], "not a whole .zst file"),
        ("x.jsonl", gzip.compress(TEXT), "compressed by gzip, which its name does not say; name it x.jsonl.gz"),
        ("x.csv", zst(TEXT), "compressed by zstd, which its name does not say; name it x.csv.zst"),
        ("x.jsonl", bz2.compress(TEXT), "compressed by bzip2"),
        ("x.json", b"PK\x03\x04....", "a zip archive"),
        ("x.jsonl", b"PAR1....", "a Parquet file, which its name does not say; let its name end in .parquet"),
        ("x.jsonl.gz", TEXT, "not a .gz file, whatever its name says"),
        ("x.jsonl.zst", gzip.compress(TEXT), "not a .zst file"),
        ("x.jsonl", POINTER, "run `git lfs pull`"),
        ("x.csv.gz", POINTER, "run `git lfs pull`"),
        ("x.parquet", POINTER, "run `git lfs pull`"),
        ("x.jsonl", b"", "the file is empty"),
        ("x.json", b"", "the file is empty"),
        ("x.csv", b"", "the file is empty"),
        ("x.jsonl", ARRAY, "is read if its name ends in .json"),
        ("x.json", ARRAY[:-30], "element 7: not JSON"),
        ("x.json", ARRAY.rstrip(b"]"), "the array does not go on after element 7"),
        ("x.json", b'[{"prompt": "?"} {"prompt": "!"}]', "does not go on after element 1 with a comma"),
        ("x.json", b'[{"prompt": "?"}] []', "more text after the end of the array"),
        ("x.json", b'[{"prompt": "?"}, 12]', "element 2: a JSON int; expected an object"),
        ("x.json", b'[{"prompt": "\xe9"}]', "not UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_should_be_is_told_so(tmp_path: Path, name: str, data: bytes, message: str):
    with pytest.raises(DataError) as error:
        read(write(tmp_path / name, data if data != ARRAY or name != "x.jsonl" else json.dumps(ROWS).encode()))
    assert message in str(error.value)
    assert name in str(error.value)


def test_a_compressed_file_whose_name_says_no_format_is_told_what_is_expected(tmp_path: Path):
    path = write(tmp_path / "rows.gz", gzip.compress(TEXT))
    with pytest.raises(DataError, match=r"does not say what is inside; expected one such as rows\.jsonl\.gz"):
        list(Jsonl(path=str(path)).build().rows(0))


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 16])
@pytest.mark.parametrize(
    "written", ["[]", " [ ] \n", "[{}]", '[{"a": [1, {"b": "],[\\"}"}]} ,\n{"a": 12}\n]', '[{"a": "ü€"}]']
)
def test_a_json_array_is_read_as_it_is_wherever_it_is_cut(tmp_path: Path, monkeypatch, chunk: int, written: str):
    monkeypatch.setattr(lines, "CHUNK", chunk)
    path = write(tmp_path / "x.json", written.encode())
    assert [line.row for line in json_array(path)] == json.loads(written)


@pytest.mark.parametrize("name", ["x.json", "x.json.gz", "x.jsonl.zst"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, name: str):
    row = json.dumps({"prompt": "?" * 500})
    text = (
        "[" + ",".join([row] * 20_000) + "]" if ".json." in f"{name}." and "jsonl" not in name else f"{row}\n" * 20_000
    ).encode()
    path = write(tmp_path / name, {"": bytes, ".gz": gzip.compress, ".zst": zst}[path_end(name)](text))
    tracemalloc.start()
    count = sum(1 for _ in (json_lines if "jsonl" in name else json_array)(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 2_000_000 < len(text)


def path_end(name: str) -> str:
    return next((ending for ending in (".gz", ".zst") if name.endswith(ending)), "")


def save(folder: Path, rows: Any) -> Path:
    (
        HfDataset.from_list(rows)
        if isinstance(rows, list)
        else DatasetDict({k: HfDataset.from_list(v) for k, v in rows.items()})
    ).save_to_disk(folder)
    return folder


def test_what_save_to_disk_wrote_is_read_as_the_files_are(tmp_path: Path):
    folder = save(tmp_path / "one", ROWS)
    assert read(folder) == EXPECTED
    for kind in (Jsonl, Parquet, Hub, SaveToDisk):
        assert list(kind(path=str(folder)).build().rows(0)) == EXPECTED  # type: ignore[call-arg]
    HfDataset.from_list(ROWS).save_to_disk(tmp_path / "shards", num_shards=3)
    assert read(tmp_path / "shards") == EXPECTED


def test_a_split_of_what_save_to_disk_wrote_is_named(tmp_path: Path):
    folder = save(tmp_path / "splits", {"train": ROWS[:5], "test": ROWS[5:]})
    with pytest.raises(DataError, match="holds the splits train, test; name the folder of one"):
        read(folder)
    assert list(SaveToDisk(path=str(folder), split="test").build().rows(0)) == EXPECTED[5:]
    assert list(Hub(path=str(folder)).build().rows(0)) == EXPECTED[:5]
    assert read(folder / "test") == EXPECTED[5:]
    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        list(SaveToDisk(path=str(folder), split="tset").build().rows(0))
    assert read(save(tmp_path / "single", {"train": ROWS})) == EXPECTED
    with pytest.raises(DataError, match="leave out `split`"):
        list(SaveToDisk(path=str(tmp_path), split="train").build().rows(0))


def test_a_saved_data_set_for_each_language_names_its_rows(tmp_path: Path):
    for code in ("de", "tr"):
        save(tmp_path / code, [{"prompt": f"in {code}"}])
    found = list(SaveToDisk(path=str(tmp_path), language_from_name=True).build().rows(0))
    assert found == [user_prompt("de-1", "de", "in de"), user_prompt("tr-1", "tr", "in tr")]


def test_messages_with_empty_fields_that_a_table_adds_are_read(tmp_path: Path):
    turns = [
        {"role": "user", "content": "Hi", "tool_calls": None},
        {"role": "assistant", "content": "Hello", "tool_calls": None},
    ]
    (row,) = read(save(tmp_path / "m", [{"id": "a", "messages": turns, "tools": None}]))
    assert row == Demonstration(user_prompt("a", "und", "Hi"), "Hello")


def test_a_saved_data_set_that_is_not_whole_is_told_so(tmp_path: Path):
    folder = save(tmp_path / "one", ROWS)
    (file,) = folder.glob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a whole Arrow file"):
        read(folder)
    file.unlink()
    with pytest.raises(DataError, match=r"no such file, but state\.json names it"):
        read(folder)


def test_files_of_verdicts_may_be_compressed_or_saved(tmp_path: Path):
    rows = [{"question_id": "q", "model_a": "a", "model_b": "b", "winner": "model_a"}]
    path = write(tmp_path / "v.jsonl.gz", gzip.compress(json.dumps(rows[0]).encode()))
    found = [[battle[1:] for battle in read_battles(one).rows] for one in (path, save(tmp_path / "v", rows))]
    assert found[0] == found[1]
    assert len(found[0]) == 1
