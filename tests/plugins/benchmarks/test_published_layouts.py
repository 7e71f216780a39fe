"""Benchmarks in the layouts in which they are published: hub repositories, archives and clones."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.api import DataError
from aya_plugins.benchmarks.sources import FLORES, GLOBAL_MMLU, INCLUDE, MGSM, XCOPA, XSTORYCLOZE, XWINOGRAD, Source
from aya_plugins.benchmarks.tables import read_tables
from aya_plugins.evaluators.flores import Flores
from aya_plugins.evaluators.global_mmlu import GlobalMmlu

COPA = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": 0}
EXAM = {"question": "q", "option_a": "a", "option_b": "b", "option_c": "c", "option_d": "d", "answer": "A"}
STORY = "\t".join(["InputStoryid", *(f"InputSentence{i}" for i in range(1, 5)), "RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2",
                   "AnswerRightEnding"]) + "\n" + "\t".join("1abcdef1") + "\n"  # fmt: skip
SCHEMA = "\t".join(
    [
        "jp",
        "s",
        "r",
        "あ い う",
        '["あ", "い", "う"]',
        '["い", [1, 2], ["い"]]',
        '[["a", [0, 1], ["a"], true], ["b", [2, 3], ["b"], false]]',
    ]
)
WINOGRAD = {"sentence": "_ x", "option1": "a", "option2": "b", "answer": "1"}
PLUS = {"id": 0, "iso_639_3": "cmn", "iso_15924": "Hans", "glottocode": "beij1234", "text": "t"}


@pytest.fixture
def files(tmp_path):
    """Write files, Parquet from rows and others from text or rows, and return the folder."""

    def write(contents):
        for name, content in contents.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".parquet":
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), file)
            else:
                text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
                file.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def languages_of(source: Source, folder, split="test", languages=None, **more):
    rows = read_tables(source, data=str(folder), splits=(split,), languages=languages, **more)
    found: dict[str, int] = {}
    for row in rows:
        found[row.language] = found.get(row.language, 0) + 1
    return found


@pytest.mark.parametrize(
    ("source", "split", "contents", "found"),
    [
        (XCOPA, "test", {"data/et/test.et.jsonl": [COPA], "data/et/val.et.jsonl": [COPA], "data-gmt/et/test.et.jsonl": [COPA]}, {"et": 1}),
        (XCOPA, "test", {"et/test-00000-of-00001.parquet": [COPA], "translation-et/test-00000-of-00001.parquet": [COPA]}, {"et": 1}),
        (XSTORYCLOZE, "eval", {f"spring2016.val.{code}.tsv.split_20_80_{part}.tsv": STORY
                               for code in ("my", "zh") for part in ("eval", "train")},
         {"my": 1, "zh": 1}),
        (XWINOGRAD, "test", {"dataset.tsv": SCHEMA + "\n", "dataset.selected.tsv": SCHEMA + "\n", "README.md": "x"}, {"ja": 1}),
        (XWINOGRAD, "test", {"test/jp.jsonl": [WINOGRAD], "test/pt.jsonl": [WINOGRAD]}, {"ja": 1, "pt": 1}),
        (GLOBAL_MMLU, "test", {"de/test-00000-of-00001.parquet": [EXAM], "de/dev-00000-of-00001.parquet": [EXAM]}, {"de": 1}),
        (MGSM, "test", {"mgsm_de.tsv": "q\t1\n", "mgsm_bn.tsv": "q\t1\n", "exemplars.py": "MGSM_EXEMPLARS = {}"}, {"bn": 1, "de": 1}),
        (MGSM, "test", {"de/test-00000-of-00001.parquet": [{"question": "q", "answer": "a", "answer_number": 1}]}, {"de": 1}),
        (INCLUDE, "test", {"North Macedonian/test-00000-of-00001.parquet": [{**EXAM, "language": "North Macedonian"}]}, {"mk": 1}),
        (FLORES, "devtest", {"devtest/deu_Latn.devtest": "a\nb\n", "dev/deu_Latn.dev": "a\n", "metadata_devtest.tsv": "x"}, {"de": 2}),
        (FLORES, "devtest", {"NTREX-128/newstest2019-ref.deu.txt": "a\n",
                             "NTREX-128/newstest2019-ref.zho-CN.txt": "a\n", "LANGUAGES.tsv": "x"},
         {"de": 1, "zh": 1}),
        (FLORES, "devtest", {"devtest/cmn_Hans.jsonl": [PLUS], "devtest/cmn_Hant.jsonl": [{**PLUS, "iso_15924": "Hant"}],
                             "devtest/cat_Latn.jsonl": [{**PLUS, "iso_639_3": "cat", "iso_15924": "Latn"}],
                             "devtest/cat_Latn_vale1252.jsonl": [{**PLUS, "iso_639_3": "cat", "iso_15924": "Latn"}]},
         {"zh": 1, "zh-Hant": 1, "ca": 1, "ca-vale1252": 1}),
        (FLORES, "devtest", {"all/devtest.parquet": [PLUS, {**PLUS, "iso_639_3": "deu", "iso_15924": "Latn"}]}, {"zh": 1, "de": 1}),
    ],
)  # fmt: skip
def test_a_set_is_read_as_it_is_published(files, source, split, contents, found):
    assert languages_of(source, files(contents), split) == found


def test_files_that_hold_the_same_rows_are_refused_with_both_names(files):
    folder = files({"et/test.et.jsonl": [COPA], "et/test.et.json": [COPA]})
    with pytest.raises(DataError, match=r"test\.et\.json.* and .*test\.et\.json.* rows would count twice"):
        languages_of(XCOPA, folder)


def test_a_language_column_of_two_files_counts_once(files):
    row = {**EXAM, "language": "Albanian"}
    folder = files({"test.jsonl": [row], "copy-of-test.jsonl": [row]})
    with pytest.raises(DataError, match=r"copy-of-test\.jsonl.* rows would count twice"):
        languages_of(INCLUDE, folder)
    (folder / "copy-of-test.jsonl").unlink()
    files({"german.jsonl": [{**EXAM, "language": "German"}]})
    assert languages_of(INCLUDE, folder) == {"sq": 1, "de": 1}


def test_shards_beside_a_whole_file_and_missing_shards_are_refused(files):
    folder = files({"de/test-00000-of-00002.jsonl": [EXAM], "de/test-00001-of-00002.jsonl": [EXAM]})
    assert languages_of(GLOBAL_MMLU, folder) == {"de": 2}
    (folder / "de/test-00001-of-00002.jsonl").rename(folder / "de/other-00000-of-00001.jsonl")
    with pytest.raises(DataError, match=r"shard 1 of 2 is missing"):
        languages_of(GLOBAL_MMLU, folder)
    assert languages_of(GLOBAL_MMLU, folder / "de/test-00000-of-00002.jsonl") == {"de": 1}
    for shard in (folder / "de").iterdir():
        shard.unlink()
    files({"de/test.jsonl": [EXAM], "de/test-00000-of-00001.jsonl": [EXAM]})
    with pytest.raises(DataError, match="rows would count twice"):
        languages_of(GLOBAL_MMLU, folder)


def test_an_edition_counts_as_its_language_where_the_set_has_no_other(files):
    folder = files({"devtest/zho_Hant.devtest": "a\n", "devtest/por_Latn.devtest": "a\n"})
    assert languages_of(FLORES, folder, "devtest", ["zh", "pt"]) == {"zh": 1, "pt": 1}
    files({"devtest/zho_Hans.devtest": "a\nb\n"})
    assert languages_of(FLORES, folder, "devtest", ["zh"]) == {"zh": 2}
    assert languages_of(FLORES, folder, "devtest", ["zh-Hant"]) == {"zh-Hant": 1}
    assert languages_of(FLORES, folder, "devtest", ["zh-Hans", "zh-Hant"]) == {"zh-Hans": 2, "zh-Hant": 1}
    assert languages_of(FLORES, folder, "devtest") == {"zh": 2, "zh-Hant": 1, "pt": 1}


def test_two_editions_of_one_language_are_not_added_up(files):
    folder = files({"pt-BR.jsonl": [EXAM], "pt-PT.jsonl": [EXAM]})
    with pytest.raises(DataError, match="both pt-BR and pt-PT could count as 'pt'"):
        languages_of(GLOBAL_MMLU, folder, languages=["pt"])


def test_a_map_of_languages_says_what_no_table_does(files):
    folder = files({"deutsch.jsonl": [EXAM], "rest.jsonl": [{**EXAM, "language": "Romanes-x"}]})
    with pytest.raises(DataError, match=r"deutsch.*languages.*deutsch: de"):
        languages_of(GLOBAL_MMLU, folder)
    with pytest.raises(DataError, match=r"rest\.jsonl.*'Romanes-x'.*languages: \{Romanes-x: de\}"):
        languages_of(GLOBAL_MMLU, folder, codes={"deutsch": "de"})
    settings = GlobalMmlu(data=str(folder), languages={"deutsch": "de", "Romanes-x": "rom"}, shots=0)
    assert [row.language for row in settings.rows("test")] == ["de", "rom"]


def test_languages_are_named_in_any_way(files):
    folder = files({"deu.jsonl": [EXAM], "arb_Arab.jsonl": [EXAM]})
    settings = GlobalMmlu(data=str(folder), languages=["deu", "Standard Arabic"], shots=0)
    assert settings.asked_languages == ("de", "ar")
    assert GlobalMmlu(data="x", languages=["zho_Hans"]).asked_languages == ("zh",)
    assert GlobalMmlu(data="x", languages=["zho_Hans", "zho_Hant"]).asked_languages == ("zh-Hans", "zh-Hant")
    assert {row.language for row in settings.rows("test")} == {"de", "ar"}


def test_languages_that_data_may_lack_are_left_out_and_others_are_an_error(files):
    folder = files({"devtest/eng_Latn.devtest": "a\n", "devtest/deu_Latn.devtest": "b\n"})
    with pytest.raises(DataError, match="no row in fr"):
        list(Flores(data=str(folder), languages=["de", "fr"]).segments())
    found = Flores(data=str(folder), languages=["de", "fr"], may_lack_languages=True).segments()
    assert {segment.language for segment in found} == {"de"}
    with pytest.raises(DataError, match="no row in fr"):
        languages_of(GLOBAL_MMLU, files({"x/de.jsonl": [EXAM]}) / "x", languages=["fr"], may_lack=True)
