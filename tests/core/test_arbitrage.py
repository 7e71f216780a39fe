"""The arbitrage stage: what was asked and judged once stands, whatever happens and whatever joins later."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.artifacts import read_rows
from aya_core.records import Completion, Demonstration, Judged, Preference

HERE = Path(__file__).parent
LANGUAGES = ("en", "de", "tr")


class Folder:
    """A folder with a recipe whose teachers and arbiter take notes."""

    def __init__(self, path, aya):
        self.path, self.aya, self.out = path, aya, path / "out"
        shutil.copy(HERE / "noting_plugin.py", path)
        self.stop = path / "stop"
        self.raw = {
            "name": "noting",
            "languages": list(LANGUAGES),
            "plugins": ["noting_plugin.py"],
            "stages": [
                {
                    "name": "arbitrage",
                    "do": "arbitrage",
                    "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
                    "teachers": {"ana": self.teacher("ana"), "bo": self.teacher("bo")},
                    "arbiter": {"use": "judging", "notes": str(path / "judged")},
                }
            ],
        }
        self.ask(range(24))

    @property
    def stage(self):
        return self.raw["stages"][0]

    def teacher(self, name, **more):
        return {"use": "noting", "notes": str(self.path / name), "word": f"{name} ", **more}

    def ask(self, numbers):
        rows = [{"id": f"p-{n}", "language": LANGUAGES[n % 3], "prompt": f"What is {n}?"} for n in numbers]
        (self.path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def write(self):
        recipe = self.path / "recipe.json"
        recipe.write_text(json.dumps(self.raw))
        return recipe

    def run(self, *words, check=0, out=None):
        return self.aya("run", self.write(), "--out", out or self.out, "-q", *words, check=check)

    def notes(self, name):
        """What was noted since the last look."""
        path = self.path / name
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def forget(self):
        for name in ("ana", "bo", "cem", "judged"):
            self.notes(name)

    def payload(self, node, out=None):
        (folder,) = [f for f in (out or self.out).glob(f"artifacts/{node}/*") if f.suffix == "" and self.is_newest(f)]
        return folder / "payload"

    def is_newest(self, folder):
        return folder == max(folder.parent.glob("????????????"), key=lambda f: f.stat().st_mtime_ns)

    def measures(self, node):
        return json.loads((self.payload(node).parent / "artifact.json").read_text())["measures"]

    def answers(self, name, out=None):
        return list(read_rows(self.payload(f"arbitrage.answers@{name}", out), Completion))


@pytest.fixture
def folder(tmp_path, aya):
    return Folder(tmp_path, aya)


def test_prompts_that_are_added_later_cost_only_themselves(folder):
    folder.run()
    folder.forget()
    folder.ask([30, *range(20), 31, *range(20, 24), 32])  # at the ends and in between
    folder.run()
    assert sorted(folder.notes("ana")) == sorted(folder.notes("bo")) == ["p-30", "p-31", "p-32"]
    assert sorted(folder.notes("judged")) == ["p-30 2", "p-31 2", "p-32 2"]
    assert folder.measures("arbitrage.answers@ana")["taken_over"] == 24
    folder.run(out=folder.path / "afresh")
    for name in ("ana", "bo"):
        assert folder.answers(name) == folder.answers(name, folder.path / "afresh")
    assert next(row.prompt.id for row in read_rows(folder.payload("arbitrage.best"), Demonstration)) == "p-30"


def test_a_prompt_that_changes_is_asked_again(folder):
    folder.run()
    folder.forget()
    text = (folder.path / "prompts.jsonl").read_text()
    (folder.path / "prompts.jsonl").write_text(text.replace("What is 5?", "What is five?"))
    folder.run()
    assert folder.notes("ana") == ["p-5"]
    assert folder.notes("judged") == ["p-5 2"]


def test_a_teacher_that_joins_moves_no_other(folder):
    folder.run()
    folder.forget()
    folder.stage["teachers"]["cem"] = folder.teacher("cem")
    folder.run()
    assert (len(folder.notes("ana")), len(folder.notes("bo")), len(folder.notes("cem"))) == (0, 0, 24)
    assert Counter(line.split()[1] for line in folder.notes("judged")) == {"3": 24}


def test_an_arbiter_that_judges_each_answer_alone_judges_only_the_new_ones(folder):
    folder.stage["arbiter"]["use"] = "judging-alone"
    folder.run()
    folder.forget()
    folder.stage["teachers"]["cem"] = folder.teacher("cem")
    folder.run()
    assert Counter(line.split()[1] for line in folder.notes("judged")) == {"1": 24}
    rows = list(read_rows(folder.payload("arbitrage.verdicts"), Judged))
    assert [row.completion.teacher for row in rows[:3]] == ["ana", "bo", "cem"]


def test_changing_the_arbiter_asks_no_teacher(folder):
    folder.run()
    folder.forget()
    folder.stage["arbiter"] = {"use": "scaled", "notes": str(folder.path / "judged")}
    folder.run()
    assert not folder.notes("ana")
    shown = folder.notes("judged")
    assert sorted(shown) == sorted(f"shown p-{n}" for n in range(24))
    folder.ask([*range(23, -1, -1)])  # in another order, the same cases are shown in the same order
    folder.run(out=folder.path / "backwards")
    assert folder.notes("judged") == shown


def test_what_is_incidental_redoes_nothing(folder):
    folder.run()
    folder.forget()
    folder.stage["teachers"]["ana"]["speed"] = 9
    folder.run()
    assert not folder.notes("ana")
    folder.stage["teachers"]["ana"]["word"] = "other "
    folder.run()
    assert len(folder.notes("ana")) == 24


def test_other_sampling_settings_are_other_answers(folder):
    folder.run()
    first = folder.answers("ana")
    folder.forget()
    folder.stage["sampling"] = {"seed": 5, "n": 2}
    folder.run()
    assert len(folder.notes("ana")) == 24
    assert [a.index for a in folder.answers("ana")] == [0, 1] * 24
    assert not {a.text for a in first} & {a.text for a in folder.answers("ana")}
    folder.run("--set", "seed=9", out=folder.path / "other")  # a sampling seed of its own is not the recipe's
    assert folder.answers("ana", folder.path / "other") == folder.answers("ana")


def test_when_a_teacher_dies_the_others_still_answer_and_what_it_said_is_kept(folder):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {
        "dies": 5,
        "stop": str(folder.stop),
    }  # which makes it slow enough for the journal
    told = folder.run(check=2).stderr
    assert "stages.arbitrage: step 'arbitrage.answers@ana' failed: RuntimeError: the engine is gone" in told
    assert len(folder.notes("ana")) == 5
    assert len(folder.notes("bo")) == 24
    assert not folder.notes("judged")
    folder.stop.unlink()
    for _ in range(2):  # each try gets five further
        folder.run(check=2)
        assert len(folder.notes("ana")) == 5
    assert not folder.notes("bo")


def test_every_answer_before_a_kill_is_kept(folder):
    folder.run(out=folder.path / "undisturbed")
    folder.forget()
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "most": 7}
    command = [sys.executable, "-m", "aya_core", "run", str(folder.write()), "--out", str(folder.out), "-q"]
    run = subprocess.Popen(command, start_new_session=True)
    try:
        journal = wait_for(lambda: [f for f in folder.out.glob("artifacts/**/work/journal-*.jsonl") if lines(f) == 7])
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    with journal[0].open("ab") as file:
        file.write(b'[123, [["p-')  # as a kill in the middle of a line leaves it
    folder.stop.unlink()
    assert len(folder.notes("ana")) == 7
    folder.run()
    assert sorted(folder.notes("ana")) == sorted(f"p-{n}" for n in range(7, 24))
    texts = [answer.text for answer in folder.answers("ana")]
    assert texts == [answer.text for answer in folder.answers("ana", folder.path / "undisturbed")]
    assert not list(folder.out.glob("artifacts/**/work"))


def test_answers_of_a_killed_run_stand_when_prompts_are_added_before_the_next(folder):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "most": 7}
    command = [sys.executable, "-m", "aya_core", "run", str(folder.write()), "--out", str(folder.out), "-q"]
    run = subprocess.Popen(command, start_new_session=True)
    try:
        wait_for(lambda: [f for f in folder.out.glob("artifacts/**/work/journal-*.jsonl") if lines(f) == 7])
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    folder.stop.unlink()
    folder.forget()
    folder.ask([99, *range(24)])
    folder.run()
    assert sorted(folder.notes("ana")) == sorted(["p-99", *(f"p-{n}" for n in range(7, 24))])


def test_a_damaged_shard_of_a_killed_run_is_made_again(folder):
    folder.run()
    whole = folder.payload("arbitrage.answers@ana").parent
    partial = whole.with_name(whole.name + ".partial")
    whole.rename(partial)
    (partial / "artifact.json").unlink()
    shard = partial / "payload" / "rows-00000000.parquet"
    expected = shard.read_bytes()
    shard.write_bytes(expected[: len(expected) // 2])
    folder.run()
    assert (folder.payload("arbitrage.answers@ana") / shard.name).read_bytes() == expected


def test_a_damaged_shard_of_finished_work_is_named(folder):
    folder.run()
    shard = folder.payload("arbitrage.answers@ana") / "rows-00000000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    told = folder.run(check=2).stderr
    assert "rows-00000000.parquet" in told
    assert "delete" in told


def test_asking_again_asks_only_what_had_no_answer(folder):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "leaves_out": "5"}
    folder.run()
    assert folder.measures("arbitrage.answers@ana")["unanswered"] == 2
    folder.stop.unlink()
    folder.forget()
    folder.run()
    assert not folder.notes("ana")  # what stands stands
    folder.aya("arbitrate", folder.write(), "--out", folder.out, "-q", "--ask-again", check=0)
    assert folder.notes("ana") == ["p-5", "p-15"]
    assert folder.measures("arbitrage.answers@ana")["unanswered"] == 0
    assert len(folder.answers("ana")) == 24


def test_asking_again_judges_again_where_an_answer_stays_missing(folder):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "leaves_out": "5"}
    folder.stage["arbiter"] = {
        "use": "failing",
        "notes": str(folder.path / "judged"),
        "stop": str(folder.path / "down"),
    }
    (folder.path / "down").touch()
    folder.run()
    (folder.path / "down").unlink()
    folder.forget()
    folder.aya("arbitrate", folder.write(), "--out", folder.out, "-q", "--ask-again", check=0)
    assert folder.measures("arbitrage.answers@ana")["unanswered"] == 2
    assert sorted(folder.notes("judged")) == sorted(f"p-{n}" for n in range(0, 24, 3))
    assert "failed" not in folder.measures("arbitrage.verdicts")


def test_some_samples_of_a_prompt_are_no_answer_but_are_not_lost(folder):
    folder.stop.touch()
    folder.stage["sampling"] = {"n": 3}
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "halves": "5"}
    folder.run()
    assert folder.measures("arbitrage.answers@ana")["unanswered"] == 4
    folder.forget()
    folder.aya("arbitrate", folder.write(), "--out", folder.out, "-q", "--ask-again", check=0)
    assert folder.notes("ana") == ["p-5", "p-15"]
    assert len(folder.answers("ana")) == 24 * 3 - 4
    folder.stop.unlink()
    folder.forget()
    folder.aya("arbitrate", folder.write(), "--out", folder.out, "-q", "--ask-again", check=0)
    assert folder.notes("ana") == ["p-5", "p-15"]
    assert len(folder.answers("ana")) == 24 * 3


def test_a_success_goes_before_an_older_failure(folder):
    folder.stop.touch()
    folder.stage["arbiter"] = {"use": "failing", "notes": str(folder.path / "judged"), "stop": str(folder.stop)}
    folder.run()
    folder.stop.unlink()
    folder.ask(range(30))
    folder.run()
    folder.forget()
    folder.ask(range(31))
    folder.run()
    assert folder.notes("judged") == ["p-30"]


@pytest.mark.parametrize("name", ["rows.seconds", "made_by"])
def test_a_note_cut_short_by_a_kill_does_no_harm(folder, name):
    folder.run()
    whole = folder.payload("arbitrage.answers@ana").parent
    partial = whole.with_name(whole.name + ".partial")
    whole.rename(partial)
    (partial / "artifact.json").unlink()
    (partial / "work").mkdir()
    (partial / "work" / f".{name}.partial").write_text("")
    other = whole.with_name("0123456789ab.partial")
    other.mkdir()
    (other / "artifact.json").write_text('{"half')
    folder.forget()
    folder.run()
    assert not folder.notes("ana")


def test_meta_is_part_of_the_question_and_the_reference_of_the_case(folder):
    rows = [{"id": f"p-{n}", "language": "en", "prompt": "?", "persona": "a king", "reference": None} for n in range(4)]

    def write():
        (folder.path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    folder.stage["prompts"]["columns"] = {"meta": ["persona"]}
    write()
    folder.run()
    folder.forget()
    rows[0]["reference"] = ""
    write()
    folder.run()
    assert (folder.notes("ana"), folder.notes("judged")) == ([], ["p-0 2"])
    rows[1]["persona"] = "a fool"
    write()
    folder.run()
    assert (folder.notes("ana"), folder.notes("judged")) == (["p-1"], ["p-1 2"])


def test_half_a_character_is_named_in_prompts_and_mended_in_answers(folder):
    folder.stage["teachers"]["ana"]["breaks"] = True
    folder.run()
    assert all(answer.text.endswith("?") for answer in folder.answers("ana"))
    (folder.path / "prompts.jsonl").write_text(json.dumps({"id": "p", "language": "en", "prompt": "cut \ud83d"}))
    told = folder.run(check=2).stderr.replace("\n", " ")
    assert "prompts.jsonl:1: holds half a character" in told


def test_a_control_asks_teachers_only_what_they_were_asked(folder):
    folder.stage["teachers"]["ana"]["languages"] = ["en"]
    control = {"name": "control", "do": "arbitrage", "answers": "arbitrage", "router": {"use": "random"}}
    folder.raw["stages"].append({**control, "arbiter": folder.stage["arbiter"]})
    folder.run()
    account = json.loads((folder.out / "report.json").read_text())["arbitrage"]["control"]
    assert account["by_language"]["ana"].keys() == {"en"}
    assert account["best"] == 24


def test_a_language_in_which_nothing_wins_is_in_the_account(folder):
    folder.stage["arbiter"] = {"use": "language-shy", "language": "de"}
    folder.run()
    account = json.loads((folder.out / "report.json").read_text())["arbitrage"]["arbitrage"]
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


def test_verdicts_that_failed_are_judged_again_on_demand(folder):
    folder.stop.touch()
    folder.stage["arbiter"] = {"use": "failing", "notes": str(folder.path / "judged"), "stop": str(folder.stop)}
    folder.run()
    assert folder.measures("arbitrage.verdicts")["failed"] == 16
    folder.stop.unlink()
    folder.forget()
    folder.aya("arbitrate", folder.write(), "--out", folder.out, "-q", "--ask-again", check=0)
    assert sorted(folder.notes("judged")) == sorted(f"p-{n}" for n in range(0, 24, 3))
    assert "failed" not in folder.measures("arbitrage.verdicts")


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
    account = report["arbitrage"]["arbitrage"]
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
    warnings = json.loads((folder.out / "report.json").read_text())["arbitrage"]["arbitrage"]["warnings"]
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
    told = folder.run(check=2).stderr
    assert "Traceback" not in told
    for words in expected:
        assert words in told.replace("\n", " ")
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
    told = aya("arbitrate", *words, "--out", folder.out, "--jsonl", "--json", cwd=folder.path, check=0)
    assert json.loads(told.stdout)["teachers"]["one"]["answers"] == 24
    best = [json.loads(line) for line in (folder.out / "best.jsonl").read_text().splitlines()]
    assert len(best) == 24
    assert best[0]["completion"][0]["role"] == "assistant"
    exported = aya("export", folder.out, "arbitrage.best", cwd=folder.path, check=0).stdout
    assert [json.loads(line) for line in exported.splitlines()] == best
    assert "did you mean 'arbitrage.best'" in aya("export", folder.out, "arbitrage.bst", check=2).stderr


def account(folder):
    return json.loads((folder.out / "report.json").read_text())["arbitrage"]["arbitrage"]


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found
