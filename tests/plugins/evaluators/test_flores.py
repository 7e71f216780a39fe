"""Translation of parallel text: how it is read and asked, and chrF++ of what comes back."""

import json

import pytest
from sacrebleu.metrics import BLEU, CHRF

from aya_core.api import Completion, CorpusScore, DataError, EvaluatedModel, Replies, language_name
from aya_plugins.evaluators.flores import Flores

ENGLISH = ["The cat sleeps.", "It rains today, again.", "Who knows?"]
TURKISH = ["Kedi uyuyor.", "Bugün yine yağmur yağıyor.", "Kim bilir?"]
FRENCH = ["Le chat dort.", "Il pleut encore aujourd'hui.", "Qui sait ?"]


@pytest.fixture
def flores(tmp_path):
    """FLORES-200 as it is unpacked, of three languages."""
    folder = tmp_path / "flores200_dataset"
    for split in ("dev", "devtest"):
        (folder / split).mkdir(parents=True)
        for code, lines in {"eng_Latn": ENGLISH, "tur_Latn": TURKISH, "fra_Latn": FRENCH}.items():
            few = lines if split == "devtest" else lines[:1]
            (folder / split / f"{code}.{split}").write_text("\n".join(few) + "\n", encoding="utf-8")
        (folder / f"metadata_{split}.tsv").write_text("URL\tdomain\n")
    return folder


def asked(settings):
    return [request.prompt for request in settings.build().requests()]


def scored(settings, answer):
    evaluator = settings.build()
    replied = {}
    for request in evaluator.requests():
        text = answer(request.prompt)
        if text is not None:
            replied[request.prompt.id] = [Completion(request.prompt.id, "m", 0, text)]
    return list(evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies(completions=replied))))


def corpora(scores):
    return {(one.language, one.metric): one for one in scores if isinstance(one, CorpusScore)}


def test_lines_are_the_same_items_in_all_languages_and_directions(flores):
    rows = scored(Flores(data=str(flores)), lambda prompt: prompt.reference[: 4 + len(prompt.text) % 7])
    lines = {"1", "2", "3"}
    assert {row.item for row in rows if not isinstance(row, CorpusScore)} == lines
    for score in corpora(rows).values():
        assert score.influences.keys() == lines
        assert sum(score.influences.values()) == pytest.approx(0, abs=1e-9)


def test_every_sentence_is_asked_in_both_directions_with_the_languages_named(flores):
    prompts = asked(Flores(data=str(flores)))
    assert len(prompts) == 2 * 2 * 3
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    first = next(prompt for prompt in prompts if prompt.language == "tr")
    assert "from Turkish into English" in first.text
    assert first.text.endswith("\n\nKedi uyuyor.")
    assert first.reference == "The cat sleeps."
    back = [prompt for prompt in prompts if prompt.meta["direction"] == "en-xx" and prompt.language == "fr"]
    assert "from English into French" in back[0].text
    assert [prompt.reference for prompt in back] == FRENCH


def test_a_base_model_completes_a_line(flores):
    settings = Flores(data=str(flores), languages=("fr",), directions=("xx-en",), prompting="text")
    (request, *_) = settings.build().requests()
    assert request.prompt.text.endswith("French: Le chat dort.\nEnglish:")
    assert request.sampling.stop == ("\n",)
    assert request.sampling.prompting == "text"


def test_scores_are_sacrebleu_s_of_each_corpus_and_their_mean(flores):
    settings = Flores(data=str(flores), resamples=50)
    found = corpora(scored(settings, lambda prompt: f"  {prompt.reference[2:]}\n"))
    for language, lines in {"tr": TURKISH, "fr": FRENCH}.items():
        values = []
        for direction, references in {"xx-en": ENGLISH, "en-xx": lines}.items():
            cut = [line[2:] for line in references]
            value = CHRF(word_order=2).corpus_score(cut, [references]).score
            assert found[language, f"chrf++/{direction}"].value == pytest.approx(value, abs=1e-9)
            values.append(value)
        mean = found[language, "chrf++"]
        assert mean.value == pytest.approx(sum(values) / 2, abs=1e-9)
        assert (mean.n, found[language, "chrf++/en-xx"].n) == (6, 3)
        assert mean.standard_error > 0


def test_bleu_takes_the_words_of_the_target_and_spbleu_the_pieces_of_its_model(flores, pieces):
    (flores / "devtest" / "zho_Hans.devtest").write_text("猫在睡觉。\n今天又下雨了。\n谁知道呢？\n", encoding="utf-8")
    settings = Flores(data=str(flores), languages=("zh", "fr"), bleu=True, spbleu=str(pieces), resamples=20)
    rows = scored(settings, lambda prompt: prompt.reference[1:])
    found = corpora(rows)
    chinese = ["猫在睡觉。", "今天又下雨了。", "谁知道呢？"]
    for direction, lines, words in (("xx-en", ENGLISH, "13a"), ("en-xx", chinese, "zh")):
        value = BLEU(tokenize=words).corpus_score([line[1:] for line in lines], [lines]).score
        assert found["zh", f"bleu/{direction}"].value == pytest.approx(value)
    assert found["zh", "bleu"].value == pytest.approx(
        (found["zh", "bleu/xx-en"].value + found["zh", "bleu/en-xx"].value) / 2
    )
    assert 0 < found["fr", "spbleu"].value < 100
    assert found["fr", "spbleu"].standard_error > 0
    assert {metric.split("/")[0] for _, metric in found} <= settings.metrics.keys()
    assert {"bleu", "spbleu"} <= settings.build().signature().keys()


def test_the_error_of_a_mean_holds_that_its_directions_share_segments(tmp_path):
    for name in ("eng", "deu"):
        text = "\n".join(f"word{number} and thing{number * 7}" for number in range(30)) + "\n"
        (tmp_path / f"newstest2019-ref.{name}.txt").write_text(text)
    # the same text on both sides, so that both directions are equal, drawn by drawn
    found = corpora(scored(Flores(data=str(tmp_path)), lambda p: p.reference[: 3 + int(p.id.rsplit(":")[-1]) % 9]))
    errors = {metric: one.standard_error for (_, metric), one in found.items()}
    assert errors["chrf++"] == pytest.approx(errors["chrf++/en-xx"])
    assert errors["chrf++"] == pytest.approx(errors["chrf++/xx-en"])


def test_what_is_not_translated_scores_nothing_and_is_counted(flores):
    settings = Flores(data=str(flores), languages=("tr",), directions=("en-xx",))
    replied = dict(zip(TURKISH, ["Kedi uyuyor.", "  ", None], strict=True))
    scores = scored(settings, lambda prompt: replied[prompt.reference])
    rates = {metric: [row.value for row in scores if row.metric == metric] for metric in ("unanswered", "empty")}
    assert rates == {"unanswered": [0, 0, 1], "empty": [0, 1]}
    expected = CHRF(word_order=2).corpus_score(["Kedi uyuyor.", "", ""], [TURKISH]).score
    assert corpora(scores)["tr", "chrf++"].value == expected


def test_triples_are_what_another_metric_scores(flores):
    settings = Flores(data=str(flores), languages=("fr",), directions=("xx-en",))
    (first, *_) = settings.translations(EvaluatedModel("m", [], [], [], lambda pairs: [], Replies()))
    assert (first.source, first.hypothesis, first.reference, first.is_answered) == (FRENCH[0], "", ENGLISH[0], False)


def test_flores_plus_is_aligned_by_its_ids(tmp_path):
    rows = [
        {"id": number, "iso_639_3": code, "iso_15924": script, "text": lines[number]}
        for code, script, lines in (("eng", "Latn", ENGLISH), ("tur", "Latn", TURKISH[::-1]), ("cmn", "Hant", FRENCH))
        for number in (2, 0, 1)
    ]
    (tmp_path / "devtest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = asked(Flores(data=str(tmp_path)))
    assert {prompt.language for prompt in prompts} == {"tr", "zh-Hant"}
    assert next(p for p in prompts if p.id == "tr:xx-en:2").text.endswith(TURKISH[0])
    assert "into Chinese (traditional characters)." in next(p for p in prompts if p.id == "zh-Hant:en-xx:2").text


def test_varieties_of_english_are_left_out(tmp_path):
    for code in ("eng-GB", "fra-CA", "srp-Latn", "zho-TW", "shi"):
        (tmp_path / f"newstest2019-ref.{code}.txt").write_text("a\n")
    (tmp_path / "newstest2019-src.eng.txt").write_text("a\n")
    assert {p.language for p in asked(Flores(data=str(tmp_path)))} == {"fr-CA", "sr-Latn", "zh-Hant", "shi"}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("fr", "French"), ("fr-CA", "French (Canada)"), ("zh-Hant", "Chinese (traditional characters)"),
        ("sr-Latn", "Serbian (Latin script)"),
        ("kbp", "Kabiyè"), ("zh", "Chinese"), ("ar-Latn", "Arabic (Latin script)"), ("kr-Arab", "Kanuri (Arabic script)"),
    ],
)  # fmt: skip
def test_languages_are_named_in_english(code, name):
    assert language_name(code) == name


def test_lines_that_do_not_match_are_refused(flores):
    file = flores / "devtest" / "fra_Latn.devtest"
    file.write_text("\n".join(FRENCH[:2]) + "\n")
    with pytest.raises(DataError, match=r"2 lines in fr, 3 in English; .* line 3 "):
        asked(Flores(data=str(flores)))


def test_data_without_english_says_where_to_get_it(flores):
    (flores / "devtest" / "eng_Latn.devtest").unlink()
    with pytest.raises(DataError, match="no English; FLORES-200 is at https"):
        asked(Flores(data=str(flores)))


def test_real_parallel_text_is_read(shared_data):
    prompts = asked(Flores(data=str(shared_data / "ntrex"), languages=("en", "hi", "ja")))
    assert len(prompts) == 2 * 2 * 500
