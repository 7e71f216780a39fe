"""The command line: what it imports, what it prints, and how it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import refused

from aya_core.cli import all_commands
from aya_core.cli.arguments import recipe_to_run
from aya_core.cli.installed import shown_default
from aya_core.contract.durable import make_output_folder
from aya_core.contract.errors import DataError, RecipeError
from aya_core.contract.kinds import KINDS
from aya_core.planning.recipe import Recipe, load_recipe
from aya_plugins.merges.ties import Ties


def modules_after(*words):
    code = f"""
import sys
sys.argv = ["aya", *{words!r}]
from aya_core.cli import main
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {module.split(".")[0] for module in done.stderr.split()}


def test_the_version_imports_next_to_nothing():
    assert not {"pydantic", "pluggy", "yaml", "rich", "pyarrow", "torch"} & modules_after("--version")


@pytest.mark.parametrize("words", [("--help",), ("strategies",), ("plugins",), ("check", "micro"), ("schema",)])
def test_commands_that_look_import_nothing_heavy(words):
    assert not {"torch", "transformers", "numpy", "pyarrow"} & modules_after(*words)


@pytest.mark.parametrize("command", all_commands())
def test_every_command_has_help(command, aya):
    assert "Usage: aya" in aya(command, "--help", check=0).stdout


def test_a_misspelled_command_suggests_the_nearest(aya):
    assert "did you mean 'strategies'?" in aya("strategy", check=2).stderr


def test_a_misspelled_option_is_refused(aya):
    assert "--sett" in aya("check", "--sett", "x=1", check=2).stderr


def test_an_unknown_recipe_suggests_the_bundled_ones(aya):
    assert "did you mean 'micro'?" in aya("run", "micr", check=2).stderr
    assert "no such recipe" in aya("run", "nowhere/recipe.yaml", check=2).stderr


def test_mistakes_print_one_message_and_no_traceback(aya, cheap):
    output = aya("run", cheap, "--set", "stages.base.trainer.offf=1", "--out", cheap.parent / "out", check=2)
    assert output.stdout == ""
    assert output.stderr.startswith("aya: ")
    assert "Traceback" not in output.stderr
    assert not (cheap.parent / "out").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_out_that_cannot_be_a_run_folder_is_refused_before_anything(aya, cheap, command):
    (cheap.parent / "file").write_text("mine")
    output = aya(command, cheap, "--out", cheap.parent / "file" / "x", check=2).stderr
    assert f"this folder cannot be made ({cheap.parent / 'file'} is a file)" in output
    assert "holds something else" in aya(command, cheap, "--out", cheap.parent, check=2).stderr


def test_strategies_of_one_kind_are_listed_as_json(aya):
    listed = json.loads(aya("strategies", "merges", "--json", check=0).stdout)
    assert {"weighted", "slerp", "ties", "dare-ties"} <= {row["name"] for row in listed}
    assert all(row["about"] and row["plugin"] == "aya-core" for row in listed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_can_be_shown(kind, aya):
    for row in json.loads(aya("strategies", kind, "--json", check=0).stdout)[:2]:
        shown = aya("strategies", "show", kind, row["name"], check=0).stdout
        assert row["about"].split()[0] in shown


def test_defaults_are_shown_as_a_recipe_writes_them():
    assert shown_default(Ties.model_fields["density"]) == "0.2"
    assert shown_default(Recipe.model_fields["machine"]) == "{jobs: 1}"
    assert shown_default(Recipe.model_fields["seed"]) == "0"
    assert shown_default(Recipe.model_fields["about"]) == "''"
    assert shown_default(Recipe.model_fields["name"]) == "required"


def test_unknown_kinds_and_names_suggest_the_nearest(aya):
    assert "did you mean 'arbiter'?" in aya("strategies", "arbitre", check=2).stderr
    assert "did you mean 'slerp'?" in aya("strategies", "show", "merge", "slrep", check=2).stderr


def test_a_blocked_plugin_is_not_listed(aya):
    listed = aya("plugins", "--json", check=0, env={"AYA_DISABLE_PLUGINS": "aya-merges"}).stdout
    assert "aya-merges" not in {row["plugin"] for row in json.loads(listed)}


def test_the_bundled_recipe_is_sound(aya):
    assert json.loads(aya("check", "micro", "--json", check=0).stdout)["recipe"] == "micro"
    assert "micro" in json.loads(aya("recipes", "--json", check=0).stdout)


def test_a_misspelled_step_is_told_with_each_known_name_once(aya, cheap):
    output = aya("plan", cheap, "--out", cheap.parent / "out", "--why", "nosuch", check=2).stderr
    known = output.partition("known: ")[2].strip().split(", ")
    assert "blend" in known  # a stage and its step
    assert known == sorted(set(known))


def test_one_is_not_said_in_the_plural(aya, edit):
    recipe = edit(lambda raw: raw.update(stages=raw["stages"][:1]))
    steps = json.loads(aya("check", recipe, "--json", check=0).stdout)["steps"]
    assert steps > 1
    assert aya("check", recipe, check=0).stdout == f"{recipe}: sound; 1 stage, {steps} steps\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: caf\xe9\n", "not UTF-8 text (invalid continuation byte at byte 9); save the file as UTF-8"),
        (b"\xff\xfen\0", "not UTF-8 text (invalid start byte at byte 0); it is UTF-16; save the file as UTF-8"),
    ],
    ids=["latin-1", "utf-16"],
)
def test_a_file_of_yaml_that_is_not_utf8_is_told_in_one_line(aya, tmp_path, content, told):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    for words in (
        ("check", file),
        ("run", file),
        ("merge", file, tmp_path / "out"),
        ("evaluate", "./m", "--suite", file),
    ):
        assert one_line(aya(*words, check=2)) == f"{file}: {told}"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_may_not_be_read_is_told_in_one_line(tmp_path, monkeypatch):
    def refuse(*words, **options):
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "mine.yaml"
    file.touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RecipeError, match=r"mine\.yaml: cannot be read \(Permission denied\); expected a YAML file"):
        load_recipe(file)


def test_a_plugin_file_that_is_not_utf8_is_told_in_one_line(aya, edit):
    recipe = edit(lambda raw: None)
    plugin = recipe.with_name("cheap_plugin.py")
    plugin.write_bytes(plugin.read_bytes() + b"\nname = 'caf\xe9'\n")
    assert f"plugin {plugin} does not import: SyntaxError: (unicode error)" in one_line(aya("check", recipe, check=2))
    plugin.write_bytes(b"# coding: latin-1\n" + plugin.read_bytes())  # which Python reads
    aya("check", recipe, check=0)


@pytest.mark.parametrize("place", ["afile/out", "/proc/aya"])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "cheap.yaml", "--out"), ("arbitrate", "cheap.yaml", "--stage", "arbitrage", "--out"),
        ("train", "cheap.yaml", "--stage", "base", "--out"), ("evaluate", "cheap.yaml", "--stage", "scores", "--out"),
        ("merge", "merge.yaml"), ("new", "arbiter", "z-z", "--out"), ("new", "stage", "z-z", "--out"),
    ],
    ids=lambda words: "-".join(words[:2]),
)  # fmt: skip
def test_a_folder_that_cannot_be_made_is_told_in_one_line(aya, cheap, words, place):
    (cheap.parent / "afile").touch()
    (cheap.parent / "a").mkdir()
    (cheap.parent / "merge.yaml").write_text("merge_method: linear\nmodels: [{model: ./a, parameters: {weight: 1}}]\n")
    told = one_line(aya(*words, place, check=2, cwd=cheap.parent))
    assert place in told
    assert "this folder cannot be made (" in told
    assert told.endswith("; choose another")


def test_a_folder_that_nothing_can_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match="nothing can be written to this folder; choose another"):
        make_output_folder(tmp_path)


def one_line(output):
    """The one line with which a command was refused."""
    assert output.stdout == ""
    (line,) = output.stderr.splitlines()
    return line.removeprefix("aya: ")


def test_check_names_a_module_that_is_not_installed(aya, edit):
    plugin = edit(lambda raw: None).parent / "cheap_plugin.py"
    plugin.write_text(
        plugin.read_text().replace('"""Average how far off."""', '"""Average."""\n\n    imports = ("no_such_engine",)')
    )
    output = aya("check", plugin.parent / "cheap.yaml", check=2)
    assert "stages.blend: needs the module 'no_such_engine'" in output.stderr


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


@pytest.mark.parametrize("words", [("--version",), ("recipes",), ("strategies", "merges", "--json")])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_may_be_started_without_its_output(words, closed):
    """As cron and daemons may start programs."""
    command = f"{sys.executable} -m aya_core {' '.join(words)} {closed}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert ended.stderr == ""
