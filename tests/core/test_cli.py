"""The command line: what it imports, what it prints, and how it refuses."""

import json
import subprocess
import sys

import pytest

from aya_core.cli import all_commands
from aya_core.contract.kinds import KINDS


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


def test_a_misspelt_command_suggests_the_nearest(aya):
    assert "did you mean 'strategies'?" in aya("strategy", check=2).stderr


def test_a_misspelt_option_is_refused(aya):
    assert "--sett" in aya("check", "--sett", "x=1", check=2).stderr


def test_an_unknown_recipe_suggests_the_bundled_ones(aya):
    assert "did you mean 'micro'?" in aya("run", "micr", check=2).stderr
    assert "no such recipe" in aya("run", "nowhere/recipe.yaml", check=2).stderr


def test_mistakes_print_one_message_and_no_traceback(aya, cheap):
    told = aya("run", cheap, "--set", "stages.base.trainer.offf=1", "--out", cheap.parent / "out", check=2)
    assert told.stdout == ""
    assert told.stderr.startswith("aya: ")
    assert "Traceback" not in told.stderr
    assert not (cheap.parent / "out").exists()


def test_strategies_of_one_kind_are_listed_as_json(aya):
    listed = json.loads(aya("strategies", "merges", "--json", check=0).stdout)
    assert {"weighted", "slerp", "ties", "dare-ties"} <= {row["name"] for row in listed}
    assert all(row["about"] and row["plugin"] == "aya-core" for row in listed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_can_be_shown(kind, aya):
    for row in json.loads(aya("strategies", kind, "--json", check=0).stdout)[:2]:
        shown = aya("strategies", "show", kind, row["name"], check=0).stdout
        assert row["about"].split()[0] in shown


def test_unknown_kinds_and_names_suggest_the_nearest(aya):
    assert "did you mean 'arbiter'?" in aya("strategies", "arbitre", check=2).stderr
    assert "did you mean 'slerp'?" in aya("strategies", "show", "merge", "slrep", check=2).stderr


def test_a_blocked_plugin_is_not_listed(aya):
    listed = aya("plugins", "--json", check=0, env={"AYA_DISABLE_PLUGINS": "aya-merges"}).stdout
    assert "aya-merges" not in {row["plugin"] for row in json.loads(listed)}


def test_the_bundled_recipe_is_sound(aya):
    assert json.loads(aya("check", "micro", "--json", check=0).stdout)["recipe"] == "micro"
    assert "micro" in json.loads(aya("recipes", "--json", check=0).stdout)


def test_check_names_a_module_that_is_not_installed(aya, edit):
    plugin = edit(lambda raw: None).parent / "cheap_plugin.py"
    plugin.write_text(
        plugin.read_text().replace('"""Average how far off."""', '"""Average."""\n\n    imports = ("no_such_engine",)')
    )
    told = aya("check", plugin.parent / "cheap.yaml", check=2)
    assert "stages.blend: needs the module 'no_such_engine'" in told.stderr
