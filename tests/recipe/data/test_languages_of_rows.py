"""Rows count in the recipe's languages, and those that do not are told."""

import json
from collections import Counter

from click.testing import CliRunner

from aya_core import cli
from aya_core.api import Prompt, language_sentences, user_prompt
from aya_core.planning.reading import _Chosen


def chosen(languages, *rows: Prompt):
    chosen = _Chosen(languages, is_grouped=False)
    kept = list(chosen.rows(lambda: rows))
    return [(row.id, row.language) for row in kept], chosen.left_out, chosen.counted_as


def prompt(id, language):
    return user_prompt(id, language, "?")


def test_an_edition_counts_as_its_language_and_is_told():
    kept, left_out, counted_as = chosen(
        ["zh", "pt"], prompt("a", "zh-Hant"), prompt("b", "pt-BR"), prompt("c", "zh"), prompt("d", "arz")
    )
    assert kept == [("c", "zh"), ("a", "zh"), ("b", "pt")]
    assert left_out == Counter(arz=1)
    assert counted_as == Counter({"zh-Hant as zh": 1, "pt-BR as pt": 1})


def test_an_edition_that_the_recipe_names_stays_apart():
    kept, left_out, counted_as = chosen(["zh-Hans", "zh-Hant"], prompt("a", "zh-Hant"), prompt("b", "zh"))
    assert kept == [("a", "zh-Hant"), ("b", "zh-Hans")]
    assert not left_out
    assert not counted_as


def test_an_item_in_both_scripts_counts_once_in_whatever_order():
    rows = [prompt("zh-Hant/1", "zh-Hant"), prompt("zh/1", "zh"), prompt("zh-Hant/2", "zh-Hant")]
    for ordered in (rows, rows[::-1]):
        kept, left_out, _ = chosen(["zh"], *ordered)
        assert sorted(kept) == [("zh-Hant/2", "zh"), ("zh/1", "zh")]
        assert left_out == Counter({"zh-Hant": 1})


def test_sentences_count_rows_by_language():
    assert language_sentences({"rows": 3}) == []
    left_out, counted_as = language_sentences(
        {"rows": 3, "left_out": {"arz": 1, "sr": 2}, "counted_as": {"zh-Hant as zh": 2}}
    )
    assert left_out == "3 of 6 rows are left out, in languages that the recipe does not name: arz 1, sr 2"
    assert counted_as == "rows counted as another language: zh-Hant as zh 2"


def test_rows_as_aya_publishes_them_are_read_and_the_rest_is_told(tmp_path, monkeypatch):
    codes = ["eng", "arb", "zho", "en", "zh-Hant", "Standard Arabic", "pes", "arz", "srp"]
    rows = [{"id": str(n), "language_code": code, "inputs": f"x {n}", "targets": "y"} for n, code in enumerate(codes)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text(
        "name: lang\nstages:\n  - {name: d, do: data, kind: demonstrations, "
        "rows: {use: jsonl, path: m.jsonl, columns: {language: language_code}}}"
    )
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.aya, ["run", "c.yaml", "--out", "r"])
    assert done.exit_code == 0, done.output
    told = "d: 2 of 9 rows are left out, in languages that the recipe does not name: arz 1, sr 1"
    assert told in done.output
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert told in json.dumps(report["sections"]["d"])
    assert "zh-Hant as zh 1" in json.dumps(report["sections"]["d"])
