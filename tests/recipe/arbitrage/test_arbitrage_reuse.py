"""What was asked and judged once stands, whatever happens and whatever joins later."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from aya_core.contract.artifacts import read_rows
from aya_core.contract.journal import Journal
from aya_core.contract.records import Completion, Demonstration, Judged
from aya_core.running.asking.reuse import RowJournal, SealedShards, journal_file, with_key


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


def test_execution_settings_redo_nothing(folder):
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
    output = folder.run(check=2).stderr
    assert "stages.arbitrage: step 'arbitrage.answers@ana' failed: RuntimeError: the engine is gone" in output
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


@pytest.mark.parametrize("is_journal_left", [True, False])
def test_a_flipped_bit_in_a_shard_of_a_killed_run_is_found(folder, is_journal_left):
    """The footer is whole, so that only the bytes themselves tell."""
    folder.run()
    whole = folder.payload("arbitrage.answers@ana").parent
    partial = whole.rename(whole.with_name(whole.name + ".partial"))
    (partial / "artifact.json").unlink()
    (partial / "work").mkdir()
    (shard,) = (partial / "payload").iterdir()
    expected = shard.read_bytes()
    SealedShards.of(partial, "").seal(shard.name, shard)
    if is_journal_left:
        rows = {row.key: [row.row] for row in read_rows(shard, with_key(Completion))}
        journal = Journal(journal_file(partial / "work", "", shard.stem))
        journal.write([(key, [row.to_values() for row in rows]) for key, rows in rows.items()])
        journal.close()
    shard.write_bytes(expected[:100] + bytes([expected[100] ^ 4]) + expected[101:])
    folder.forget()
    folder.run()
    assert (folder.payload("arbitrage.answers@ana") / shard.name).read_bytes() == expected
    assert len(folder.notes("ana")) == (0 if is_journal_left else 24)
    assert folder.measures("arbitrage.answers@ana")["damaged"] == 1
    (aside,) = whole.with_name(whole.name + ".damaged").iterdir()
    assert f"{shard}: damaged" in (folder.out / "logs" / "arbitrage.answers@ana.log").read_text()
    assert aside.stat().st_size == len(expected)


def test_a_changed_line_of_a_journal_is_asked_again(folder):
    folder.run(out=folder.path / "undisturbed")
    folder.forget()
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "dies": 20}
    folder.run(check=2)
    (journal,) = folder.out.glob("artifacts/arbitrage.answers@ana/*/work/journal-*.jsonl")
    first, second, third, *rest = journal.read_text().splitlines()
    changed = [first.replace("ana ", "any "), second[:30] + "[" * 50_000, json.dumps([7, [[None]]]), third, *rest]
    journal.write_text("\n".join(changed) + "\n")
    folder.stop.unlink()
    folder.forget()
    folder.run()
    assert len(folder.notes("ana")) == 24 - 18
    assert folder.measures("arbitrage.answers@ana")["damaged"] == 3
    texts = [answer.text for answer in folder.answers("ana")]
    assert texts == [answer.text for answer in folder.answers("ana", folder.path / "undisturbed")]


def test_a_damaged_shard_of_finished_work_is_named(folder):
    folder.run()
    shard = folder.payload("arbitrage.answers@ana") / "rows-00000000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    output = folder.run(check=2).stderr
    assert "rows-00000000.parquet" in output
    assert "delete" in output


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


@pytest.mark.parametrize("name", ["rows.seconds", "asked.json"])
def test_an_empty_note_as_a_machine_that_went_down_leaves_it_does_no_harm(folder, name):
    folder.run()
    whole = folder.payload("arbitrage.answers@ana").parent
    partial = whole.with_name(whole.name + ".partial")
    whole.rename(partial)
    (partial / "artifact.json").unlink()
    (partial / "work").mkdir()
    for shard in (partial / "payload").iterdir():
        SealedShards.of(partial, "").seal(shard.name, shard)
    (partial / "work" / name).write_text("")
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


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    "row",
    [7, "text", [], ["q", "ana", 0, 5, 3, 1, "stop", ""],
     ["q", "ana", "0", "x", 3, 1, "stop", ""], ["q", "ana", 2**70, "x", 3, 1, "stop", ""]],
    ids=str,
)  # fmt: skip
def test_rows_that_no_file_could_hold_are_asked_for_again(tmp_path, row):
    journal = Journal(tmp_path / "j")
    good = Completion("q", "ana", 0, "x", 3, 1, "stop", "")
    journal.write([(1, [good.to_values()]), (2, [row])])
    journal.close()
    rows = RowJournal(tmp_path / "j", Completion)
    assert rows.read() == {1: [good]}
    assert rows.damaged == 1
