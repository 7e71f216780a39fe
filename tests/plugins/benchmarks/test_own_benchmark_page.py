"""The examples of the page about benchmarks of one's own, with the rows that it shows."""

import json
import re

import pytest
import yaml
from places import ROOT

from aya_core.planning.registry import Registry

PAGE = (ROOT / "docs" / "own-benchmarks.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The evaluators of the page, in a folder with the rows that it shows."""
    monkeypatch.chdir(tmp_path)
    capitals, sums = blocks("json")
    for name, text in (
        ("capitals/test.de.jsonl", capitals),
        ("capitals/dev.de.jsonl", capitals),
        ("sums/de.jsonl", sums),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    exam = {
        "subject": "x",
        "question": "Was?",
        **{f"option_{letter}": f"o{letter}" for letter in "abcd"},
        "answer": "C",
    }
    (tmp_path / "global-mmlu").mkdir()
    for split in ("dev", "test"):
        (tmp_path / "global-mmlu" / f"{split}.de.jsonl").write_text(f"{json.dumps(exam)}\n" * 5)
    registry = Registry()
    return [registry.validate("evaluator", yaml.safe_load(text)).build() for text in blocks("yaml")]


def test_the_examples_ask_what_the_page_says(made):
    capitals, letters, sums = [list(one.requests()) for one in made]
    context, option = capitals[0].continuations[1]
    assert option == " Lima"
    assert context.startswith("Frage: Was ist die Hauptstadt von Peru?\nAntwort: Lima\n\nFrage:")
    assert context.endswith("Peru?\nAntwort:")
    assert letters[0].continuations[0].context.count("C. oc\nD. od\nAnswer: C\n\n") == 5
    assert [one.text for one in letters[0].continuations] == [" A", " B", " C", " D"]
    assert sums[0].prompt.text.endswith("Ende mit: Antwort: ZAHL")
    assert sums[0].prompt.reference == "7"
