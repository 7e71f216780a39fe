"""A run folder is a record: it is read without the plugins that made it, as far as it is whole, and nothing in it is lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_folders import (
    cut,
    damage_of,
    exchange,
    files_of,
    flip,
    folder_of,
    readers,
    refused,
    replied,
    resealed,
    restore_steps,
)

from aya_core.contract.artifacts import MANIFEST
from aya_core.contract.durable import write_sealed
from aya_core.running.record import RunRecord

AYA = (sys.executable, "-P", "-m", "aya_core")

EVIL = """
from pathlib import Path

Path({trace!r}).touch()
raise SystemExit("evil.py was run")
"""


def test_the_plugin_of_a_run_is_not_needed_to_read_it(done, cheap, aya):
    before = replied(aya, done)
    cheap.with_name("cheap_plugin.py").unlink()
    assert replied(aya, done) == before
    cheap.with_name("cheap_plugin.py").write_text("this is no Python")
    assert replied(aya, done) == before


@pytest.mark.parametrize("inside", [False, True], ids=["from-elsewhere", "from-inside"])
def test_no_code_that_lies_in_a_run_folder_is_run(done, aya, tmp_path, inside):
    before, trace = replied(aya, done), tmp_path / "trace"
    for place in (done, done.parent):
        (place / "evil.py").write_text(EVIL.format(trace=str(trace)))
        (place / "recipe.yaml").write_text("name: cheap\nplugins: [evil.py]\nstages: []\n")
    resealed(done / "run.json", folder=str(done), source=str(done / "recipe.yaml"))
    output = replied(aya, done, cwd=done if inside else None)
    assert [line.partition(": ")[0] for line in damage_of(aya, done)] == [str(done / "recipe.yaml")]
    aya("prune", done, check=0)
    assert not trace.exists()
    assert output == before
    assert (
        "evil.py was run" in aya("plan", done / "recipe.yaml", check=2).stderr
    )  # so would the others, had they read it


@pytest.mark.parametrize("code", ["print('here I am')", "raise RuntimeError('out of order')"], ids=["prints", "fails"])
def test_a_strange_plugin_disturbs_no_reader(done, tmp_path, code):
    """One that is installed, and whose distribution is not aya-core."""
    about = tmp_path / "site" / "strange-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[aya]\nstrange = strange\n")
    (about.parent / "strange.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(about.parent), "COLUMNS": "200"}

    def run(*words):
        return subprocess.run([*AYA, *map(str, words)], capture_output=True, text=True, env=environment, check=False)

    assert "strange" in run("strategies").stderr
    for words in readers(done)[:3]:
        output = run(*words)
        assert (output.returncode, output.stderr) == (0, "")
        assert output.stdout.startswith("{")


def test_a_run_of_another_version_is_read(done, aya):
    """The version is of the plan, and its hash names the lines of the journal."""
    before = aya("status", done, "--json", check=0).stdout
    places = {id: artifact.folder for id, artifact in RunRecord.read(done).standing.items()}
    resealed(done / "plan.json", aya_core="0.0.7+other")
    assert RunRecord.read(done).standing == {}
    restore_steps(done, places)
    assert replied(aya, done)[0] == before.replace(f'"{json.loads(before)["aya_core"]}"', '"0.0.7+other"')
    assert json.loads((done / "report.json").read_text())["aya_core"] == "0.0.7+other"


def grow_old(file):
    resealed(file, format=9, aya_core="7.0")


@pytest.mark.parametrize("name", ["plan.json", "run.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no {name} here; "),
        (cut, "{file}: damaged: it does not end with the hash of what stands before it; "),
        (flip, "{file}: damaged: it does not end with the hash of what stands before it; "),
        (lambda file: file.write_bytes(b""), "{file}: damaged"),
        (lambda file: write_sealed(file, {"recipe": []}), "{file}: recipe: Input should be a valid string; "),
        (grow_old, "{file}: has format 9, this version (aya-core "),
    ],
    ids=["missing", "cut", "flipped", "empty", "other", "newer"],
)
def test_a_record_that_cannot_be_read_is_told_in_one_line(done, aya, name, damage, message):
    damage(done / name)
    before = files_of(done)
    for words in readers(done):
        assert message.format(name=name, file=done / name) in refused(aya(*words, check=2))
    assert files_of(done) == before


def test_a_damaged_line_costs_its_step_only_and_is_said(done, aya):
    lines = (done / "steps.jsonl").read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("/", "|", 1)
    (done / "steps.jsonl").write_text("".join(lines))
    output = aya("status", done, "--json", check=0)
    stages = json.loads(output.stdout)["stages"].values()
    assert sum(stage["steps"] - stage["done"] for stage in stages) == 1
    assert f"{done / 'steps.jsonl'}: damaged lines: 1 (the first is line 5)" in output.stderr
    assert "knows 72 steps, of which 1 do not stand" in aya("report", done, check=1).stderr


@pytest.mark.parametrize("loss", [Path.unlink, lambda file: file.write_bytes(os.urandom(500))], ids=["gone", "garbage"])
def test_without_its_journal_a_run_is_as_if_nothing_stood(done, aya, loss):
    before = files_of(done)
    loss(done / "steps.jsonl")
    assert {
        stage["done"] for stage in json.loads(aya("status", done, "--json", check=0).stdout)["stages"].values()
    } == {0}
    assert "is not made yet" in aya("export", done, "arbitrage.pairs", check=2).stderr
    aya("report", done, check=1)
    aya("prune", done, "--yes", check=0)  # which does not know what is needed
    changed = {path.name for path, data in before.items() if not path.exists() or path.read_bytes() != data}
    assert changed - {".lock"} == {"steps.jsonl"}


def test_a_killed_run_is_read_as_far_as_it_came(edit, aya, tmp_path):
    wait, out = tmp_path / "wait", tmp_path / "out"
    wait.touch()

    def later(raw):
        stages = {stage["name"]: stage for stage in raw["stages"]}
        stages["sft"]["trainer"]["wait"] = str(wait)

    run = subprocess.Popen([*AYA, "run", edit(later), "--out", out, "-q"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(out.glob("artifacts/sft@*/*.partial/payload/half-made")):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.02)
    finally:
        run.kill()
        run.wait()
        wait.unlink()
    stages = json.loads(aya("status", out, "--json", check=0).stdout)["stages"]
    assert all(stages[name]["done"] == stages[name]["steps"] > 0 for name in ("base", "clever", "arbitrage"))
    assert stages["blend"]["done"] == 0
    report = json.loads(aya("report", out, "--json", check=0).stdout)
    assert report["sections"]["arbitrage"]["data"]["teachers"]["clever"]["won"] > 0
    rows = aya("export", out, "arbitrage.pairs", check=0).stdout.splitlines()
    assert rows
    assert all(json.loads(row)["chosen"] for row in rows)
    assert "is not made yet" in aya("export", out, "offline.data@west", check=2).stderr


def test_readers_do_not_take_an_artifact_for_that_of_another_step(done, aya):
    exchange(folder_of(done, "arbitrage.best"), folder_of(done, "arbitrage.pairs"))
    exchanged = ("arbitrage.best", "arbitrage.pairs")
    status, report, *others = readers(done)
    for words in others:
        assert "holds the artifact that belongs in arbitrage." in refused(aya(*words, check=2))
    stages = json.loads(aya(*status, check=0).stdout)["stages"]
    assert stages["arbitrage"]["steps"] - stages["arbitrage"]["done"] == 2
    assert "report.json is left as it is: it knows 72 steps, of which 2 do not stand" in aya(*report, check=1).stderr
    assert not RunRecord.read(done).standing.keys() & set(exchanged)


def test_one_damaged_manifest_costs_status_and_report_its_own_step_alone(done, aya):
    manifest = folder_of(done, "clever") / MANIFEST
    flip(manifest)
    fault = f"{manifest}: damaged: it does not end with the hash of what stands before it; delete {manifest.parent} and run again"
    status = aya("status", done, check=0)
    (line,) = [line for line in status.stdout.splitlines() if line.startswith("damaged: ")]
    assert line.startswith(f"damaged: {fault}")
    found = json.loads(aya("status", done, "--json", check=0).stdout)
    assert [one.startswith(fault) for one in found["damaged"]] == [True]
    left = {name: stage["steps"] - stage["done"] for name, stage in found["stages"].items()}
    assert {name: count for name, count in left.items() if count} == {"clever": left["clever"]}
    before = files_of(done)
    refusal = aya("report", done, check=1)
    assert f"aya: not counted as standing: {fault}" in refusal.stderr
    assert "report.json is left as it is" in refusal.stderr
    assert files_of(done) == before
    (done / "report.json").unlink()
    for _ in range(2):  # the second takes nothing from the first
        report = json.loads(aya("report", done, "--json", check=0).stdout)
        assert "clever" not in report["steps"]
        assert len(report["steps"]) == 72 - left["clever"]
        alerts = [block["text"] for block in report["sections"]["clever"]["blocks"] if block["block"] == "alert"]
        assert [text.startswith(fault) for text in alerts].count(True) == 1
    assert fault in aya("report", done, check=0).stdout.replace("\n", " ")
    assert "artifacts/clever" in (done / "report.html").read_text()
    assert fault in refused(aya("compare", f"{done}:base", f"{done}:online.3", check=2))
    aya("export", done, "arbitrage.pairs", check=0)


def test_a_damaged_artifact_stops_a_run_which_names_it_and_asks_for_nothing(done, cheap, aya):
    manifest = folder_of(done, "arbitrage.pairs") / MANIFEST
    flip(manifest)
    before = files_of(done)
    told = refused(aya("run", cheap, "--out", done, "-q", check=2))
    assert told.startswith(f"{manifest}: damaged")
    assert told.endswith(f"delete {manifest.parent} and run again to make it anew")
    changed = {path.name for path, data in files_of(done).items() if before.get(path) != data}
    assert changed <= {"run.json", "recipe.yaml", ".lock", "hashes.jsonl"}
