"""The text data set: rows are pieces of text, and every line of text is in one of them."""

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from aya_core.api import DataError
from aya_plugins.datasets.columns import Folds
from aya_plugins.datasets.text import Text

LINE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(LINE, max_size=12).filter("\n".join), st.integers(1, 5))
def test_rows_hold_every_line_that_is_not_empty_in_order(tmp_path_factory, written: list[str], lines: int):
    folder = tmp_path_factory.mktemp("text")
    (folder / "tr.txt").write_text("\n".join(written), encoding="utf-8")
    rows = list(Text(path=str(folder), lines=lines).build().rows(0))
    expected = [line.strip() for line in written if line.strip()]
    assert [line for row in rows for line in row.completion.split("\n")] == expected
    assert all(len(row.completion.split("\n")) == lines for row in rows[:-1])
    assert all(row.prompt.language == "tr" and row.prompt.messages[-1]["content"] == "Turkish" for row in rows)


def test_files_of_one_name_in_several_folders_keep_their_rows_apart(tmp_path: Path):
    for name in ("books", "news"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "en.txt").write_text("one\ntwo\n")
    rows = list(Text(path=str(tmp_path / "*" / "*.txt")).build().rows(0))
    assert [row.prompt.id for row in rows] == ["books-en-1", "books-en-2", "news-en-1", "news-en-2"]


def test_a_row_may_have_more_lines_than_any_file(tmp_path: Path):
    (tmp_path / "en.txt").write_text("one\ntwo\n")
    (row,) = Text(path=str(tmp_path), lines=10**40).build().rows(0)
    assert row.completion == "one\ntwo"


def test_folds_part_the_rows(tmp_path: Path):
    (tmp_path / "en.txt").write_text("\n".join(f"line {n}" for n in range(200)))
    parts = [
        {row.prompt.id for row in Text(path=str(tmp_path), folds=Folds(count=4, keep=(n,))).build().rows(0)}
        for n in range(4)
    ]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 200
    assert all(parts)


def test_a_file_whose_name_is_no_language_is_named_with_the_remedy(tmp_path: Path):
    (tmp_path / "europarl.txt").write_text("你好\n")
    with pytest.raises(DataError, match=r"europarl.txt: unknown language code 'europarl'.*name it in `languages`"):
        list(Text(path=str(tmp_path)).build().rows(0))
    (row,) = Text(path=str(tmp_path), languages={"europarl": "zh"}, prompt="write {language}").build().rows(0)
    assert (row.prompt.language, row.prompt.messages[-1]["content"], row.completion) == ("zh", "write zh", "你好")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path):
    (tmp_path / "de.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(DataError, match=r"de.txt: not UTF-8"):
        list(Text(path=str(tmp_path)).build().rows(0))


@pytest.mark.parametrize("prompt", ["", " ", "{name}"])
def test_a_prompt_that_cannot_be_asked_is_refused(prompt: str):
    with pytest.raises(ValidationError, match="may hold"):
        Text(path="texts", prompt=prompt)
