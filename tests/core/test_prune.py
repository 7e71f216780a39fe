"""`aya prune` deletes what no step needs, and no more."""

import json
from pathlib import Path

from run_folders import files_of, flip, folder_of_now

from aya_core.contract.artifacts import MANIFEST
from aya_core.running.record import RunRecord


def test_prune_deletes_nothing_of_a_step_whose_artifact_is_damaged(done, cheap, aya):
    aya("run", cheap, "--out", done, "-q", "--set", "stages.sft.trainer.off=3", check=0)
    damaged = {folder_of_now(done, step) for step in ("sft@west", "blend")}
    for folder in damaged:
        flip(folder / MANIFEST)
    beside = {path for folder in damaged for path in folder.parent.iterdir()}
    assert len(beside) > len(damaged)  # of both runs
    (done / "store").mkdir(exist_ok=True)
    (done / "store" / "kept").touch()
    output = aya("prune", done, "--yes", check=0)
    assert all(f"aya: left as it is: {folder / MANIFEST}: damaged" in output.stderr for folder in damaged)
    assert "an artifact that the plan does not name" in output.stdout  # of other steps
    assert all(path.exists() for path in beside)
    assert (done / "store" / "kept").exists()


def test_prune_deletes_what_the_last_plan_does_not_need_and_no_more(done, cheap, aya):
    aya("run", cheap, "--out", done, "-q", "--set", "stages.offline.objective={use: zero}", check=0)
    needed = set(done.glob("artifacts/*/*"))
    aya("run", cheap, "--out", done, "-q", "--set", "stages.sft.trainer.off=3", check=0)
    unneeded = needed - {artifact.folder for artifact in RunRecord.read(done).standing.values()}
    assert unneeded
    before = files_of(done)
    output = aya("prune", done, check=0).stdout.splitlines()
    assert {line.partition(" MB  ")[2].partition(": ")[0] for line in output[:-1]} == set(map(str, unneeded))
    assert output[-1].endswith(f"MB  in {len(unneeded)} files and folders; --yes deletes them")
    assert files_of(done) == before
    aya("prune", done, "--yes", check=0)
    kept = {path for path in before if not unneeded.intersection(path.parents)}
    assert {path for path in files_of(done) if path.name != ".lock"} == {path for path in kept if path.name != ".lock"}
    output = aya("plan", cheap, "--out", done, "--set", "stages.sft.trainer.off=3", check=0).stdout
    assert "72 stand, 0 to do" in output
    aya("verify", done, check=0)


def test_prune_of_a_clean_folder_says_so(done, aya):
    assert aya("prune", done, check=0).stdout == "nothing to delete\n"
    assert aya("prune", done, "--yes", check=0).stdout == "nothing to delete\n"
    assert json.loads(aya("prune", done, "--json", check=0).stdout)["unneeded"] == []
    (done / "report.before.md").touch()
    assert aya("prune", done, check=0).stdout.endswith("in 1 file or folder; --yes deletes them\n")


def test_prune_lists_earlier_reports_and_logs_of_steps_that_the_plan_does_not_name(done, cheap, aya):
    cheap.write_text(cheap.read_text().replace("online.1, online.2, online.3", "online.1, online.2"))
    aya("run", cheap, "--out", done, "-q", check=0)
    (done / "logs" / "trackers.log").touch()
    rows = json.loads(aya("prune", done, "--json", check=0).stdout)["unneeded"]
    reports = {str(done / f"report.before{suffix}") for suffix in (".json", ".md", ".html")}
    assert {row["path"] for row in rows if row["why"] == "an earlier report"} == reports
    assert all(row["bytes"] == Path(row["path"]).stat().st_size for row in rows if row["path"] in reports)
    logs = {row["path"] for row in rows if row["why"] == "the log of a step that the plan does not name"}
    steps = RunRecord.read(done).steps
    assert logs == {str(log) for log in (done / "logs").iterdir() if log.stem not in {*steps, "trackers"}}
    assert str(done / "logs" / "scores.right@online.3.log") in logs
    aya("prune", done, "--yes", check=0)
    assert not any(Path(row["path"]).exists() for row in rows)
    assert (done / "report.json").exists()
