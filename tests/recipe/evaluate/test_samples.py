"""The samples of an evaluation: every sample once, with what was asked, said, right and scored, and why there is no score."""

import json
from collections import Counter

import pyarrow.parquet
import pytest
from evaluated_runs import HERE

from aya_core.api import RowScore, read_rows

QUIZ = ("--teacher", "clerk", "--set", "plugins=[quiz_plugin.py]", "-q")
COLUMNS = {
    "evaluator", "model", "language", "id", "index", "sampling", "prompt", "options", "answer", "gold", "rival", "finish_reason",
    "scores", "status", "reason",
}  # fmt: skip


@pytest.fixture
def here(tmp_path):
    """Two models and a plugin with their teacher."""
    (tmp_path / "quiz_plugin.py").write_text((HERE / "quiz_plugin.py").read_text())
    for name in ("ana", "bo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    return tmp_path


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def test_choices_hold_options_gold_and_what_was_likeliest(here, aya_here):
    write(here / "de.jsonl", {"q": "a?", "o": ["x", "yyy"], "a": 0}, {"q": "b?", "o": ["xxx", "y"], "a": 0})
    (here / "mine.yaml").write_text("use: choice\ndata: de.jsonl\nquestion: '{{ q }}'\noptions: o\nanswer: '{{ a }}'\n")
    aya_here("evaluate", "ana", "--evaluator", "mine.yaml", "--samples", "out/s.jsonl", *QUIZ)
    right, wrong = lines((here / "out" / "s.jsonl").read_text())
    assert right.keys() == COLUMNS
    assert (right["prompt"], right["answer"], right["gold"], right["status"]) == ("a?", " x", " x", "scored")
    assert (wrong["prompt"], wrong["answer"], wrong["gold"]) == ("b?", " y", " xxx")
    assert right["options"][1] == {"text": " yyy", "log_likelihood": -4.0, "tokens": 1}
    assert (right["scores"]["accuracy"], wrong["scores"]["accuracy"]) == (1.0, 0.0)
    assert (right["evaluator"], right["language"]) == ("mine", "de")


def test_answers_and_what_was_left_unanswered_are_all_there(here, aya_here):
    write(here / "de.jsonl", *({"q": f"{n}?", "a": f"{n}?"} for n in range(3)))
    (here / "sums.yaml").write_text(
        "use: generate\ndata: de.jsonl\nquestion: '{{ q }}'\nfilter: '([01])'\nanswer: '{{ a[0] }}'\n"
    )
    (here / "quiz_plugin.py").write_text(
        (here / "quiz_plugin.py").read_text().replace('prompt.id != "2"', 'prompt.id != "de/3"')
    )
    aya_here("evaluate", "ana", "--evaluator", "sums.yaml", *QUIZ)
    first, second, third = lines(aya_here("export", "runs/evaluate", "evaluate.samples").stdout)
    assert (first["prompt"], first["answer"], first["gold"], first["scores"]["exact_match"]) == ("0?", "0?", "0", 1.0)
    assert second["finish_reason"] == "stop"
    assert (third["answer"], third["status"], third["reason"]) == (None, "unanswered", "no answer was given")
    assert third["scores"]["unanswered"] == 1.0


def test_a_plugin_without_gold_has_samples_too_and_parquet_holds_the_same(here, aya_here):
    aya_here("evaluate", "ana", "bo", "--evaluator", "quiz", *QUIZ)
    found = lines(aya_here("export", "runs/evaluate", "evaluate.samples").stdout)
    aya_here("export", "runs/evaluate", "evaluate.samples.quiz", "s.parquet")
    table = pyarrow.parquet.read_table("s.parquet").to_pylist()
    for row in table:
        row |= {name: json.loads(row[name]) if row[name] else row[name] for name in ("options", "scores")}
    assert table == found
    assert Counter((row["model"].rpartition("/")[2], row["language"]) for row in found) == {
        (model, code): 4 for model in ("ana", "bo") for code in ("en", "de")
    }
    assert {row["gold"] for row in found} == {None}
    assert [row["status"] for row in found if row["id"] == "2"] == ["scored", "unanswered"] * 2


def test_every_score_is_in_some_sample(here, aya_here):
    ids = [f"{code}/{n}" for code in ("de", "tr") for n in range(3)]
    write(here / "p.jsonl", *({"id": id, "language": id[:2], "prompt": f"{id}?", "reference": "de/1?"} for id in ids))
    write(here / "rival.jsonl", *({"id": id, "answer": "no" * 9 if id != "tr/2" else f"{id}?"} for id in ids[1:]))
    words = ("--set", "stages.evaluate.sampling.n=1", "--set", "stages.evaluate.greedy=true")
    rival = "win-rate,against={use: recorded, path: rival.jsonl},judge.use=length"
    aya_here(
        "evaluate",
        "ana",
        "--prompts",
        "p.jsonl",
        "--evaluator",
        rival,
        "--evaluator",
        "verifier,check=exact",
        *words,
        *QUIZ,
    )
    found = lines(aya_here("export", "runs/evaluate", "evaluate.samples").stdout)
    assert Counter((row["evaluator"], row["sampling"]) for row in found) == {
        (name, how): 6 for name in ("win-rate", "verifier") for how in ("as set", "greedy")
    }
    for label in ("win-rate", "verifier"):
        (folder,) = (here / "runs" / "evaluate" / "artifacts").glob(f"evaluate.{label}@*/*/payload")
        stored = Counter((row.prompt_id, row.metric, row.value) for row in read_rows(folder, RowScore))
        shown = Counter(
            (row["id"], ("greedy " if row["sampling"] == "greedy" else "") + metric, value)
            for row in found if row["evaluator"] == label for metric, value in row["scores"].items()
        )  # fmt: skip
        assert stored == shown
    (unmet,) = [
        row for row in found if row["evaluator"] == "win-rate" and row["id"] == "de/0" and row["sampling"] == "as set"
    ]
    assert (unmet["rival"], unmet["status"]) == (None, "unscored")
    assert "win" in unmet["reason"]
    (met,) = [
        row for row in found if row["evaluator"] == "win-rate" and row["id"] == "tr/1" and row["sampling"] == "as set"
    ]
    assert met["rival"] == "no" * 9
    assert met["scores"]["win"] + met["scores"]["loss"] + met["scores"]["tie"] == 1


def test_rows_whose_answers_are_known_show_them(here, aya_here):
    (here / "known.yaml").write_text(
        json.dumps(
            {
                "name": "known", "plugins": ["quiz_plugin.py", "sizes.py"],
                "stages": [
                    {"name": "rows", "do": "data", "kind": "demonstrations", "rows": {"use": "jsonl", "path": "known.jsonl"}},
                    {"name": "scores", "do": "evaluate", "models": ["./ana"], "teacher": {"use": "clerk", "model": "<each>"},
                     "evaluators": {"sizes": {"use": "sizes", "rows": "rows"}}},
                ],
            }
        )
    )  # fmt: skip
    (here / "sizes.py").write_text(SIZES)
    write(
        here / "known.jsonl",
        *({"id": f"{n}", "language": "de", "prompt": f"{n}?", "completion": "!" * n} for n in range(3)),
    )
    aya_here("evaluate", "known.yaml", "--samples", "s.jsonl", "-q")
    found = lines((here / "s.jsonl").read_text())
    assert [(row["prompt"], row["gold"], row["scores"]) for row in found] == [
        (f"{n}?", "!" * n, {"size": n}) for n in range(3)
    ]


SIZES = """
from pathlib import Path
from aya_core.api import Demonstration, EvaluatorStrategy, Field, Metric, RowScore, RowsRef, hookimpl, read_rows

class Sizes(EvaluatorStrategy):
    \"\"\"Length of known answers.\"\"\"
    metrics = {"size": Metric("characters")}
    rows: RowsRef = Field(description="Rows.")
    def build(self):
        return self
    def evaluate(self, evaluated):
        for row in read_rows(Path(self.rows), Demonstration):
            yield RowScore(row.prompt.id, row.prompt.language, "size", float(len(row.completion)))
    def signature(self):
        return {}

@hookimpl
def aya_evaluators():
    return {"sizes": Sizes}
"""


def test_a_name_that_is_wrong_is_told_the_nearest(here, aya_here):
    aya_here("evaluate", "ana", "--evaluator", "quiz", *QUIZ)
    assert "did you mean 'evaluate.samples'" in aya_here("export", "runs/evaluate", "evaluate.sample", check=2).stderr
    assert "did you mean 'quiz'" in aya_here("export", "runs/evaluate", "evaluate.samples.quizz", check=2).stderr
