"""Verdicts of evaluators are kept: through kills, for later runs, and never those that failed."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml
from places import SHARED

from aya_core.api import (
    ArbiterStrategy,
    Case,
    Completion,
    EvaluatorStrategy,
    PluginError,
    Verdict,
    nested,
    user_prompt,
)
from aya_core.planning.plan import Node
from aya_core.planning.registry import Registry
from aya_core.running.asking import reuse
from aya_core.running.work import Work
from aya_recipe.evaluate.verdict_cache import VerdictCache


class Chatty(ArbiterStrategy):
    """Prefer the longer answer; fail on `?`, and die after so many cases."""

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            if len(ASKED) == LIMIT[0]:
                raise RuntimeError("gone")
            ASKED.append([candidate.text for candidate in case.candidates])
            texts = [candidate.text for candidate in case.candidates]
            yield [Verdict.fail("prose") if "?" in texts else Verdict(float(len(text))) for text in texts]


class Alone(Chatty):
    """Score each answer by itself."""

    pointwise = True


class Holding(EvaluatorStrategy):
    """An evaluator with an arbiter inside a list."""

    several: dict[str, nested("arbiter")]

    def build(self):
        return self


ASKED: list[list[str]] = []
LIMIT = [10**9]


@pytest.fixture
def keep(tmp_path):
    """Have cases judged by the node of a fingerprint; returns the verdicts, what was asked, and the keeper."""

    def run(fingerprint, cases, arbiter=None, settings="1", contents=None, limit=10**9):
        arbiter = arbiter or Chatty()
        evaluator = Holding(several={"first": arbiter})
        asked = {
            "settings": {"evaluator.several.first": {"use": settings}},
            "seed": None,
            "code": {"arbiter chatty": "1"},
        }
        identity = {"evaluator": {"several": {"first": {"use": settings}}, "against": fingerprint}}
        node = Node("scores.win@m", "scores", "evaluate", "scores", {}, identity, {}, {}, 0, asked=asked)
        partial = tmp_path / f"{fingerprint}.partial"
        (partial / "payload").mkdir(parents=True, exist_ok=True)
        work = Work(node, Registry(), {}, partial, lambda *_: None, contents or {})
        cache = VerdictCache(work, evaluator)
        ASKED.clear()
        LIMIT[0] = limit
        found = list(cache.arbiter(arbiter).judge(cases))
        return found, list(ASKED), cache

    return run


def case(number, *texts):
    return Case(user_prompt(f"p{number}", "en", "Say."), tuple(Completion(f"p{number}", "", 0, text) for text in texts))


CASES = [case(n, "a" * (n + 1), "bb") for n in range(6)]


def test_one_changed_answer_is_judged_alone(keep):
    first, asked, _ = keep("one", CASES)
    assert len(asked) == 6
    changed = [*CASES[:3], case(3, "new", "bb"), *CASES[4:]]
    found, asked, cache = keep("two", changed)
    assert asked == [["new", "bb"]]
    assert found[:3] == first[:3]
    assert found[3] == [Verdict(3.0), Verdict(2.0)]
    assert (cache.measures["taken_over"], cache.measures["failed"]) == (5, 0)


def test_both_orders_are_two_verdicts(keep):
    turned = [replace(one, candidates=one.candidates[::-1]) for one in CASES]
    keep("one", CASES)
    assert len(keep("two", [*CASES, *turned])[1]) == 6


def test_failed_verdicts_are_asked_for_again(keep):
    cases = [*CASES, case(9, "?", "a")]
    found, _, cache = keep("one", cases)
    assert (found[6][0].status, cache.measures["failed"]) == ("failed", 2)
    _, asked, cache = keep("two", cases)
    assert asked == [["?", "a"]]
    assert (cache.measures["taken_over"], cache.measures["failed"]) == (6, 2)


def test_a_judge_that_died_goes_on_where_it_was(keep, monkeypatch):
    monkeypatch.setattr(reuse, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(RuntimeError):
        keep("one", CASES, limit=4)
    found, asked, _ = keep("one", CASES)
    assert len(asked) == 2
    assert found == keep("other place", CASES)[0]


def test_another_arbiter_another_model_or_other_settings_are_asked_themselves(keep):
    keep("one", CASES, contents={"evaluator.several.first.model": "weights 1"})
    assert len(keep("two", CASES, contents={"evaluator.several.first.model": "weights 2"})[1]) == 6
    assert len(keep("three", CASES, settings="2", contents={"evaluator.several.first.model": "weights 1"})[1]) == 6
    other_content = {
        "evaluator.several.first.model": "weights 1",
        "answers": "others",
        "evaluator.several.firstly": "x",
    }
    assert keep("four", CASES, contents=other_content)[1] == []


def test_an_arbiter_that_scores_alone_is_asked_about_one_answer_at_a_time(keep):
    first, asked, _ = keep("one", CASES, Alone())
    assert {len(texts) for texts in asked} == {1}
    assert first == [[Verdict(float(len(c.text))) for c in one.candidates] for one in CASES]
    _, asked, _ = keep("two", [case(0, "a", "new"), *CASES[1:]], Alone())
    assert asked == [["new"]]


def test_an_arbiter_from_nowhere_is_refused(tmp_path):
    node = Node("n", "s", "evaluate", "scores", {}, {"evaluator": {}}, {}, {}, 0)
    cache = VerdictCache(Work(node, Registry(), {}, tmp_path, lambda *_: None), Holding(several={}))
    with pytest.raises(PluginError, match="which is none of its settings; make it a field"):
        cache.arbiter(Chatty())


def test_a_model_meets_recorded_answers_and_a_second_run_judges_what_changed(tmp_path, aya):
    """Three runs of a recipe: own answers and the rival's from files, with a judge that fails on every third prompt at first."""
    shutil.copy(SHARED / "noting_plugin.py", tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "stop").touch()
    ids = [f"q-{n}" for n in range(1, 7)]

    def record(name, texts):
        rows = [{"question_id": id, "model": name, "answer": text} for id, text in zip(ids, texts, strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))

    own = ["longer"] * 4 + ["a", "bb"]
    record("own", own)
    record("rival", ["short"] * 6)
    (tmp_path / "prompts.csv").write_text("id,language,prompt\n" + "".join(f"{id},en,Why?\n" for id in ids))
    recipe = {
        "name": "wins", "plugins": ["noting_plugin.py"], "languages": ["en"],
        "stages": [{
            "name": "wins", "do": "evaluate", "models": ["./model"], "prompts": {"use": "csv", "path": "prompts.csv"},
            "teacher": {"use": "recorded", "path": "own.jsonl", "model": "own"}, "greedy": False,
            "evaluators": {"arena": {
                "use": "win-rate", "against": {"use": "recorded", "path": "rival.jsonl"},
                "judge": {"use": "failing", "notes": str(tmp_path / "judged"), "stop": str(tmp_path / "stop")},
            }},
        }],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))

    def run(*words):
        aya("run", tmp_path / "recipe.yaml", "--out", tmp_path / "run", "-q", *words, check=0)
        (row,) = json.loads((tmp_path / "run" / "report.json").read_text())["sections"]["wins"]["data"]["stages"]
        judged = (tmp_path / "judged").read_text().split()
        (tmp_path / "judged").unlink()
        return {name.removeprefix("arena: "): output["value"] for name, output in row["metrics"].items()}, judged

    first, judged = run()
    assert sorted(judged) == sorted([*ids, *ids])  # both orders
    assert (first["win"], first["loss"], first["failed"], first["order_disagreement"]) == (0.75, 0.25, 1 / 3, 0)
    (tmp_path / "stop").unlink()
    second, judged = run("--ask-again")
    assert sorted(judged) == sorted(["q-3", "q-6"] * 2)
    assert (second["win"], second["loss"], second["failed"]) == (4 / 6, 2 / 6, 0)
    record("own", ["a", *own[1:]])
    third, judged = run()
    assert judged == ["q-1", "q-1"]
    assert (third["win"], third["loss"]) == (0.5, 0.5)
