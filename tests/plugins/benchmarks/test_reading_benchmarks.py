"""Rows of benchmarks, read from files laid out as they were published."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.api import DataError
from aya_plugins.benchmarks.names import language_code, language_of, split_of, subject_of
from aya_plugins.benchmarks.sources import FLORES, GLOBAL_MMLU, INCLUDE, MGSM, XCOPA, XSTORYCLOZE, XWINOGRAD
from aya_plugins.benchmarks.tables import read_tables


@pytest.fixture
def files(tmp_path):
    """Write texts to files of a folder, and return the folder."""

    def write(texts):
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return tmp_path

    return write


def read(source, folder, *splits, languages=None):
    return list(read_tables(source, data=str(folder), splits=splits, languages=languages))


@pytest.mark.parametrize(
    ("published", "code"),
    [
        ("it", "it"), ("zh_hans", "zh"), ("zh_hant", "zh-Hant"), ("zho_Hans", "zh"), ("zho-TW", "zh-Hant"), ("ZH-CN", "zh"),
        ("arb_Arab", "ar"), ("arb_Latn", "ar-Latn"), ("AR-XY", "ar"), ("PT-BR", "pt-BR"), ("ace_Arab", "ace-Arab"),
        ("ace_Latn", "ace"), ("npi_Deva", "ne"), ("fil", "fil"), ("Albanian", "sq"), ("North Macedonian", "mk"), ("fra-CA", "fr-CA"),
        ("jp", None), ("tsv", None), ("dev", None), ("new", None), ("default", None), ("translation-et", None), ("xx", None),
    ],
)  # fmt: skip
def test_codes_are_understood_as_they_are_published(published, code):
    assert language_code(published) == code


def test_codes_of_a_set_s_own_are_understood_where_it_has_them():
    assert language_code("jp", own_codes=True) == "ja"


@pytest.mark.parametrize(
    ("path", "language", "split"),
    [
        ("xcopa/it/test.it.jsonl", "it", "test"),
        ("xcopa/it/val.it.jsonl", "it", "validation"),
        ("fr.jsonl", "fr", None),
        ("mgsm_de.tsv", "de", None),
        ("ar_dev.csv", "ar", "dev"),
        ("spring2016.val.eu.tsv.split_20_80_eval.tsv", "eu", "eval"),
        ("spring2016.val.my.tsv.split_20_80_train.tsv", "my", "train"),
        ("mmlu_ar/dev/anatomy_dev.csv", "ar", "dev"),
        ("mmlu_ar/test/high_school_us_history_test.csv", "ar", "test"),
        ("devtest/arb_Arab.devtest", "ar", "devtest"),
        ("Global-MMLU/de/test-00000-of-00001.parquet", "de", "test"),
        ("include/North Macedonian/validation-00000-of-00001.parquet", "mk", "validation"),
        ("mmlu_PT-BR.csv", "pt-BR", None),
        ("newstest2019-ref.fra.txt", "fr", None),
        ("zh_hant.txt", "zh-Hant", None),
        ("data/auxiliary_train/arc_easy.csv", None, "train"),
        ("dev/data/questions.csv", None, "dev"),
        ("questions.csv", None, None),
    ],
)
def test_names_of_files_say_language_and_split(path, language, split):
    *folders, file = path.split("/")
    assert language_of(file, folders[::-1]) == language
    assert split_of(file, folders[::-1]) == split


def test_a_subject_is_the_name_of_its_file_without_the_split():
    assert subject_of("high_school_us_history_dev") == "high_school_us_history"
    assert subject_of("anatomy") == "anatomy"
    assert subject_of("test-00000-of-00002") == ""


def test_a_name_that_could_mean_two_languages_is_refused():
    with pytest.raises(DataError, match="could mean the languages de, my"):
        language_of("my_mgsm_de.tsv", ())


COPA = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": 0}


def test_rows_of_a_language_count_once(files):
    row = json.dumps(COPA) + "\n"
    folder = files({"data/et/test.et.jsonl": row, "data-gmt/et/test.et.jsonl": row, "data/it/test.it.jsonl": row})
    assert [found.language for found in read(XCOPA, folder, "test")] == [
        "et",
        "it",
    ]  # the rows machine-translated to English lie beside
    files({"more/test.it.jsonl": row})
    with pytest.raises(
        DataError, match=r"more.test\.it\.jsonl and .*data.it.test\.it\.jsonl both hold XCOPA in 'it', split test"
    ):
        read(XCOPA, folder, "test")


def test_shards_are_one_file(files):
    row = json.dumps(COPA) + "\n"
    folder = files({f"it/test-0000{shard}-of-00002.jsonl": row for shard in range(2)})
    assert len(read(XCOPA, folder, "test")) == 2


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_a_row_is_the_same_in_every_format(files, ending):
    row = {**COPA, "premise": 'He said "yes", twice', "label": "1", "idx": "0"}
    folder = files({})
    file = folder / f"test.et.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), file)
    elif ending == "jsonl":
        file.write_text(json.dumps(row) + "\n")
    elif ending == "json":
        file.write_text(json.dumps([row], indent=1))
    elif ending == "csv":
        file.write_text(",".join(row) + '\n"He said ""yes"", twice",a,b,cause,1,0\n')
    else:
        file.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    (found,) = read(XCOPA, folder, "test")
    assert (found.language, found.split, dict(found.values)) == ("et", "test", row)
    assert str(file) in found.place


def test_languages_and_splits_are_chosen(files):
    text = json.dumps(COPA) + "\n"
    folder = files(
        {f"data/{code}/{split}.{code}.jsonl": text for code in ("et", "ht", "qu") for split in ("val", "test")}
    )
    found = read(XCOPA, folder, "test", languages=("ht", "qu"))
    assert [(row.language, row.split) for row in found] == [("ht", "test"), ("qu", "test")]
    assert len(read(XCOPA, folder, "test", "validation")) == 6
    assert len(read(XCOPA, folder / "data" / "*" / "val.*", "validation")) == 3
    assert [row.language for row in read(XCOPA, folder / "data" / "et" / "test.et.jsonl", "test")] == ["et"]


def test_folders_above_the_search_name_the_language_but_no_split(files):
    """Data that lies in `dev` or `eval` for other reasons is not of that split."""
    folder = files({"mmlu_ar/dev/anatomy.jsonl": json.dumps({"question": "?"}) + "\n"}) / "mmlu_ar" / "dev"
    for data in (folder, folder / "anatomy.jsonl", folder / "*.jsonl"):
        assert [(row.language, row.split) for row in read(GLOBAL_MMLU, data, "test")] == [("ar", "test")]
    assert [row.split for row in read(GLOBAL_MMLU, folder.parent, "dev")] == ["dev"]


def test_a_column_says_the_language_before_the_file_does(files):
    folder = files({"fr.jsonl": json.dumps({"lang": "jp", "sentence": "_"}) + "\n"})
    assert [row.language for row in read(XWINOGRAD, folder, "test")] == ["ja"]
    folder = files({"fr.jsonl": json.dumps({"language": "North Macedonian"}) + "\n"})
    assert [row.language for row in read(INCLUDE, folder, "test")] == ["mk"]


def test_files_without_a_header_have_the_columns_of_their_set(files):
    folder = files({
        "mmlu_ar/test/anatomy_test.csv": '"Which, of\nthese?",1,2,3,4,B\n\nNext?,1,2,3,4,A\n',
        "mmlu_ar/dev/anatomy_dev.csv": "Shot?,1,2,3,4,C\n",
    })  # fmt: skip
    first, second = read(GLOBAL_MMLU, folder, "test")
    assert (first.language, first.subject, first.values["question"]) == ("ar", "anatomy", "Which, of\nthese?")
    assert (first.values["option_d"], first.values["answer"]) == ("4", "B")
    assert first.place.endswith("anatomy_test.csv:1")
    assert second.place.endswith("anatomy_test.csv:4")
    (shot,) = read(GLOBAL_MMLU, folder, "dev")
    assert (shot.split, shot.values["answer"]) == ("dev", "C")
    folder = files({"mgsm/mgsm_de.tsv": 'Wie "viel"?\t18\n"Was?" fragt er.\t3\n'})
    rows = read(MGSM, folder / "mgsm", "test")
    assert [row.values["question"] for row in rows] == ['Wie "viel"?', '"Was?" fragt er.']


def test_headers_of_other_editions_mean_the_same_columns(files):
    names = [
        "InputStoryid",
        "InputSentence1",
        "InputSentence2",
        "InputSentence3",
        "InputSentence4",
        "RandomFifthSentenceQuiz1",
    ]
    header = "\t".join([*names, "RandomFifthSentenceQuiz2", "AnswerRightEnding"])
    cells = '1\t"A, ""so"""\tb\tc\td\te\tf\t2'
    folder = files({"spring2016.val.eu.tsv.split_20_80_eval.tsv": f"{header}\n{cells}\n"})
    (row,) = read(XSTORYCLOZE, folder, "eval")
    assert row.values["input_sentence_1"] == 'A, "so"'
    assert (row.values["sentence_quiz2"], row.values["answer_right_ending"]) == ("f", "2")
    folder = files({"mmlu/mmlu_JA-JP.csv": ",Question,A,B,C,D,Answer,Subject\n0,q,1,2,3,4,D,anatomy\n"})
    (row,) = read(GLOBAL_MMLU, folder / "mmlu", "test")
    assert (row.language, row.values["option_b"], row.values["subject"]) == ("ja-JP", "2", "anatomy")


def test_plain_lines_keep_their_numbers(files):
    folder = files({"devtest/arb_Arab.devtest": "one\n\nthr\u2028ee\n"})
    rows = read(FLORES, folder, "devtest")
    assert [(row.number, row.values["text"], row.language) for row in rows] == [
        (1, "one", "ar"), (2, "", "ar"), (3, "thr\u2028ee", "ar"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.it.jsonl", json.dumps(COPA) + "\n{\n", r"test\.it\.jsonl:2: not JSON"),
        ("test.it.jsonl", "[1]\n", r"test\.it\.jsonl:1: a JSON list; expected one object"),
        ("test.it.json", '[{"premise": "p"}, 3]', ": element 2: a JSON int; expected an object"),
        (
            "test.it.csv",
            "premise,choice1,choice2,question,label\np,a,b,cause\n",
            r"it\.csv:2: 4 columns; expected 5 \(premise",
        ),
        ("test.it.csv", 'premise,choice1\n"a" b,c\n', r"it\.csv:2: not a row of a CSV file"),
        ("test.it.csv", "p,a,b\n", r"it\.csv:1: expected a header with the columns premise, choice1"),
        ("test.jsonl", json.dumps(COPA) + "\n", r"test\.jsonl:1: no column says its language"),
        ("test.it.md", "", "no file that ends in .jsonl, .json, .parquet, .csv, .tsv, .arrow; XCOPA is at"),
        ("test.it.txt", "", "no file that ends in .jsonl"),
        ("val.it.jsonl", json.dumps(COPA) + "\n", "no row of the split test"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(files, name, text, message):
    folder = files({f"copa/{name}": text})
    with pytest.raises(DataError, match=message):
        read(XCOPA, folder / "copa", "test")


def test_missing_files_and_languages_say_where_to_get_them(files):
    folder = files({"it/test.it.jsonl": json.dumps(COPA) + "\n"})
    for data, languages, output in [("none", None, "no such file"), ("it", ("et",), "no row in et, only in it")]:
        with pytest.raises(DataError, match=output) as caught:
            read(XCOPA, folder / data, "test", languages=languages)
        assert "https://github.com/cambridgeltl/xcopa" in str(caught.value)
        assert "CC-BY-4.0" in str(caught.value)


def test_a_file_that_is_not_utf_8_is_told_so(files):
    folder = files({})
    for name, source in [("test.it.csv", XCOPA), ("test.it.tsv", XCOPA), ("it_Latn.devtest", FLORES)]:
        file = folder / name
        file.write_bytes(b"premise,choice1\np\xe9,a\n")
        with pytest.raises(DataError, match="not UTF-8"):
            read(source, file, "test", "devtest")


def test_a_set_of_the_hub_is_read_by_its_configurations(tmp_path):
    configs = [
        f"- config_name: {code}\n  data_files:\n  - split: test\n    path: {code}.jsonl\n" for code in ("en", "jp")
    ]
    (tmp_path / "README.md").write_text("---\nconfigs:\n" + "".join(configs) + "---\n")
    for code in ("en", "jp"):
        (tmp_path / f"{code}.jsonl").write_text(json.dumps({"sentence": code}) + "\n")
    for languages, found in [(None, ["en", "ja"]), (("ja",), ["ja"])]:
        rows = read_tables(
            XWINOGRAD, data=None, hub=str(tmp_path), revision="0" * 40, splits=("test",), languages=languages
        )
        assert [row.language for row in rows] == found
