"""--limit: so many rows of each language, the same ones each time, and never a number that does not say so."""

import json

import pytest

from aya_core.contract.records import Demonstration, Prompt, user_prompt
from aya_plugins.benchmarks.drawn import drawn
from aya_plugins.benchmarks.tables import Row

QUIZ = ("--teacher", "clerk", "--set", "plugins=[quiz_plugin.py]")


def rows(*languages, many=50):
    return [Row(f"{code}:{n}", code, "test", "", n, {"n": n}) for code in languages for n in range(many)]


def places(found, language):
    return [row.number for row in found if row.language == language]


def test_a_limit_draws_so_many_of_each_language_and_the_same_places_in_each():
    found = list(drawn(rows("de", "tr"), 7))
    assert places(found, "de") == places(found, "tr") == sorted(places(found, "de"))
    assert len(found) == 14
    assert places(found, "de") != list(range(7))


@pytest.mark.parametrize("smaller", [1, 3, 6])
def test_a_smaller_limit_draws_some_of_the_rows_of_a_larger_one(smaller):
    assert set(places(drawn(rows("de"), smaller), "de")) < set(places(drawn(rows("de"), 7), "de"))


def test_without_a_limit_or_with_a_large_one_all_rows_are_there():
    assert list(drawn(rows("de", "tr"), None)) == list(drawn(rows("de", "tr"), 50)) == rows("de", "tr")


def test_rows_of_a_run_are_drawn_as_benchmarks_are():
    known = [Demonstration(user_prompt(f"{n}", "de", "?"), "!") for n in range(50)]
    assert [int(row.prompt.id) for row in drawn(known, 7)] == places(drawn(rows("de"), 7), "de")


@pytest.fixture
def capitals(tmp_path):
    """A benchmark of one's own in two languages, with its settings in a file, and the clerk that replies."""
    from evaluated_runs import HERE

    (tmp_path / "quiz_plugin.py").write_text((HERE / "quiz_plugin.py").read_text())
    (tmp_path / "ana").mkdir()
    (tmp_path / "ana" / "weights").write_text("ana")
    for code in ("de", "tr"):
        found = [{"q": f"{n}?", "o": ["a" * (n % 3 + 1), "bb"], "a": 0} for n in range(20)]
        (tmp_path / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    (tmp_path / "mine.yaml").write_text(
        "use: choice\ndata: '[dt]?.jsonl'\nquestion: '{{ q }}'\noptions: o\nanswer: '{{ a }}'\nmetric: acc_norm\n"
    )
    return tmp_path


def test_a_benchmark_is_cut_and_its_numbers_say_so(capitals, aya_here):
    done = aya_here("evaluate", "ana", "--evaluator", "mine.yaml", "--limit", 5, *QUIZ, "--json", "-q")
    account = json.loads(done.stdout)["evaluate"]
    assert account["evaluators"]["mine"]["signature"]["limit"] == "5 rows of each language, drawn by hash"
    (ana,) = account["models"]
    assert account["scores"]["mine"]["acc_norm"][ana]["languages"]["de"]["n"] == 5
    tables = (capitals / "runs" / "evaluate" / "tables" / "evaluate.md").read_text()
    assert "mine (limit 5)" in tables
    assert "measured with a limit" in (capitals / "runs" / "evaluate" / "report.md").read_text()
    whole = json.loads(aya_here("evaluate", "ana", "--evaluator", "mine.yaml", *QUIZ, "--json", "-q").stdout)[
        "evaluate"
    ]
    assert "limit" not in whole["evaluators"]["mine"]["signature"]
    assert whole["scores"]["mine"]["acc_norm"][ana]["languages"]["de"]["n"] == 20
    assert "limit" not in (capitals / "runs" / "evaluate" / "report.md").read_text()


def test_prompts_that_are_answered_are_cut_and_marked_too(capitals, aya_here):
    ids = [f"{code}/{n}" for code in ("de", "tr") for n in range(20)]
    (capitals / "p.jsonl").write_text(
        "".join(json.dumps({"id": id, "language": id[:2], "prompt": f"{id}?", "reference": "x"}) + "\n" for id in ids)
    )
    words = ("--prompts", "p.jsonl", "--evaluator", "verifier,check=exact", *QUIZ, "--json", "-q")
    account = json.loads(aya_here("evaluate", "ana", *words, "--limit", 4).stdout)["evaluate"]
    assert account["evaluators"]["verifier"]["signature"]["limit"] == "4 prompts of each language, drawn by hash"
    (drawn_folder,) = (capitals / "runs" / "evaluate" / "artifacts" / "evaluate.drawn").iterdir()
    from aya_core.api import read_rows

    kept = [prompt.id for prompt in read_rows(drawn_folder / "payload", Prompt)]
    assert len(kept) == 8
    assert {id[3:] for id in kept if id[:2] == "de"} == {id[3:] for id in kept if id[:2] == "tr"}


def test_an_evaluator_that_cannot_keep_a_limit_is_named(capitals, aya_here):
    done = aya_here("evaluate", "ana", "--evaluator", "quiz", "--limit", 2, *QUIZ, check=2)
    assert "'quiz'" in done.stderr or "evaluators.quiz" in done.stderr
    assert "no setting `limit`" in done.stderr


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.yaml", "no such file"),
        ("list.yaml", "expected a mapping with `use`"),
        ("use.yaml", "no evaluator named 'choise'"),
    ],
)
def test_a_file_that_is_no_benchmark_is_told_so(capitals, aya_here, file, message):
    (capitals / "list.yaml").write_text("[1]\n")
    (capitals / "use.yaml").write_text("use: choise\n")
    assert message in aya_here("evaluate", "ana", "--evaluator", file, check=2).stderr
