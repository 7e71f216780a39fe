"""A run folder is a record: it is read without the plugins that made it, as far as it is whole, and nothing in it is lost."""

import hashlib
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

from aya_core.cli.arguments import recipe_to_run
from aya_core.cli.run_plan import reporter_of
from aya_core.contract.artifacts import MANIFEST, stable_hash
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.hashes import file_hash
from aya_core.contract.journal import Journal
from aya_core.contract.reports import Alert, RunReport, Section
from aya_core.planning import yaml12
from aya_core.planning.registry import Registry
from aya_core.running.record import RunRecord
from aya_core.running.reporting import load_report, lost
from aya_core.running.run_folder import Run

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


def replied(aya, out, **options):
    """What the commands that read a run print."""
    return [aya(*words, check=0, **options).stdout for words in readers(out)]


def refused(output):
    """The one line with which a command was refused."""
    assert output.stdout == ""
    assert "Traceback" not in output.stderr
    (line,) = output.stderr.splitlines()
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


def restore_steps(out, places):
    """Write the journal of a plan that was changed."""
    plan, journal = stable_hash(read_sealed(out / "plan.json")), Journal(out / "steps.jsonl")
    journal.remove()
    journal.write((id, [plan, f"{place.parent.name}/{place.name}"]) for id, place in places.items())
    journal.close()


def damage_of(aya, out):
    """What `aya verify` lists of a folder with damage."""
    return json.loads(aya("verify", out, "--json", check=1).stdout)["damage"]


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
    ("damage", "output"),
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
def test_a_record_that_cannot_be_read_is_told_in_one_line(done, aya, name, damage, output):
    damage(done / name)
    before = files_of(done)
    for words in readers(done):
        assert output.format(name=name, file=done / name) in refused(aya(*words, check=2))
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


def test_a_report_that_would_know_less_is_refused(done, cheap, aya):
    shutil.rmtree(folder_of(done, "scores.right@online.3"))
    before = files_of(done)
    output = aya("report", done, check=1)
    assert output.stdout == ""
    assert (
        "report.json is left as it is: it knows 72 steps, of which 1 do not stand, such as 'scores.right@online.3'"
        in (output.stderr)
    )
    assert files_of(done) == before
    aya("run", cheap, "--out", done, "-q", check=0)
    aya("report", done, check=0)


def test_a_run_keeps_the_report_before_where_its_own_knows_less(done, cheap, aya):
    whole = {name: (done / name).read_bytes() for name in ("report.json", "report.md", "report.html")}
    recipe = cheap.read_text()
    cheap.write_text(recipe.replace("online.1, online.2, online.3", "online.1, online.2"))
    output = aya("run", cheap, "--out", done, "-q", check=0).stderr
    assert f"the report before is kept as {done / 'report.before.json'}" in output
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

    output = aya("run", edit(fail), "--out", done, "-q", check=2).stderr
    assert "the engine is on fire" in output
    assert f"{done / 'report.json'} stays as it was" in output
    assert (done / "report.json").read_bytes() == before


def test_a_damaged_report_costs_no_run_its_own(done, cheap, aya):
    (done / "report.json").write_text("{")
    assert (
        "report.json: damaged: it does not end with the hash of what stands before it; delete it, and `aya report"
        in refused(aya("report", done, check=2))
    )
    output = aya("run", cheap, "--out", done, "-q", check=0).stderr
    assert f"kept as {done / 'report.before.json'}" in output
    assert (done / "report.before.json").read_text() == "{"
    assert json.loads((done / "report.json").read_text())["sections"]


def test_sections_of_plugins_that_are_gone_come_from_the_report_before(done, aya):
    without = {"AYA_DISABLE_PLUGINS": "aya-recipe"}
    before = read_sealed(done / "report.json")
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
    output = aya("verify", done, "--json", check=1)
    damage = json.loads(output.stdout)["damage"]
    assert output.stderr == ""  # a damaged line is told once
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
    (done / "plan.json").unlink()
    flip(folder_of(done, "base") / "payload" / "model.json")
    changed, run, plan = damage_of(aya, done)
    assert "model.json: changed since it was written" in changed
    assert run == f"{done / 'run.json'}: missing; restore it, or run the recipe again into another --out"
    assert "no plan.json here" in plan
    shutil.rmtree(done / "artifacts")
    assert "no run.json here; expected the --out folder of `aya run`" in refused(aya("verify", done, check=2))


def append(text):
    def change(file):
        file.write_text(file.read_text() + text)

    return change


@pytest.mark.parametrize(
    "change", [cut, flip, append("\n"), append("# mine\n")], ids=["cut", "flipped", "line", "comment"]
)
@pytest.mark.parametrize("name", ["recipe.yaml", "report.json", "run.json", "plan.json"])
def test_verify_finds_any_change_of_a_sealed_file_beside_the_artifacts(done, aya, name, change):
    change(done / name)
    (line,) = damage_of(aya, done)
    assert line.startswith(f"{done / name}: damaged: ")


def test_an_edited_report_is_damaged(done, aya):
    report = done / "report.json"
    report.write_text(report.read_text().replace('"won": ', '"won": 1', 1))
    (line,) = damage_of(aya, done)
    assert line.endswith(f"; delete it, and `aya report {done}` makes it again")
    report.unlink()
    aya("verify", done, check=0)  # it can be made again at any time
    aya("report", done, check=0)
    aya("verify", done, check=0)


def test_the_recipe_in_a_run_folder_can_be_run_and_a_missing_one_is_said(done, aya):
    aya("check", done / "recipe.yaml", check=2)  # its plugin lies elsewhere
    assert yaml12.read(done / "recipe.yaml")["name"] == "cheap"
    (done / "recipe.yaml").unlink()
    assert damage_of(aya, done) == [f"{done / 'recipe.yaml'}: missing; `aya run` writes it anew"]


def test_verify_finds_junk_among_the_hashes_of_files(done, aya):
    hashes = Journal(done / "hashes.jsonl")
    hashes.write([("model", [1, 2, 3, "hash"])])
    hashes.close()
    aya("verify", done, check=0)
    with (done / "hashes.jsonl").open("a") as file:
        file.write("junk\n")
    (line,) = damage_of(aya, done)
    assert line.startswith(f"{done / 'hashes.jsonl'}: damaged lines: 1 (the first is line ")


def unfinished(out):
    """Unfinished work and a store, as killed steps leave them; returns files of theirs that carry a checksum, by what is said of them."""
    partial, store = out / "artifacts" / "base" / "0123456789ab.partial", out / "store" / "kept"
    (partial / "payload" / "part").mkdir(parents=True)
    (partial / "work").mkdir()
    store.mkdir(parents=True)
    shard, lost = (partial / "payload" / "part" / f"rows-{index}.parquet" for index in range(2))
    shard.write_bytes(b"some rows")
    shards, answers, scores = (
        partial / "work" / name for name in ("shards-part.jsonl", "journal--0.jsonl", "search.jsonl")
    )
    for file, key, value in (
        (shards, shard.name, file_hash(shard)),
        (answers, 1, []),
        (scores, 1, 2),
        (store / "s.jsonl", 1, 2),
    ):
        journal = Journal(file)
        journal.write([(key, value), (2, 3)])
        journal.close()
    write_sealed(partial / "work" / "progress.json", {"step": 1})
    write_sealed(store / "sealed.json", {"is": "sealed"})
    tensors = store / f"{hashlib.sha256(b'tensors').hexdigest()[:32]}.safetensors"
    tensors.write_bytes(b"tensors")
    for plain in (
        partial / "log.jsonl",
        partial / "work" / "events.jsonl",
        partial / "work" / "asked.json",
        store / "key.json",
    ):
        plain.write_text('{"done": 1}\n')
    return {
        "its bytes are not those that were written": shard, f"{shards}: damaged lines: 1": shards, f"{answers}: damaged lines: 1": answers,
        f"{scores}: damaged lines: 1": scores, f"{store / 's.jsonl'}: damaged lines: 1": store / "s.jsonl",
        "progress.json: damaged": partial / "work" / "progress.json", "sealed.json: damaged": store / "sealed.json",
        "its bytes do not give its name": tensors,
    }, lost  # fmt: skip


def test_verify_reads_unfinished_work_and_the_store_where_they_carry_checksums(done, aya):
    files, lost = unfinished(done)
    aya("verify", done, check=0)
    lost.write_bytes(b"more rows")
    (line,) = damage_of(aya, done)
    assert line == f"{lost}: the hash of what was written is lost; `aya run` makes it again"
    lost.unlink()
    for said, file in files.items():
        whole = file.read_bytes()
        if file.suffix == ".jsonl":
            first, second = whole.splitlines(keepends=True)
            file.write_bytes(first + second.replace(b"3]", b"4]"))
        else:
            file.write_bytes(b"x" + whole[1:] if file.suffix == ".parquet" else whole + b"x")
        (line,) = damage_of(aya, done)
        assert said in line
        file.write_bytes(whole)
    aya("verify", done, check=0)


def test_verify_leaves_unfinished_work_alone_while_a_run_is_at_work(done, aya):
    _, lost = unfinished(done)
    lost.write_bytes(b"more rows")
    with Run(done).lock():
        assert (
            "not read: unfinished work and the store, as a run is at work (process "
            in aya("verify", done, check=0).stdout
        )
    assert len(damage_of(aya, done)) == 1


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


def folder_of_now(out, step):
    """Where the artifact of a step lies that stands."""
    return RunRecord.read(out).standing[step].folder


def test_a_damaged_artifact_stops_a_run_which_names_it_and_asks_for_nothing(done, cheap, aya):
    manifest = folder_of(done, "arbitrage.pairs") / MANIFEST
    flip(manifest)
    before = files_of(done)
    told = refused(aya("run", cheap, "--out", done, "-q", check=2))
    assert told.startswith(f"{manifest}: damaged")
    assert told.endswith(f"delete {manifest.parent} and run again to make it anew")
    changed = {path.name for path, data in files_of(done).items() if before.get(path) != data}
    assert changed <= {"run.json", "recipe.yaml", ".lock", "hashes.jsonl"}


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


def test_check_and_plan_want_a_recipe(cheap, aya, tmp_path):
    for command in ("check", "plan"):
        output = refused(aya(command, check=2, cwd=tmp_path))
        assert output == f"no recipe is named and there is no recipe.yaml here; expected: aya {command} RECIPE"
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
    for output in (status, piped, terminal.file.getvalue()):
        assert "…" not in output
        assert name in re.sub(r"[^a-z-]", "", output)  # folded, between the lines of the table
    assert max(map(len, status.splitlines())) <= 80
