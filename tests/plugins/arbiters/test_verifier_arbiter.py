"""The verifier: one verdict per candidate, and a bad check hurts that candidate alone."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from aya_core.api import Case, Completion, PluginError, Verdict, user_prompt
from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_plugins.arbiters.verifier import Verifier


def case(reference: str | None, *texts: str) -> Case:
    prompt = user_prompt("p", "en", "?", reference)
    return Case(prompt, tuple(Completion("p", "t", n, text) for n, text in enumerate(texts)))


def strict_about_length(answer: str, prompt: object) -> float:
    return 1 / len(answer)


def test_each_candidate_is_checked_against_the_reference():
    verdicts = list(Verifier().build().judge([case("yes", "yes", "no"), case("no", "no")]))
    assert verdicts == [[Verdict(1.0), Verdict(0.0)], [Verdict(1.0)]]


def test_a_prompt_without_a_reference_gets_abstentions():
    (verdicts,) = Verifier().build().judge([case(None, "yes", "no")])
    assert [verdict.status for verdict in verdicts] == ["abstained", "abstained"]


def test_a_check_that_raises_on_one_candidate_scores_the_others():
    (verdicts,) = Verifier(check=f"{__name__}:strict_about_length").build().judge([case("x", "four", "", "ab")])
    assert [verdict.score for verdict in verdicts] == [0.25, None, 0.5]
    assert verdicts[1] == Verdict.fail("ZeroDivisionError: division by zero")


def test_a_check_that_does_not_exist_is_refused_before_anything_is_judged():
    with pytest.raises(ValidationError, match="did you mean 'exact'"):
        Verifier(check="exakt")
    with pytest.raises(PluginError, match="expected an importable module:function"):
        Verifier(check="no_such_module_here:check").build()


def test_an_expression_with_a_typo_is_refused_before_anything_is_judged():
    with pytest.raises(ValidationError, match="nothing named 'refrence' in an expression; did you mean 'reference'"):
        Verifier(expression="answer == refrence")


def test_rows_may_be_checked_each_in_its_own_way():
    rows = [("unit", "3 km", "3000 m"), ("exact", "yes", "yes"), ("", "yes", "well, yes")]
    cases = [
        Case(user_prompt("p", "en", "?", reference, {"kind": kind}), (Completion("p", "t", 0, answer),))
        for kind, reference, answer in rows
    ]
    judged = list(Verifier(by="kind", expression="reference in answer").build().judge(cases))
    assert judged == [[Verdict(1.0)]] * 3


def test_whose_code_a_check_is_counts_in_the_plan_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def code(check: str) -> Mapping[str, str]:
        spec = {"use": "verifier", "check": check}
        read = {"use": "micro-world", "as_prompts": True, "split": "dev"}
        stage = {
            "do": "arbitrage",
            "name": "a",
            "prompts": read,
            "teachers": {"t": {"use": "recorded", "path": "x.jsonl"}},
        }
        recipe = tmp_path / "r.yaml"
        recipe.write_text(json.dumps({"name": "r", "languages": ["en"], "stages": [{**stage, "arbiter": spec}]}))
        return make_plan(load_recipe(recipe)).nodes["a.verdicts"].code

    (tmp_path / "x.jsonl").touch()
    monkeypatch.chdir(tmp_path)  # the folder that the process doing the work imports from, too
    (tmp_path / "my_folder").mkdir()
    checks = {"my_checks:near": tmp_path / "my_checks.py", "my_folder.close:near": tmp_path / "my_folder" / "close.py"}
    for path in checks.values():
        path.write_text("def near(answer, prompt): return 1")
    for check, path in checks.items():
        module = f"module {check.split(':')[0]}"
        before = code(check)
        path.write_text("def near(answer, prompt): return 0")
        after = code(check)
        assert before.keys() == after.keys() == {*code("exact"), module}
        assert before[module] != after[module]
        assert {**before, module: ""} == {**after, module: ""}
    with pytest.raises(RecipeError, match=r"stages\.a\.arbiter: no module 'mychecks'; expected one that is installed"):
        code("mychecks:near")
