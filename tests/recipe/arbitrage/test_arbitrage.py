"""The arbitrage stage: its account, its bounds, its bad input, and the command."""

import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
from noting_folder import LANGUAGES

from aya_core.contract.artifacts import read_rows
from aya_core.contract.records import Demonstration, Judged, Preference


def test_half_a_character_is_named_in_prompts_and_mended_in_answers(folder):
    folder.stage["teachers"]["ana"]["breaks"] = True
    folder.run()
    assert all(answer.text.endswith("?") for answer in folder.answers("ana"))
    (folder.path / "prompts.jsonl").write_text(json.dumps({"id": "p", "language": "en", "prompt": "cut \ud83d"}))
    output = folder.run(check=2).stderr.replace("\n", " ")
    assert "prompts.jsonl:1: holds half a character" in output


def test_a_control_asks_teachers_only_what_they_were_asked(folder):
    folder.stage["teachers"]["ana"]["languages"] = ["en"]
    control = {"name": "control", "do": "arbitrage", "answers": "arbitrage", "router": {"use": "random"}}
    folder.raw["stages"].append({**control, "arbiter": folder.stage["arbiter"]})
    folder.run()
    account = json.loads((folder.out / "report.json").read_text())["sections"]["control"]["data"]
    assert account["by_language"]["ana"].keys() == {"en"}
    assert account["best"] == 24


def test_a_language_in_which_nothing_wins_is_in_the_account(folder):
    folder.stage["arbiter"] = {"use": "language-shy", "language": "de"}
    folder.run()
    account = json.loads((folder.out / "report.json").read_text())["sections"]["arbitrage"]["data"]
    assert account["wins"]["de"] == {}
    assert {"reason": "the arbiter abstained on every answer", "language": "de", "teacher": "", "count": 8} in account[
        "dropped"
    ]
    assert ">de<" in (folder.out / "pictures" / "arbitrage.svg").read_text()


def test_verdicts_are_numbers_of_any_make(folder):
    folder.stage["arbiter"] = {"use": "language-shy", "language": "tr", "make": "numpy"}
    folder.run()
    rows = list(read_rows(folder.payload("arbitrage.verdicts"), Judged))
    assert {type(row.verdict.score) for row in rows if row.verdict.status == "scored"} == {float}


def test_a_limit_and_languages_bound_what_a_teacher_is_asked(folder):
    folder.stage["teachers"]["ana"] |= {"limit": 5, "languages": ["en", "de"]}
    folder.run()
    asked = folder.notes("ana")
    assert len(asked) == 5
    assert all(int(id[2:]) % 3 < 2 for id in asked)
    assert len(folder.notes("bo")) == 24
    routed = folder.measures("arbitrage.routes")["routed"]
    assert sum(routed["ana"].values()) == 5
    assert routed["bo"] == dict.fromkeys(sorted(LANGUAGES), 8)


def test_the_account_adds_up(folder):
    folder.run()
    report = json.loads((folder.out / "report.json").read_text())
    account = report["sections"]["arbitrage"]["data"]
    assert account["prompts"] == account["best"] == 24
    for name in ("ana", "bo"):
        total, parts = account["teachers"][name], account["by_language"][name].values()
        for key in ("asked", "answers", "scored", "won", "tokens"):
            assert total[key] == sum(row[key] for row in parts)
        assert total["asked"] == total["answers"] == total["scored"] == 24
        assert total["tokens"] == 48
        assert total["details"] == {"odd": 1.0}
        assert total["seconds"] == pytest.approx(sum(row["seconds"] for row in parts), abs=0.01)
    assert sum(sum(by.values()) for by in account["wins"].values()) == 24
    best = {row.prompt.id: row for row in read_rows(folder.payload("arbitrage.best"), Demonstration)}
    margins = [
        pair.margin
        for pair in read_rows(folder.payload("arbitrage.pairs"), Preference)
        if best[pair.prompt.id].source == "ana"
    ]
    assert account["teachers"]["ana"]["mean_margin"] == pytest.approx(sum(margins) / len(margins))
    picture = (folder.out / "pictures" / "arbitrage.svg").read_text()
    assert picture.count("<title>ana: ") + picture.count("<title>bo: ") >= 3


def test_a_warning_tells_where_scores_do_not_separate(folder):
    folder.ask(range(90))
    folder.stage["arbiter"] = {"use": "failing", "notes": str(folder.path / "judged"), "stop": "nowhere"}
    folder.stage["teachers"] = {"ana": folder.teacher("ana"), "bob": folder.teacher("bob")}
    folder.run()
    warnings = json.loads((folder.out / "report.json").read_text())["sections"]["arbitrage"]["data"]["warnings"]
    assert len(warnings) == 3
    assert "equal on 100% of 30 prompts" in warnings[0]


def test_caps_bound_teachers_and_languages_and_count_what_they_drop(folder):
    folder.ask(range(300))
    folder.stage["arbiter"] = {"use": "scaled", "notes": str(folder.path / "judged")}
    folder.stage["teachers"] = {"long": folder.teacher("long, very long"), "bo": folder.teacher("bo")}
    folder.stage["pick"] = {"most_per_language": 40}
    folder.run()
    rows = list(read_rows(folder.payload("arbitrage.best"), Demonstration))
    assert Counter(row.prompt.language for row in rows) == dict.fromkeys(LANGUAGES, 40)
    (drop, *_) = folder.measures("arbitrage.best")["dropped"]
    assert drop == {
        "reason": "over the cap of its language or teacher",
        "language": "de",
        "teacher": "long",
        "count": 60,
    }


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"id": "a", "language": "xx1", "prompt": "?"}], ["prompts.jsonl:1", "unknown language code 'xx1'"]),
        ([{"id": "a", "language": "en"}], ["prompts.jsonl:1", "no prompt"]),
        ([{"id": "a", "language": "en", "prompt": "  "}], ["prompts.jsonl:1", "the prompt is empty"]),
        ([{"id": "a", "language": "en", "prompt": "?"}] * 2, ["prompts.jsonl:2", "id 'a' was used before"]),
    ],
)
def test_bad_prompts_are_named_before_anybody_is_asked(folder, rows, expected):
    (folder.path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    output = folder.run(check=2).stderr
    assert "Traceback" not in output
    for words in expected:
        assert words in output.replace("\n", " ")
    assert not folder.notes("ana")


def test_a_stage_can_be_made_of_options_and_exported(folder, aya):
    answers = [
        {"id": f"p-{n}", "model": m, "answer": f"{m} {'x' * (n % 4 + len(m))}"}
        for n in range(24)
        for m in ("one", "three")
    ]
    table = pyarrow.Table.from_pylist(answers)
    pyarrow.parquet.write_table(table, folder.path / "answers.parquet")
    words = [
        "--prompts",
        "prompts.jsonl",
        "--arbiter",
        "consensus,beta=1",
        "--set",
        "stages.arbitrage.pick.rejected=runner-up",
    ]
    for model in ("one", "three"):
        words += ["--teacher", f"{model}=recorded,path=answers.parquet,model={model}"]
    output = aya("arbitrate", *words, "--out", folder.out, "--jsonl", "--json", cwd=folder.path, check=0)
    assert json.loads(output.stdout)["teachers"]["one"]["answers"] == 24
    best = [json.loads(line) for line in (folder.out / "best.jsonl").read_text().splitlines()]
    assert len(best) == 24
    assert best[0]["completion"][0]["role"] == "assistant"
    exported = aya("export", folder.out, "arbitrage.best", cwd=folder.path, check=0).stdout
    assert [json.loads(line) for line in exported.splitlines()] == best
    assert "did you mean 'arbitrage.best'" in aya("export", folder.out, "arbitrage.bst", check=2).stderr


def account(folder):
    return json.loads((folder.out / "report.json").read_text())["sections"]["arbitrage"]["data"]
