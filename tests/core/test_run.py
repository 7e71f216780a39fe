"""Whole runs of the cheap recipe: reuse, kills, damage, and what goes wrong inside nodes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from aya_core.contract.artifacts import read_rows
from aya_core.contract.durable import read_sealed
from aya_core.contract.records import Demonstration, Preference
from aya_core.running.pool import WorkerPool


def stage(raw, name):
    return next(stage for stage in raw["stages"] if stage["name"] == name)


def payloads(out):
    """What every artifact of a run holds: content by node."""
    manifests = map(json.loads, (path.read_text() for path in out.glob("artifacts/*/*/artifact.json")))
    return {manifest["node"]: manifest["content"] for manifest in manifests}


def payload(out, node):
    (folder,) = out.glob(f"artifacts/{node}/*/payload")
    return folder


def test_a_run_ends_in_a_report_of_every_stage(done):
    report = json.loads((done / "report.json").read_text())
    scores = report["sections"]["scores"]["data"]
    assert [row["name"] for row in scores["stages"]] == [
        "base",
        "blend",
        "offline-blend",
        "online.1",
        "online.2",
        "online.3",
    ]
    assert [row["name"] for row in scores["controls"]] == ["clever"]
    last = scores["stages"][-1]
    assert {"score", "low", "high", "n", "greedy", "win_rate_vs_base", "gain"} <= set(last)
    assert sum(last["win_rate_vs_base"].values()) == pytest.approx(1)
    assert last["win_rate_vs_base"]["win"] > 0.9  # each stage brings the learner one nearer
    assert set(scores["languages"]) == {"de", "en", "tr"}
    assert report["sections"]["arbitrage"]["data"]["teachers"]["clever"]["won"] > 0
    rows = scores["table"]["contamination"]["evaluators"]["right"]["de"]
    assert rows == {"rows": 12, "exact": 12, "overlapping": 0}  # every sum is trained on
    assert report["seconds"] > 0
    assert "online.3" in (done / "report.md").read_text()
    assert "<h2>scores: what each stage gained</h2>" in (done / "report.html").read_text()


def test_best_and_pairs_are_what_the_arbiter_said(done):
    best = {row.prompt.id: row for row in read_rows(payload(done, "arbitrage.best"), Demonstration)}
    pairs = list(read_rows(payload(done, "arbitrage.pairs"), Preference))
    assert all(abs(int(row.completion) - int(row.prompt.reference)) <= 3 for row in best.values())
    for pair in pairs:
        assert pair.margin > 0
        assert pair.chosen != pair.rejected
        assert pair.chosen == best[pair.prompt.id].completion
        assert pair.prompt.language != "tr"  # there only one teacher is asked


def test_a_cluster_gets_its_share_of_other_languages(done):
    rows = list(read_rows(payload(done, "sft.data@west"), Demonstration))
    own = sum(row.prompt.language in ("de", "en") for row in rows)
    assert own / len(rows) == pytest.approx(0.8, abs=0.02)


def test_running_again_reuses_every_step(done, cheap, aya):
    before = {path: path.stat().st_mtime_ns for path in done.glob("artifacts/**/*")}
    output = aya("run", cheap, "--out", done, check=0)
    assert "72 of 72 steps stood already" in output.stderr
    assert {path: path.stat().st_mtime_ns for path in done.glob("artifacts/**/*")} == before


def test_changing_a_stage_redoes_it_and_what_follows_only(done, cheap, aya):
    aya("run", cheap, "--out", done, "-q", "--set", "stages.offline.trainer.off=5", check=0)
    assert len(list(done.glob("artifacts/offline@west/*"))) == 2
    assert len(list(done.glob("artifacts/sft@west/*"))) == 1
    assert len(list(done.glob("artifacts/offline-blend/*"))) == 1  # came out the same, so nothing after it is redone


def test_the_same_seed_gives_the_same_run_and_another_does_not(done, cheap, aya, tmp_path):
    aya("run", cheap, "--out", tmp_path / "again", "-q", "--set", "machine.jobs=1", check=0)
    assert payloads(tmp_path / "again") == payloads(done)
    aya("run", cheap, "--out", tmp_path / "other", "-q", "--set", "seed=4", "--until", "base", check=0)
    other = payloads(tmp_path / "other")
    assert other.keys() == {"base.data", "base"}
    for node, content in other.items():
        assert content != payloads(done)[node]


def test_until_stops_after_a_stage_and_goes_on_later(cheap, aya, tmp_path, done):
    out = tmp_path / "part"
    aya("run", cheap, "--out", out, "-q", "--until", "sft", check=0)
    assert payload(out, "sft@west")
    assert not list(out.glob("artifacts/blend/*"))
    aya("run", cheap, "--out", out, "-q", check=0)
    assert payloads(out) == payloads(done)
    assert "did you mean 'sft'" in aya("run", cheap, "--out", out, "--until", "sftt", check=2).stderr


def test_a_run_that_is_killed_is_finished_by_the_next(edit, aya, tmp_path, done):
    """The same recipe both times: the second attempt finds what the first left half-made."""
    wait, out = tmp_path / "wait", tmp_path / "killed"
    recipe = edit(lambda raw: stage(raw, "clever")["trainer"].update(wait=str(wait)))
    wait.touch()
    run = subprocess.Popen(
        [sys.executable, "-c", "from aya_core.cli import main; main()", "run", str(recipe), "--out", str(out), "-q"]
    )
    try:
        wait_for(lambda: list(out.glob("artifacts/clever/*.partial/payload/half-made")) and "base" in payloads(out))
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not children_of(out))  # the worker notices and takes its children along
    assert "clever" not in payloads(out)
    wait.unlink()
    output = aya("run", recipe, "--out", out, check=0)
    assert "steps stood already" in output.stderr
    assert payloads(out) == payloads(done)  # of an undisturbed run
    assert not (payload(out, "clever") / "half-made").exists()
    assert not list(out.glob("artifacts/**/*.partial"))


def test_shards_of_answers_that_a_killed_run_finished_are_kept(cheap, tmp_path, monkeypatch):
    from aya_core.planning.plan import make_plan
    from aya_core.planning.recipe import load_recipe
    from aya_core.running.asking import teachers
    from aya_core.running.asking.reuse import SealedShards
    from aya_core.running.inventory import Inventory
    from aya_core.running.run_folder import Run
    from aya_core.running.worker import do

    monkeypatch.setattr(teachers, "SHARD_TOKENS", 256 * 8)  # eight answers of at most 256 tokens
    loaded = load_recipe(cheap)
    plan = make_plan(loaded)
    inventory = Inventory(Run(tmp_path / "out"))
    (tmp_path / "out" / "artifacts").mkdir(parents=True)

    def make(id, folder):
        node = plan.nodes[id]
        inputs = inventory.paths(node)
        record = {"fingerprint": "f", "contents": {}}
        inventory.standing[id] = do(node, loaded.registry, inputs, folder, record, lambda *replied: None)
        return inventory.standing[id]

    for id in ("clever.data", "clever", "arbitrage.prompts", "arbitrage.routes"):
        make(id, tmp_path / id)
    whole = make("arbitrage.answers@clever", tmp_path / "whole")
    assert len(whole.files) == 5  # 36 prompts
    partial = tmp_path / "again.partial" / "payload"
    partial.mkdir(parents=True)
    first = partial / "rows-00000000.parquet"
    first.write_bytes((whole.payload / first.name).read_bytes())
    (tmp_path / "again.partial" / "work").mkdir()
    SealedShards.of(tmp_path / "again.partial", "").seal(first.name, first)
    before = first.stat().st_mtime_ns
    again = make("arbitrage.answers@clever", tmp_path / "again")
    assert (again.payload / first.name).stat().st_mtime_ns == before
    assert again.content == whole.content
    for artifact in (whole, again):
        assert {"prompts": 36, "answers": 36, "unanswered": 0}.items() <= artifact.measures.items()
    assert again.measures["taken_over"] == 28  # the run before had answered all; eight stood in a shard of its own


def test_a_node_that_is_killed_costs_that_node_only(edit, aya, tmp_path, done):
    fuse, out = tmp_path / "fuse", tmp_path / "oom"
    fuse.touch()
    after = str(out / "artifacts" / "base" / "*" / "artifact.json")
    recipe = edit(lambda raw: stage(raw, "clever")["trainer"].update(die=str(fuse), after=after))
    output = aya("run", recipe, "--out", out, "-q", check=2)
    assert "step 'clever' failed: its process was killed (SIGKILL)" in output.stderr
    assert payload(out, "base")
    aya("run", recipe, "--out", out, "-q", check=0)
    assert payloads(out) == payloads(done)


def test_a_node_that_raises_names_itself_and_its_log(edit, aya, tmp_path):
    out = tmp_path / "out"
    output = aya(
        "run", edit(lambda raw: stage(raw, "clever").update(trainer={"use": "explosive"})), "--out", out, "-q", check=2
    )
    assert "step 'clever' failed: RuntimeError: the engine is on fire" in output.stderr
    assert "Traceback" not in output.stderr
    log = out / "logs" / "clever.log"
    assert str(log) in output.stderr
    assert "Traceback" in log.read_text()


def test_an_arbiter_that_returns_nonsense_is_told(edit, aya, tmp_path):
    recipe = edit(lambda raw: stage(raw, "arbitrage").update(arbiter={"use": "nonsense"}))
    output = aya("run", recipe, "--out", tmp_path / "out", "-q", check=2)
    assert "stages.arbitrage: step 'arbitrage.verdicts': the arbiter gave 1.0" in output.stderr.replace("\n", " ")


def test_an_arbiter_that_abstains_on_everything_is_told(edit, aya, tmp_path):
    recipe = edit(lambda raw: stage(raw, "arbitrage")["arbiter"].update(fails=True))
    output = aya("run", recipe, "--out", tmp_path / "out", "-q", check=2)
    assert "scored none of" in output.stderr


def test_a_damaged_artifact_is_found_before_it_is_used(done, cheap, aya):
    model = payload(done, "base") / "model.json"
    model.write_text(model.read_text().replace("9", "8"))
    output = aya("run", cheap, "--out", done, "-q", check=2)
    assert f"{model}: changed since it was written" in output.stderr
    assert "delete" in output.stderr


def test_exchanged_artifacts_are_found(done, cheap, aya):
    """The folders of two runs of equal shape change places, each under the other's fingerprint."""
    west, east = payload(done, "sft@west").parent, payload(done, "sft@east").parent
    for source, target in ((west, done / "held"), (east, west), (done / "held", east)):
        source.rename(target)
    output = aya("run", cheap, "--out", done, "-q", check=2).stderr
    assert "holds an artifact whose node is 'sft@east', and in this place it is 'sft@west'" in output
    output = aya("verify", done, check=1).stdout
    assert len([line for line in output.splitlines() if "holds the artifact that belongs in" in line]) == 2


def test_an_edited_measure_is_found(done, cheap, aya):
    (manifest,) = done.glob("artifacts/scores.contamination/*/artifact.json")
    manifest.write_text(manifest.read_text().replace('"exact": 12', '"exact": 0'))
    assert f"{manifest}: damaged" in aya("run", cheap, "--out", done, "-q", check=2).stderr


def test_verify_lists_all_damage_at_once(done, aya):
    whole = json.loads(aya("verify", done, "--json", check=0).stdout)
    assert (whole["artifacts"], whole["damage"]) == (len(payloads(done)), [])
    assert "nothing damaged" in aya("verify", done, check=0).stdout
    flipped = payload(done, "base") / "model.json"
    before = flipped.stat()
    flipped.write_text(flipped.read_text().replace("9", "8"))
    os.utime(flipped, ns=(before.st_atime_ns, before.st_mtime_ns))
    (payload(done, "blend") / "model.json").unlink()
    (payload(done, "clever").parent / "artifact.json").write_text("{")
    assert len(json.loads(aya("verify", done, "--json", check=1).stdout)["damage"]) == 3
    output = aya("verify", done, check=1).stdout
    assert all(word in output for word in (f"{flipped}: changed", "missing from the artifact of 'blend'", "3 damaged"))


def test_prune_lists_and_deletes_what_no_step_needs(done, cheap, aya):
    aya("run", cheap, "--out", done, "-q", "--set", "stages.offline.trainer.off=5", check=0)
    aya("run", cheap, "--out", done, "-q", check=0)
    old = min(done.glob("artifacts/offline@west/*"))
    waste = [old.with_name(name) for name in ("0123456789ab.partial", f"{old.name}.before", f"{old.name}.damaged")]
    waste += [done / "store" / "reference", done / ".report.md.00000000.partial"]
    for folder in waste:
        folder.mkdir(parents=True)
    found = json.loads(aya("prune", done, "--json", check=0).stdout)
    listed = {row["path"] for row in found["unneeded"]}
    assert {str(folder) for folder in waste} <= listed
    assert len(listed) == len(waste) + 2  # offline@west and offline@east with the other setting
    assert found["bytes"] == sum(row["bytes"] for row in found["unneeded"]) > 0
    assert all(Path(path).exists() for path in listed)
    aya("prune", done, "--yes", check=0)
    assert not any(Path(path).exists() for path in listed)
    assert "72 of 72 steps stood already" in aya("run", cheap, "--out", done, check=0).stderr
    assert json.loads(aya("prune", done, "--json", check=0).stdout)["unneeded"] == []


def test_prune_keeps_unfinished_work_that_the_next_run_goes_on_with(done, cheap, aya):
    whole = payload(done, "arbitrage.answers@clever").parent
    partial = whole.rename(whole.with_name(whole.name + ".partial"))
    listed = {row["path"] for row in json.loads(aya("prune", done, "--json", check=0).stdout)["unneeded"]}
    assert str(partial) not in listed


def test_the_folder_of_another_recipe_is_refused(done, edit, aya):
    before = json.loads((done / "run.json").read_text())
    output = aya("run", edit(lambda raw: raw.update(name="other")), "--out", done, "-q", check=2)
    assert "holds a run of the recipe 'cheap', not of 'other'" in output.stderr
    assert json.loads((done / "run.json").read_text()) == before


def test_a_folder_of_something_else_is_refused(cheap, aya, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    assert "something else than a run" in aya("run", cheap, "--out", tmp_path / "out", check=2).stderr


def test_a_second_run_in_the_same_folder_is_refused(cheap, aya, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from aya_core.cli import main; main()",
        "run",
        str(cheap),
        "--out",
        str(out),
        "-q",
    ]
    (tmp_path / "wait").touch()
    first = subprocess.Popen(
        [*command, "--set", f"stages.clever.trainer.wait={tmp_path / 'wait'}"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which background jobs are started to ignore
    )
    try:
        wait_for(lambda: list(out.glob("artifacts/base/*/artifact.json")))
        before = {name: (out / name).read_bytes() for name in ("run.json", "recipe.yaml")}
        output = aya("run", cheap, "--out", out, "-q", "--set", "seed=9", check=2)
        assert f"another `aya run` is at work here (process {first.pid} on " in output.stderr
        assert json.loads(aya("status", out, "--json", check=0).stdout)["at_work"].startswith(f"process {first.pid} on")
        assert {name: (out / name).read_bytes() for name in before} == before
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=60) == 130
    wait_for(lambda: not children_of(out))


def test_a_killed_worker_ends_the_run_and_its_children(edit, aya, tmp_path):
    """As the system does where memory is short. The step that was at work must not go on behind the run's back."""
    wait, out = tmp_path / "wait", tmp_path / "out"
    wait.touch()
    recipe = edit(lambda raw: stage(raw, "clever")["trainer"].update(wait=str(wait)))
    command = [sys.executable, "-m", "aya_core", "run", str(recipe), "--out", str(out), "-q"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(out.glob("artifacts/clever/*.partial/payload/half-made")) and len(children_of(out)) == 1)
    (child,) = children_of(out)
    os.kill(parent_of(child), signal.SIGKILL)
    _, output = run.communicate(timeout=30)
    assert run.returncode == 2
    assert "the worker process was killed (SIGKILL)" in output
    assert children_of(out) == []
    wait.unlink()
    aya("run", recipe, "--out", out, "-q", "--until", "clever", check=0)


ENGINE = """
import os, subprocess, sys, time
from aya_core.api import TrainerStrategy, hookimpl

class Starting(TrainerStrategy):
    "Start an engine, and never end."
    reads = "any"
    needs_objective = False

    def build(self):
        return self

    def train(self, job):
        engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (job.out / f"{os.getpid()}-{engine.pid}").touch()
        time.sleep(600)

@hookimpl
def aya_trainers():
    return {"starting": Starting}
"""


@pytest.mark.parametrize("is_worker_killed", [True, False], ids=["both-killed", "runner-killed"])
def test_no_process_outlives_a_run_whose_processes_are_killed(edit, aya, tmp_path, is_worker_killed):
    """Neither the step at work nor what it has started. Nothing but the processes themselves can end them here."""
    (tmp_path / "engine.py").write_text(ENGINE)

    def start(raw):
        raw["plugins"].append("engine.py")
        stage(raw, "clever")["trainer"] = {"use": "starting"}

    recipe, out = edit(start), tmp_path / "out"
    command = ["run", str(recipe), "--out", str(out), "-q", "--until", "clever"]
    run = subprocess.Popen([sys.executable, "-m", "aya_core", *command])
    try:
        (started,) = wait_for(lambda: list(out.glob("artifacts/clever/*.partial/payload/*-*")))
        child, engine = started.name.split("-")
        assert {child, engine} <= {*children_of(out)}
        os.kill(run.pid, signal.SIGSTOP)  # so that it ends no child of a worker that is gone
        if is_worker_killed:
            os.kill(parent_of(child), signal.SIGKILL)
            wait_for(lambda: not children_of(out))
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not children_of(out))


def test_status_plan_and_report_read_a_run_folder(done, cheap, aya):
    status = json.loads(aya("status", done, "--json", check=0).stdout)
    assert status["stages"]["online"] == {**status["stages"]["online"], "steps": 28, "done": 28}
    plan = json.loads(aya("plan", cheap, "--out", done, "--json", check=0).stdout)
    assert all(step["stands"] for step in plan)
    before = read_sealed(done / "report.json")
    (done / "report.json").unlink()
    assert json.loads(aya("report", done, "--json", check=0).stdout) == before
    assert (done / "report.json").is_file()


@pytest.mark.parametrize("command", ["status", "report"])
def test_a_folder_without_a_run_is_told(command, aya, tmp_path):
    assert "no run.json here" in aya(command, tmp_path, check=2).stderr


def test_json_goes_to_stdout_and_nothing_else_does(cheap, aya, tmp_path):
    output = aya("run", cheap, "--out", tmp_path / "out", "--json", check=0)
    assert json.loads(output.stdout)["recipe"] == "cheap"


def test_a_moved_plugin_file_keeps_results_and_a_changed_one_does_not(done, cheap, aya, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("cheap.yaml", "cheap_plugin.py"):
        (moved / name).write_text((tmp_path / name).read_text())
    assert "72 of 72 steps stood already" in aya("run", moved / "cheap.yaml", "--out", done, check=0).stderr
    with (moved / "cheap_plugin.py").open("a") as file:
        file.write("# changed\n")
    assert "72 of 72 steps stood already" in aya("run", moved / "cheap.yaml", "--out", done, check=0).stderr
    plugin = moved / "cheap_plugin.py"
    plugin.write_text(plugin.read_text().replace("off = self.off\n", "off = int(self.off)\n"))
    assert "72 of 72 steps stood already" not in aya("run", moved / "cheap.yaml", "--out", done, check=0).stderr


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(out):
    """Processes whose standard error is a log of this run."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(out) in os.readlink(process / "fd" / "2"):
                    found.append(process.name)
            except OSError:
                continue
    return found


def test_all_steps_share_a_store_that_no_artifact_depends_on(done, edit, aya, tmp_path):
    def keep(raw):
        stage(raw, "offline")["trainer"].update(keep=True)

    recipe, out = edit(keep), tmp_path / "kept"
    aya("run", recipe, "--out", out, "-q", check=0)
    manifests = map(json.loads, (path.read_text() for path in out.glob("artifacts/blend/*/artifact.json")))
    assert [path.name for path in (out / "store").iterdir()] == [manifest["content"] for manifest in manifests]
    assert payloads(out) == payloads(done)
    aya("status", out, check=0)
    shutil.rmtree(out / "store")
    assert "72 of 72 steps stood already" in aya("run", recipe, "--out", out, check=0).stderr


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """A pool whose worker takes a minute to import what steps need."""
    (tmp_path / "takes_a_minute.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.chdir(tmp_path)
    loaded = SimpleNamespace(
        recipe=SimpleNamespace(machine=SimpleNamespace(threads=None)), registry=SimpleNamespace(files=[])
    )
    with (tmp_path / "lock").open("w") as lock:
        yield WorkerPool(
            loaded, SimpleNamespace(nodes={"a": SimpleNamespace(imports=("takes_a_minute",))}), lock.fileno()
        )


def test_a_run_that_is_stopped_before_its_first_step_does_not_wait_for_imports(importing):
    began = time.monotonic()
    with importing:
        pass
    assert time.monotonic() - began < 30
    assert importing.process.returncode == -signal.SIGKILL


def test_a_worker_that_imports_ends_with_its_runner(importing):
    """A runner that is killed closes the pipe; a worker that lived on would hold the run's lock."""
    with importing:
        importing.process.stdin.close()
        assert importing.process.wait(timeout=30) == 1
