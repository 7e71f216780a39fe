"""The suite of Aya Expanse, held against the paper: its tasks, its languages and its published numbers."""

import json
import re
from pathlib import Path

import pytest

from aya_core.api import LANGUAGES, SHARE, yaml12
from aya_recipe.evaluate import published
from aya_recipe.evaluate.suite import load_suite

FACTS = Path(__file__).parents[4] / "shared" / "recipe-facts.md"

TABLE_1 = {"xstorycloze": 10, "global-mmlu": 23, "mgsm": 7, "flores": 22}
"""Languages of the tasks of which the sets have more. Source: arXiv 2412.04261, table 1; FLORES has 22 pairs with English."""

ALL_OF_A_SET = ("xcopa", "xwinograd", "include")
"""Tasks in all languages that the sets have: 11, 6 and 44."""


@pytest.fixture
def suite(tmp_path):
    for name in (*TABLE_1, *ALL_OF_A_SET):
        (tmp_path / name).mkdir()
    for name in ("m-arenahard", "dolly-human-edited", "dolly-machine-translated"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "de.jsonl").write_text("")
    loaded, _ = load_suite("expanse", ["owner/a"], tmp_path, against="owner/b", judge="length")
    return loaded.recipe


def test_the_suite_has_the_languages_of_table_1(suite):
    academic = suite.stages[0]
    for name, count in TABLE_1.items():
        languages = [one for one in academic.evaluators[name].asked_languages if (name, one) != ("flores", "en")]
        assert len(languages) == len(set(languages)) == count, name
    assert all(academic.evaluators[name].asked_languages is None for name in ALL_OF_A_SET)
    assert "en" not in academic.evaluators["xstorycloze"].asked_languages
    assert set(academic.evaluators["mgsm"].asked_languages) == set("de en es fr ja ru zh".split())  # noqa: SIM905
    assert set(academic.evaluators["global-mmlu"].asked_languages) == set(suite.languages) == set(LANGUAGES)
    assert (academic.evaluators["global-mmlu"].shots, academic.evaluators["mgsm"].shots) == (5, 5)
    assert academic.evaluators["flores"].directions == ("xx-en", "en-xx")


def test_published_folders_are_found_under_their_own_names(tmp_path):
    for name in ("Global-MMLU", "flores_plus", "aya_evaluation_suite/dolly_human_edited"):
        (tmp_path / name).mkdir(parents=True)
    row = {"id": 0, "inputs": "?", "targets": "!", "language": "arb", "script": "Arab"}
    (tmp_path / "aya_evaluation_suite/dolly_human_edited/test.jsonl").write_text(json.dumps(row) + "\n")
    loaded, _ = load_suite("expanse", ["owner/a"], tmp_path, against="owner/b", judge="length")
    academic, dolly = loaded.recipe.stages
    assert academic.evaluators["global-mmlu"].data == str(tmp_path / "Global-MMLU")
    assert academic.evaluators["flores"].data == str(tmp_path / "flores_plus")
    (found,) = dolly.prompts.build().rows(0)
    assert (found.prompt.language, found.prompt.id) == ("ar", "ar/0")


def test_every_stage_of_the_suite_names_the_published_numbers(suite):
    assert {stage.published for stage in suite.stages} == {"aya-expanse"}
    known = published.read("aya-expanse")
    assert {*known["win_rates"]} <= {stage.name for stage in suite.stages}
    assert {*known["columns"]} <= {*suite.stages[0].evaluators, *suite.stages[0].groups, "xCOMET", "discriminative"}


def test_published_numbers_are_those_of_the_paper():
    if not FACTS.is_file():
        pytest.skip("the facts of the paper are not here")
    text = FACTS.read_text(encoding="utf-8")
    known = published.read("aya-expanse")
    for model, numbers in known["models"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {model} |"))
        columns = ("discriminative", "global-mmlu", "mgsm", "flores", "xCOMET")
        assert [float(cell) for cell in line.split("|")[2:7]] == [numbers[name] for name in columns]
    for wins in known["win_rates"].values():
        for _, rival, *numbers in wins["battles"][:8]:
            row = " | ".join(f"{number:.1f}" for number in numbers)
            assert re.search(
                rf"{re.escape(rival.replace('Gemma-2-', 'Gemma-2 ').replace('Llama-3.1-', 'Llama-3.1 ')[:7])}.*{row}",
                text,
            )


def test_results_of_a_battle_add_up():
    for wins in published.read("aya-expanse")["win_rates"].values():
        rows = [numbers for _, _, *numbers in wins["battles"]] + list(
            wins.get("by_language", {}).get("battles", {}).values()
        )
        for numbers in rows:
            if None not in numbers:
                assert sum(numbers) == pytest.approx(100, abs=0.15)


def test_all_numbers_files_can_be_read():
    for file in published.FOLDER.glob("*.yaml"):
        assert yaml12.read(file).keys() == {"source", "tables", "columns", "models", "notes", "win_rates"}


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'aya-expanse'"):
        published.published_name("aya-expanze")


class Stage:
    """A stage of a run that shows the published numbers."""

    def __init__(self, **settings):
        self.settings = settings
        self.run = self

    def stage(self, name):
        return self


def scored(value, *languages):
    estimate = {"value": value, "standard_error": 0.01, "low": value - 0.02, "high": value + 0.02, "n": 4}
    return {"mean": estimate, "languages": dict.fromkeys(languages, estimate)}


def account(headline, against=None, **metrics):
    evaluator = {
        "headline": headline,
        "goal": "max",
        "metrics": {name: SHARE.as_row() for name in metrics},
        "against": against,
        "signature": {"judge": "ours"},
        "unanswered": {},
    }
    return {
        "models": ["mine", "rival"], "controls": [], "groups": {}, "contamination": None, "sampling": None,
        "evaluators": {"mgsm" if against is None else "win-rate": evaluator},
        "scores": {"mgsm" if against is None else "win-rate": metrics},
    }  # fmt: skip


def test_published_numbers_stand_below_ours_and_say_where_the_set_up_differs():
    ours = account("exact_match", exact_match={"mine": scored(0.5, "de", "en"), "rival": scored(0.25, "de", "en")})
    (table,) = published.tables_of(Stage(published="aya-expanse"), {"academic": ours})
    assert table.header == ["model", "mgsm"]
    assert [row[0] for row in table.rows[:3]] == ["mine", "rival", "Aya-23-8B (published)"]
    assert table.rows[0][1].startswith("50.0")
    assert ["Aya-Expanse-8B (published)", "67.0"] in table.rows
    assert all(name.endswith("(published)") for name, *_ in table.rows[2:])
    assert any("mgsm is over 2 languages here, 7 there: it lacks es, fr, ja, ru, zh" in note for note in table.notes)
    assert any("arXiv 2412.04261" in note for note in table.notes)


def test_columns_that_nobody_published_and_stages_that_ask_for_none_have_no_table():
    ours = account("exact_match", exact_match={"mine": scored(0.5, "de")})
    assert not list(published.tables_of(Stage(published=None), {"academic": ours}))
    assert not list(published.tables_of(Stage(), {"academic": ours}))
    others = {**ours, "evaluators": {"quiz": ours["evaluators"]["mgsm"]}, "scores": {"quiz": ours["scores"]["mgsm"]}}
    assert not list(published.tables_of(Stage(published="aya-expanse"), {"academic": others}))


def test_published_win_rates_name_judge_and_rival():
    battles = {
        result: {"mine": scored(share, "en", "tr")}
        for result, share in zip(published.RESULTS, (0.5, 0.3, 0.2), strict=True)
    }
    ours = account("win", "rival", **battles)
    whole, by_language = published.tables_of(Stage(published="aya-expanse"), {"m-arenahard": ours})
    assert whole.rows[0] == ["mine", "rival", "50.0", "30.0", "20.0"]
    assert ["Aya-Expanse-8B (published)", "Gemma-2-9B", "60.4", "37.4", "2.2"] in whole.rows
    assert ["Aya-Expanse-8B after SFT and merging (published)", "Gemma-2-9B", "53.3", "", ""] in whole.rows
    assert any("judge gpt-4o-2024-08-06" in note for note in whole.notes)
    assert any("judge ours" in note and "2 languages (en, tr)" in note for note in whole.notes)
    assert ["tr", "50.0", "60.4", "38.6", "1.0"] in by_language.rows
    assert ["ar", "", "69.0", "29.0", "2.0"] in by_language.rows
