"""Languages of rows of data sets, however they are written, and files that hold the same rows."""

import json

import pytest

from aya_core.api import DataError
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.teachers.recorded import RecordedColumns


@pytest.fixture
def files(tmp_path):
    def write(**contents):
        for name, rows in contents.items():
            file = tmp_path / name.replace("__", "/")
            file = file.with_name(f"{file.name}.jsonl")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path

    return write


def languages(folder, **options):
    return [row.language for row in Jsonl(path=str(folder), **options).build().rows(0)]


@pytest.mark.parametrize(
    ("row", "language"),
    [
        ({"language": "arb"}, "ar"), ({"language": "zho", "script": "Hant"}, "zh-Hant"), ({"language": "zho", "script": "Hans"}, "zh"),
        ({"language": "Simplified Chinese"}, "zh"), ({"language": "EN"}, "en"), ({"language": "pt_br"}, "pt-BR"),
        ({"language": "arb", "script": "Latn"}, "ar-Latn"), ({"language": "de", "script": "a play in five acts"}, "de"), ({}, "und"),
    ],
)  # fmt: skip
def test_a_row_says_its_language_in_any_way(files, row, language):
    assert languages(files(a=[{"prompt": "?", **row}])) == [language]


def test_a_map_says_what_no_table_does(files):
    folder = files(a=[{"prompt": "?", "language": "Farsi-IR"}])
    with pytest.raises(DataError, match=r"a\.jsonl:1: unknown language code 'Farsi-IR'.* languages: \{Farsi-IR: de\}"):
        languages(folder)
    assert languages(folder, languages={"Farsi-IR": "pes"}) == ["fa"]


def test_names_of_files_and_folders_are_read_as_codes_are(files):
    row = {"prompt": "?"}
    folder = files(fra=[row], Standard_Arabic=[row], zho_Hans=[row])
    assert languages(folder, language_from_name=True) == ["ar", "fr", "zh"]
    folder = files(hub__deu__train=[row], hub__pt_BR__train=[row]) / "hub"
    assert languages(folder, language_from_name=True, id_template="{language}/{id}") == ["de", "pt-BR"]
    assert languages(files(x__mine=[row]) / "x", language_from_name=True, languages={"mine": "de"}) == ["de"]


def test_a_column_goes_where_the_name_says_no_language(files):
    folder = files(**{"test-00000-of-00001": [{"id": 0, "inputs": "?", "language": "hin", "script": "Deva"}]})
    assert languages(folder, language_from_name=True) == ["hi"]
    assert languages(files(x__dev=[{"prompt": "?", "language": "hin"}]) / "x", language_from_name=True) == ["hi"]


def test_name_and_column_agree_if_one_is_an_edition_of_the_other(files):
    assert languages(files(zh=[{"prompt": "?", "language": "zho_Hant"}]), language_from_name=True) == ["zh-Hant"]
    with pytest.raises(DataError, match="the row is in 'fr', the name of the file says 'zh'"):
        languages(files(zh=[{"prompt": "?", "language": "fra"}]), language_from_name=True)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("a", "copy-of-a"), "have the same content"),
        (("a", "a-00000-of-00001"), "are one table twice"),
        (("a-00000-of-00003", "a-00002-of-00003"), "shard 1 of 3 is missing"),
    ],
)
def test_files_that_hold_the_same_rows_are_refused(files, names, problem):
    folder = files(**{name: [{"prompt": "same?"}] for name in names})
    with pytest.raises(DataError, match=problem):
        languages(folder)


def test_shards_and_files_that_differ_are_read(files):
    folder = files(**{f"a-0000{n}-of-00002": [{"prompt": f"{n}?"}] for n in range(2)}, b=[{"prompt": "3?"}])
    assert len(languages(folder)) == 3


def test_recorded_answers_read_languages_alike():
    assert RecordedColumns(languages={"x": "Standard Arabic"}).languages == {"x": "ar"}
