"""A run folder is a record: it is read without the plugins that made it, as far as it is whole, and nothing in it is lost."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from aya_core.cli.recipe_argument import recipe_to_run
from aya_core.cli.run_plan import reporter_of
from aya_core.contract.artifacts import MANIFEST, stable_hash
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.journal import Journal
from aya_core.contract.reports import Alert, RunReport, Section
from aya_core.planning.registry import Registry
from aya_core.running.record import RunRecord
from aya_core.running.reporting import load_report, lost

AYA = (sys.executable, "-P", "-m", "aya_core")

EVIL = """
from pathlib import Path

Path({trace!r}).touch()
raise SystemExit("evil.py was run")
"""


def readers(out):
    """Commands that read a run and change nothing of it but its report."""
    return [
        ("status", out, "--json"),
        ("report", out, "--json"),
        ("export", out, "arbitrage.pairs"),
        ("compare", f"{out}:base", f"{out}:online.3", "--json"),
    ]


def said(aya, out, **options):
    """What the commands that read a run print."""
    return [aya(*words, check=0, **options).stdout for words in readers(out)]


def refused(told):
    """The one line with which a command was refused."""
    assert told.stdout == ""
    assert "Traceback" not in told.stderr
    (line,) = told.stderr.splitlines()
    return line.removeprefix("aya: ")


def resealed(file, **facts):
    """Change facts of a sealed file, as one does who knows how it is sealed."""
    known = read_sealed(file)
    known.pop("sha256", None)
    write_sealed(file, {**known, **facts})


def folder_of(out, step):
    (folder,) = out.glob(f"artifacts/{step}/*")
    return folder


def exchange(one, other):
    held = one.with_name("held")
    for source, target in ((one, held), (other, one), (held, other)):
        source.rename(target)


def files_of(out):
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_plugin_of_a_run_is_not_needed_to_read_it(done, cheap, aya):
    before = said(aya, done)
    cheap.with_name("cheap_plugin.py").unlink()
    assert said(aya, done) == before
    cheap.with_name("cheap_plugin.py").write_text("this is no Python")
    assert said(aya, done) == before


@pytest.mark.parametrize("inside", [False, True], ids=["from-elsewhere", "from-inside"])
def test_no_code_that_lies_in_a_run_folder_is_run(done, aya, tmp_path, inside):
    before, trace = said(aya, done), tmp_path / "trace"
    for place in (done, done.parent):
        (place / "evil.py").write_text(EVIL.format(trace=str(trace)))
        (place / "recipe.yaml").write_text("name: cheap\nplugins: [evil.py]\nstages: []\n")
    resealed(done / "run.json", folder=str(done), source=str(done / "recipe.yaml"))
    told = said(aya, done, cwd=done if inside else None)
    aya("verify", done, check=0)
    aya("prune", done, check=0)
    assert not trace.exists()
    assert told == before
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
        told = run(*words)
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith("{")


def test_a_run_of_another_version_is_read(done, aya):
    """The version is of the plan, and its hash names the lines of the journal."""
    before = aya("status", done, "--json", check=0).stdout
    places = {id: artifact.folder for id, artifact in RunRecord.read(done).standing.items()}
    resealed(done / "plan.json", aya_core="0.0.7+other")
    assert RunRecord.read(done).standing == {}
    restore_steps(done, places)
    assert said(aya, done)[0] == before.replace(f'"{json.loads(before)["aya_core"]}"', '"0.0.7+other"')
    assert json.loads((done / "report.json").read_text())["aya_core"] == "0.0.7+other"


def restore_steps(out, places):
    """Write the journal of a plan that was changed."""
    plan, journal = stable_hash(read_sealed(out / "plan.json")), Journal(out / "steps.jsonl")
    journal.remove()
    journal.write((id, [plan, f"{place.parent.name}/{place.name}"]) for id, place in places.items())
    journal.close()


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def grow_old(file):
    resealed(file, format=9, aya_core="7.0")


@pytest.mark.parametrize("name", ["plan.json", "run.json"])
@pytest.mark.parametrize(
    ("damage", "told"),
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
def test_a_record_that_cannot_be_read_is_told_in_one_line(done, aya, name, damage, told):
    damage(done / name)
    before = files_of(done)
    for words in readers(done):
        assert told.format(name=name, file=done / name) in refused(aya(*words, check=2))
    assert files_of(done) == before


def test_a_damaged_line_costs_its_step_only_and_is_said(done, aya):
    lines = (done / "steps.jsonl").read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("/", "|", 1)
    (done / "steps.jsonl").write_text("".join(lines))
    told = aya("status", done, "--json", check=0)
    stages = json.loads(told.stdout)["stages"].values()
    assert sum(stage["steps"] - stage["done"] for stage in stages) == 1
    assert f"{done / 'steps.jsonl'}: damaged lines: 1 (the first is line 5)" in told.stderr
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


def test_a_report_that_would_know_less_is_refused(done, cheap, aya):
    shutil.rmtree(folder_of(done, "scores.right@online.3"))
    before = files_of(done)
    told = aya("report", done, check=1)
    assert told.stdout == ""
    assert (
        "report.json is left as it is: it knows 72 steps, of which 1 do not stand, such as 'scores.right@online.3'"
        in (told.stderr)
    )
    assert files_of(done) == before
    aya("run", cheap, "--out", done, "-q", check=0)
    aya("report", done, check=0)


def test_a_run_keeps_the_report_before_where_its_own_knows_less(done, cheap, aya):
    whole = {name: (done / name).read_bytes() for name in ("report.json", "report.md", "report.html")}
    recipe = cheap.read_text()
    cheap.write_text(recipe.replace("online.1, online.2, online.3", "online.1, online.2"))
    told = aya("run", cheap, "--out", done, "-q", check=0).stderr
    assert f"the report before is kept as {done / 'report.before.json'}" in told
    cheap.write_text(recipe.replace("online.1, online.2, online.3", "online.1"))
    aya("run", cheap, "--out", done, "-q", check=0)
    for name, data in whole.items():  # the second that was kept did not replace it
        assert (done / name.replace("report", "report.before")).read_bytes() == data
    assert (done / "report.before1.json").exists()
    assert (
        "online.2"
        not in json.loads((done / "report.json").read_text())["sections"]["scores"]["data"]["stages"][-1]["name"]
    )


def test_a_failed_run_leaves_the_report_that_knows_more(done, edit, aya):
    before = (done / "report.json").read_bytes()

    def fail(raw):
        stages = {stage["name"]: stage for stage in raw["stages"]}
        stages["sft"]["trainer"] = {"use": "explosive"}

    told = aya("run", edit(fail), "--out", done, "-q", check=2).stderr
    assert "the engine is on fire" in told
    assert f"{done / 'report.json'} stays as it was" in told
    assert (done / "report.json").read_bytes() == before


def test_a_damaged_report_costs_no_run_its_own(done, cheap, aya):
    (done / "report.json").write_text("{")
    assert "damaged (JSONDecodeError); delete it, and `aya report" in refused(aya("report", done, check=2))
    told = aya("run", cheap, "--out", done, "-q", check=0).stderr
    assert f"kept as {done / 'report.before.json'}" in told
    assert (done / "report.before.json").read_text() == "{"
    assert json.loads((done / "report.json").read_text())["sections"]


def test_sections_of_plugins_that_are_gone_come_from_the_report_before(done, aya):
    without = {"AYA_DISABLE_PLUGINS": "aya-recipe"}
    before = json.loads((done / "report.json").read_text())
    assert json.loads(aya("report", done, "--json", check=0, env=without).stdout) == before
    (done / "report.json").unlink()
    alerts = json.loads(aya("report", done, "--json", check=0, env=without).stdout)["sections"]
    assert "is of the plugin that offers the stage 'evaluate', which is not loaded here" in str(
        alerts["scores"]["blocks"]
    )
    assert json.loads(aya("report", done, "--json", check=0).stdout)["sections"].items() >= before["sections"].items()


def test_a_section_that_only_says_what_is_wrong_knows_nothing():
    made, missing = (
        RunReport("cheap", 0, "1.0", 0.0, {}, {}, {"base": section})
        for section in (Section("base", {"loss": 1.0}), Section("base", {}, [Alert("no section")]))
    )
    assert lost(made, missing) == "it has the section 'base', which cannot be made now"
    assert lost(missing, made) is None
    assert lost(made, made) is None


def test_verify_counts_what_it_reads_and_lists_all_damage(done, aya):
    whole = json.loads(aya("verify", done, "--json", check=0).stdout)
    assert whole["artifacts"] == len(list(done.glob("artifacts/*/*"))) > 60
    assert whole["files"] > whole["artifacts"] / 2
    assert whole["bytes"] > 0
    assert whole["damage"] == []
    flip(folder_of(done, "base") / "payload" / "model.json")
    flip(folder_of(done, "clever") / MANIFEST)
    edited = folder_of(done, "scores.contamination") / MANIFEST
    edited.write_text(edited.read_text().replace('"exact": 12', '"exact": 0'))
    exchange(folder_of(done, "sft@west"), folder_of(done, "sft@east"))
    (folder_of(done, "blend") / "payload" / "model.json").unlink()
    (folder_of(done, "offline-blend") / "payload" / "more").touch()
    resealed(folder_of(done, "offline@west") / MANIFEST, kind="prompts")
    shutil.rmtree(folder_of(done, "offline@east"))
    steps = done / "steps.jsonl"
    steps.write_text(steps.read_text().replace('"base.data"', '"best.data"', 1))
    damage = json.loads(aya("verify", done, "--json", check=1).stdout)["damage"]
    for words in (
        "model.json: changed since it was written", f"{folder_of(done, 'clever') / MANIFEST}: damaged", f"{edited}: damaged",
        "holds the artifact that belongs in sft@west/", "holds the artifact that belongs in sft@east/",
        "missing from the artifact of 'blend'", "more: not part of the artifact of 'offline-blend'",
        "holds prompts, and the plan says that 'offline@west' is checkpoint", "missing; it stands for the step 'offline@east'",
        f"{steps}: damaged lines: 1",
    ):  # fmt: skip
        assert len([line for line in damage if words in line]) == 1, (words, damage)
    assert len(damage) == 10
    assert aya("verify", done, check=1).stdout.splitlines()[:-1] == damage


def test_verify_lists_a_damaged_record_beside_the_rest(done, aya):
    flip(done / "run.json")
    flip(done / "plan.json")
    damage = json.loads(aya("verify", done, "--json", check=1).stdout)["damage"]
    assert [Path(line.partition(": damaged")[0]).name for line in damage] == ["run.json", "plan.json"]
    (done / "run.json").unlink()
    assert "no run.json here" in refused(aya("verify", done, check=2))


def test_readers_do_not_take_an_artifact_for_that_of_another_step(done, aya):
    exchange(folder_of(done, "arbitrage.best"), folder_of(done, "arbitrage.pairs"))
    for words in readers(done):
        assert "holds the artifact that belongs in arbitrage." in refused(aya(*words, check=2))


def test_prune_deletes_what_the_last_plan_does_not_need_and_no_more(done, cheap, aya):
    aya("run", cheap, "--out", done, "-q", "--set", "stages.offline.objective={use: zero}", check=0)
    needed = set(done.glob("artifacts/*/*"))
    aya("run", cheap, "--out", done, "-q", "--set", "stages.sft.trainer.off=3", check=0)
    unneeded = needed - {artifact.folder for artifact in RunRecord.read(done).standing.values()}
    assert unneeded
    before = files_of(done)
    told = aya("prune", done, check=0).stdout.splitlines()
    assert {line.partition(" MB  ")[2].partition(": ")[0] for line in told[:-1]} == set(map(str, unneeded))
    assert told[-1].endswith(f"MB  in {len(unneeded)} files and folders; --yes deletes them")
    assert files_of(done) == before
    aya("prune", done, "--yes", check=0)
    kept = {path for path in before if not unneeded.intersection(path.parents)}
    assert {path for path in files_of(done) if path.name != ".lock"} == {path for path in kept if path.name != ".lock"}
    told = aya("plan", cheap, "--out", done, "--set", "stages.sft.trainer.off=3", check=0).stdout
    assert "72 stand, 0 to do" in told
    aya("verify", done, check=0)


def test_check_and_plan_want_a_recipe(cheap, aya, tmp_path):
    for command in ("check", "plan"):
        told = refused(aya(command, check=2, cwd=tmp_path))
        assert told == f"no recipe is named and there is no recipe.yaml here; expected: aya {command} RECIPE"
    cheap.rename(tmp_path / "recipe.yaml")
    assert aya("check", check=0, cwd=tmp_path).stdout == "recipe.yaml: sound; 9 stages, 72 steps\n"
    assert "72 steps, 0 stand, 72 to do" in aya("plan", check=0, cwd=tmp_path).stdout


def test_run_takes_the_recipe_that_is_here_before_the_one_that_comes_along(cheap, aya, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipe_to_run(()).recipe.name == "micro"
    cheap.rename(tmp_path / "recipe.yaml")
    assert recipe_to_run(()).recipe.name == "cheap"


def test_nothing_is_cut_in_narrow_columns(edit, aya, tmp_path):
    name = "-".join(["a-stage-with-a-name"] * 6)

    def rename(raw):
        raw["stages"] = [{**raw["stages"][0], "name": name}]

    out = tmp_path / "out"
    recipe = edit(rename)
    aya("run", recipe, "--out", out, "-q", check=0)
    narrow = {"COLUMNS": "80"}
    status, piped = (aya(command, out, check=0, env=narrow).stdout for command in ("status", "report"))
    terminal = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
    reporter_of(Registry(only_own=True)).show(load_report(out), terminal, whole=True)
    for told in (status, piped, terminal.file.getvalue()):
        assert "…" not in told
        assert name in re.sub(r"[^a-z-]", "", told)  # folded, between the lines of the table
    assert max(map(len, status.splitlines())) <= 80
