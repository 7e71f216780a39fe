"""The hub data set: what must be pinned, and that a local folder reads as the files in it do."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from aya_core.api import DataError
from aya_plugins.datasets.hub import Hub
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.names import Columns

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_local_folder_gives_the_rows_of_its_files(tmp_path: Path):
    rows = [{"id": str(n), "language": "ja", "question": f"{n}?", "completion": f"{n}!"} for n in range(5)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = Columns(prompt="question")
    streamed = list(Hub(path=str(tmp_path), columns=columns, limit=3).build().rows(0))
    assert streamed == list(Jsonl(path=str(tmp_path), columns=columns, limit=3).build().rows(0))
    assert len(streamed) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_split_that_a_folder_does_not_have_is_an_error(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text('{"prompt": "?"}\n')
    with pytest.raises(DataError, match="cannot be read after row 0"):
        list(Hub(path=str(tmp_path), split="dev").build().rows(0))


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12]])
def test_a_name_on_the_hub_needs_a_commit(revision: str | None):
    with pytest.raises(ValidationError, match="needs a revision of 40 hexadecimal digits"):
        Hub(name="owner/name", revision=revision)
    assert Hub(name="owner/name", revision=COMMIT).revision == COMMIT


def test_a_hub_data_set_is_a_name_or_a_folder_and_a_folder_has_no_revision():
    for settings in ({}, {"name": "owner/name", "revision": COMMIT, "path": "here"}):
        with pytest.raises(ValidationError, match="either a name on the hub or the path"):
            Hub(**settings)
    with pytest.raises(ValidationError, match="a local folder has no revision"):
        Hub(path="here", revision=COMMIT)
