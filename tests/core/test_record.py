"""What a run records, and the commands that read it: without plugins, without running code of the folder, and never knowing less."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.errors import ArtifactError
from aya_core.contract.journal import Journal
from aya_core.contract.reports import Alert, Picture, Section, Table, Text
from aya_core.planning.registry import Registry
from aya_core.running.record import RunRecord
from aya_core.running.reporting import load_report

PLUGIN = '''
"""A stage that counts, with a section of the report."""

from pathlib import Path

from aya_core.api import Action, Alert, Field, Picture, Section, Stage, Table, Text, hookimpl

Path(__file__).with_name("imported").touch()


def count(work):
    if work.setting("fail"):
        raise ValueError("no more numbers")
    (work.out / "count").write_text(str(work.setting("to")))
    return {"counted": work.setting("to")}


class Count(Stage):
    """Count."""

    actions = {"count": Action(count)}
    to: int = Field(3, description="How far.")
    fail: bool = Field(False, description="Whether to fail.")

    def unroll(self, build):
        before = list(build.nodes)[-1:]
        settings = {"to": self.to, "fail": self.fail}
        build.name(self.name, build.add(self.name, "count", "count", settings, {"before": id for id in before}))

    @classmethod
    def section(cls, stage):
        if stage.name not in stage.standing:
            return None
        counted = stage.standing[stage.name].measures["counted"]
        return Section("Counting", {"counted": counted}, [
            Text(f"Counted to {counted} <b>."), Alert("That was all."), Table(["number"], [[str(counted)]]),
            Picture(stage.name, "none", "<svg onload='alert(1)'/>"),
        ])


@hookimpl
def aya_stages():
    return {"count": Count}
'''


def write_recipe(folder):
    """A recipe of two stages of a plugin that is a file."""
    folder.mkdir()
    (folder / "counting.py").write_text(PLUGIN)
    stages = [{"name": "one", "do": "count"}, {"name": "two", "do": "count", "to": 5}]
    (folder / "recipe.json").write_text(json.dumps({"name": "counts", "plugins": ["counting.py"], "stages": stages}))
    return folder / "recipe.json"


@pytest.fixture
def recipe(tmp_path):
    """The recipe in a folder of its own."""
    return write_recipe(tmp_path / "recipe")


@pytest.fixture(scope="module")
def counted(tmp_path_factory, aya_command):
    """A folder with a finished run of it."""
    folder = tmp_path_factory.mktemp("counted")
    done = aya_command("run", write_recipe(folder / "recipe"), "--out", folder / "out", "-q", worker="light")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def out(recipe, counted, tmp_path):
    """A copy of the finished run, as if it had been made here."""
    shutil.copytree(counted / "out", tmp_path / "out")
    recipe.with_name("imported").touch()  # as the run did
    write_sealed(
        tmp_path / "out" / "run.json",
        {**read_sealed(tmp_path / "out" / "run.json"), "folder": str(recipe.parent), "source": str(recipe)},
    )
    return tmp_path / "out"


def files(folder):
    return {path: path.read_bytes() for path in folder.glob("report*") if path.is_file()}


def read_by_others(folder, *words):
    """Run a command in a fresh process and say which modules it imported."""
    code = "import sys\nfrom aya_core.cli import aya\naya(sys.argv[1:], standalone_mode=False)\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.split())


def test_a_run_records_its_plan_and_which_artifact_stands_for_each_step(out):
    record = RunRecord.read(out)
    assert (record.recipe, list(record.stages), list(record.steps)) == ("counts", ["one", "two"], ["one", "two"])
    assert record.stages["two"].settings == {"name": "two", "do": "count", "to": 5, "fail": False}
    assert record.steps["two"].inputs == {"before": "one"}
    assert record.names["two"] == {"": "two"}
    assert {id: artifact.measures["counted"] for id, artifact in record.standing.items()} == {"one": 3, "two": 5}
    assert record.stage("two").standing.keys() == {"two"}
    assert record.seconds > 0


def test_a_finished_run_is_read_when_its_plugin_is_gone(out, recipe, aya_here):
    before = files(out)
    shutil.rmtree(recipe.parent)
    assert json.loads(aya_here("status", out, "--json").stdout)["stages"]["two"]["done"] == 1
    output = aya_here("report", out).stdout
    assert "two: Counted to 5 <b>." in output
    assert "2 of 2 steps stand" in output
    now = files(out)
    assert now.keys() == before.keys()
    assert now[out / "report.json"] == before[out / "report.json"]
    assert "Counted to 5 &lt;b&gt;." in (out / "report.html").read_text()


def test_a_section_that_comes_from_the_folder_runs_no_script(out, recipe, aya_here):
    assert "<svg onload" in (out / "report.html").read_text()  # made by the plugin that the user loaded
    shutil.rmtree(recipe.parent)
    aya_here("report", out)
    assert "<svg" not in (out / "report.html").read_text()
    assert '<img alt="none" src="data:image/svg+xml;base64,' in (out / "report.html").read_text()


@pytest.mark.parametrize("command", ["status", "report", "export", "compare"])
def test_reading_a_folder_runs_none_of_its_code_and_no_plugin_of_others(out, recipe, tmp_path, command):
    """A plugin in the folder, one beside the recipe, and an installed one that breaks and prints."""
    site = tmp_path / "site" / "loud-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Name: loud\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[aya]\nloud = loud_plugin\n")
    (site.parent / "loud_plugin.py").write_text("print('loud')\nraise SystemExit(3)\n")
    for place in (out, recipe.parent):
        (place / "evil.py").write_text(f"open({str(tmp_path / 'evil')!r}, 'w')\n")
    (out / "recipe.yaml").write_text(
        '{"name": "counts", "plugins": ["evil.py"], "stages": [{"name": "one", "do": "count"}]}'
    )
    write_sealed(out / "run.json", {**read_sealed(out / "run.json"), "folder": str(out)})
    (recipe.parent / "imported").unlink()
    arguments = [out, "one"] if command == "export" else [out, out] if command == "compare" else [out]
    code = f"import sys\nsys.path.insert(0, {str(site.parent)!r})\nfrom aya_core.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code, command, *map(str, arguments)], capture_output=True, text=True)
    output = {
        "status": "counts in",
        "report": "2 of 2 steps stand",
        "export": "no rows named 'one'",
        "compare": "no evaluated model",
    }
    assert output[command] in done.stdout + done.stderr
    assert "loud" not in done.stdout
    assert not (tmp_path / "evil").exists()
    assert not (recipe.parent / "imported").exists()
    assert not list(tmp_path.rglob("__pycache__/evil*"))


def test_a_report_imports_the_plugins_of_aya_core_alone(out, tmp_path):
    _, modules = read_by_others(tmp_path, "report", out)
    assert "aya_recipe" in modules
    assert not [name for name in modules if name.startswith("aya_plugin_file_")]
    _, modules = read_by_others(tmp_path, "status", out)
    assert not {"aya_recipe", "aya_plugins"} & modules


def test_a_registry_of_its_own_has_what_comes_with_the_core():
    assert {plugin.distribution for plugin in Registry(only_own=True).plugins.values()} == {"aya-core"}
    assert Registry(disabled=["of-others"], only_own=True).stages


def test_a_report_that_would_know_less_is_refused_and_left_as_it_is(out, aya_here):
    before = files(out)
    (gone,) = out.glob("artifacts/two/*")
    shutil.rmtree(gone)
    output = aya_here("report", out, check=1).stderr
    assert "it knows 2 steps, of which 1 do not stand, such as 'two'" in output
    assert files(out) == before
    (out / "report.json").unlink()
    assert "1 of 2 steps stand" in aya_here("report", out).stdout


def test_a_run_that_fails_leaves_a_report_of_what_stands(recipe, aya_here, tmp_path):
    aya_here("run", recipe, "--out", tmp_path / "out", "-q", "--set", "stages.two.fail=true", check=2)
    report = load_report(tmp_path / "out")
    assert list(report.steps) == list(report.sections) == ["one"]
    assert report.sections["one"].data == {"counted": 3}


def test_a_run_that_fails_leaves_a_report_that_knows_more(out, recipe, aya_here):
    before = files(out)
    output = aya_here("run", recipe, "--out", out, "-q", "--set", "stages.one.fail=true", check=2)
    assert "stays as it was" in output.stderr
    assert files(out) == before


def test_a_run_of_less_keeps_the_report_before_beside(out, recipe, aya_here):
    before = (out / "report.json").read_bytes()
    raw = json.loads(recipe.read_text())
    recipe.write_text(json.dumps({**raw, "stages": raw["stages"][:1]}))
    assert "report.before.json" in aya_here("run", recipe, "--out", out, "-q").stderr
    assert (out / "report.before.json").read_bytes() == before
    assert list(load_report(out).steps) == ["one"]


def test_what_a_part_of_the_plan_does_not_need_is_still_recorded(out, recipe, aya_here):
    aya_here("run", recipe, "--out", out, "-q", "--until", "one")
    assert RunRecord.read(out).standing.keys() == {"one", "two"}


def test_a_killed_run_is_read_as_far_as_it_came(out, recipe, aya_here):
    first, last = (out / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (out / "steps.jsonl").write_bytes(first + last[:9])
    (out / "report.json").unlink()
    assert RunRecord.read(out).standing.keys() == {"one"}
    output = aya_here("report", out).stdout
    assert "1 of 2 steps stand" in output
    assert "no section: it is of the plugin that offers the stage 'count', which is not loaded here" in output
    aya_here("run", recipe, "--out", out, "-q")
    assert RunRecord.read(out).standing.keys() == {"one", "two"}


def test_steps_of_another_plan_stand_for_nothing(out):
    write_sealed(out / "plan.json", {**read_sealed(out / "plan.json"), "seed": 9})
    assert RunRecord.read(out).standing == {}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("run.json", {"format": 2}, "run.json: has format 2, this version"),
        ("plan.json", {"format": 2, "aya_core": "9.1"}, "plan.json: has format 2.*the run \\(9.1\\), or a newer one"),
        ("plan.json", {"steps": 5}, "plan.json: steps: Input should be a valid tuple; restore it"),
        ("plan.json", {"stages": [{"do": "count"}]}, "plan.json: stages.0.name: Field required; restore it"),
        ("plan.json", None, "no plan.json here; run the recipe again"),
        ("plan.json", b"{", "plan.json: damaged"),
        ("plan.json", b"\xff\xfe", "plan.json: damaged"),
        ("plan.json", b"[" * 100_000, "plan.json: damaged"),
        ("steps.jsonl", {}, "steps.jsonl: step 'one': {} names no artifact"),
        ("steps.jsonl", ["plan", "../../x"], "names no artifact"),
        ("steps.jsonl", ["plan", "../x"], "names no artifact"),
        ("steps.jsonl", ["plan", 7], "names no artifact"),
    ],
)
def test_what_is_newer_or_garbage_is_named(out, file, change, message):
    path = out / file
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    elif file.endswith(".jsonl"):
        Journal(path).write([("one", change)])
    else:
        write_sealed(path, {**read_sealed(path), **change})
    with pytest.raises(ArtifactError, match=message):
        RunRecord.read(out)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"sections": {"one": {"blocks": [{"block": "table", "rows": 1}]}}}', "\\"]
)
def test_a_damaged_report_is_named(out, text):
    (out / "report.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"report\.json: damaged"):
        load_report(out)


def test_a_section_comes_back_from_json_as_it_was():
    blocks = [
        Text("a", "brief"), Alert("b"), Table(["x"], [["1"]], "t", ["n"], [["2"]], "tables"), Picture("p", "q", "<svg/>"),
    ]  # fmt: skip
    section = Section("s", {"n": 1}, blocks, is_result=True)
    assert Section.from_row(json.loads(json.dumps(section.as_row()))) == section


def test_a_section_that_fails_leaves_the_others_and_says_why(recipe, aya_here, tmp_path):
    plugin = recipe.parent / "counting.py"
    plugin.write_text(
        plugin.read_text().replace('.measures["counted"]\n', '.measures["counted" if stage.name == "one" else "x"]\n')
    )
    aya_here("run", recipe, "--out", tmp_path / "out", "-q")
    sections = load_report(tmp_path / "out").sections
    assert sections["one"].data == {"counted": 3}
    assert sections["two"].blocks == [Alert("no section: that of the stage 'count' failed with KeyError: 'x'")]


@pytest.mark.parametrize("command", ["check", "plan"])
def test_check_and_plan_take_the_recipe_of_the_folder_or_want_one(command, recipe, aya_here, tmp_path):
    assert f"aya {command} RECIPE" in aya_here(command, check=2).stderr
    (tmp_path / "recipe.yaml").write_text(recipe.read_text())
    shutil.copy(recipe.parent / "counting.py", tmp_path)
    assert "2 steps" in aya_here(command).stdout
    assert Path("recipe.yaml").is_file()
