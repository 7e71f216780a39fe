"""The suite of Aya Expanse, held against the paper: its tasks, its languages and its published numbers."""

import json
import re
from pathlib import Path

import pytest

from aya_core.api import LANGUAGES, yaml12
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
        languages = [one for one in academic.evaluators[name].asked if (name, one) != ("flores", "en")]
        assert len(languages) == len(set(languages)) == count, name
    assert all(academic.evaluators[name].asked is None for name in ALL_OF_A_SET)
    assert "en" not in academic.evaluators["xstorycloze"].asked
    assert set(academic.evaluators["mgsm"].asked) == set("de en es fr ja ru zh".split())  # noqa: SIM905
    assert set(academic.evaluators["global-mmlu"].asked) == set(suite.languages) == set(LANGUAGES)
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
