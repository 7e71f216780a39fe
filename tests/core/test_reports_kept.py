"""Reports: none is replaced by one that knows less, and nothing in them is cut."""

import io
import json
import re
import shutil

from rich.console import Console
from run_folders import files_of, folder_of, refused

from aya_core.cli.run_plan import reporter_of
from aya_core.contract.durable import read_sealed
from aya_core.contract.reports import Alert, RunReport, Section
from aya_core.planning.registry import Registry
from aya_core.running.reporting import load_report, lost


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
    assert max(map(len, terminal.file.getvalue().splitlines())) <= 80
