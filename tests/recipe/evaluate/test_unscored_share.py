"""What could not be scored is said above the tables of whoever reads them: on the terminal and in the report."""

import json

from evaluated_runs import HERE

from aya_recipe.evaluate.unscored import sentences


def account(**shares):
    found = {
        metric: {model: {"mean": {"value": share}} for model, share in one.items()} for metric, one in shares.items()
    }
    return {"scores": {"quiz": found}}


def test_each_model_with_its_share_is_named():
    found = account(
        unscored={"/a/ana": 0.0, "/b/bo": 0.125, "/c/cy": 0.0001}, unjudged={"/a/ana": 1.0}, accuracy={"/a/ana": 0.5}
    )
    shown = {"/a/ana": "ana", "/b/bo": "bo", "/c/cy": "cy"}
    rows, battles = sentences(found, shown)
    assert rows.startswith("quiz: not all rows were scored: bo 12.5%, cy below 0.1% unscored")
    assert battles.startswith("quiz: not all battles were scored: ana 100.0% unjudged")


def test_nothing_is_said_where_all_is_scored():
    assert not list(sentences(account(unscored={"ana": 0.0}, accuracy={"ana": 0.5}), {"ana": "ana"}))


def test_the_terminal_and_the_report_say_it(tmp_path, aya_here):
    (tmp_path / "quiz_plugin.py").write_text((HERE / "quiz_plugin.py").read_text())
    (tmp_path / "ana").mkdir()
    (tmp_path / "ana" / "weights").write_text("ana")
    rows = [{"q": f"{n}?", "o": ["unheard" if n == 1 else "a", "bb"], "a": 0} for n in range(4)]
    (tmp_path / "de.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(
        "use: choice\ndata: de.jsonl\nquestion: '{{ q }}'\noptions: o\nanswer: '{{ a }}'\n"
    )
    words = ("--evaluator", "mine.yaml", "--teacher", "clerk", "--set", "plugins=[quiz_plugin.py]")
    done = aya_here("evaluate", "ana", *words)
    said = "mine: not all rows were scored: ana 25.0% unscored"
    assert said in done.stdout
    assert said in (tmp_path / "runs" / "evaluate" / "report.md").read_text()
