"""Docs and code agree, both ways, and the code blocks of the docs run."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from aya_core import api, hookspecs
from aya_core.cli import COMMANDS
from aya_core.kinds import KINDS
from aya_core.registry import Registry

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [page for page in PAGES if "reference" not in page.parts]


def text_of(pages):
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_generated_pages_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_hook_in_the_docs_exists_and_every_hook_is_in_the_docs():
    hooks = {name for name in vars(hookspecs) if name.startswith("aya_")}
    packages = {"aya_core", "aya_plugins", "aya_kernels"}
    named = set(re.findall(r"\baya_[a-z_]+\b", text_of(WRITTEN)))
    files = {path.stem for path in ROOT.rglob("aya_*.py") if ".venv" not in path.parts}
    assert named - hooks - packages - files == set()
    assert hooks - set(re.findall(r"\baya_[a-z_]+\b", (ROOT / "docs" / "reference" / "hooks.md").read_text())) == set()


def test_every_kind_says_which_defaults_are_bundled():
    offered = Registry().strategies
    for kind, hook in KINDS.items():
        said = inspect.getdoc(getattr(hookspecs, hook)).split("Bundled:")[1].split(".")[0]
        assert {name.strip() for name in said.split(",")} == {
            name for name in offered[kind] if Registry().origin(kind, name).distribution == "aya-core"
        }


def test_every_strategy_and_setting_is_documented():
    for kind, strategies in Registry().strategies.items():
        for name, strategy in strategies.items():
            assert strategy.__doc__, f"{kind} {name}"
            for setting, field in strategy.model_fields.items():
                assert field.description, f"{kind} {name}: {setting}"


def test_everything_that_the_api_offers_is_documented():
    for name in api.__all__:
        thing = getattr(api, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_named_in_the_docs_exist():
    for page in WRITTEN:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["aya"]:
                    assert words[1] in COMMANDS, f"{page.name}: {line}"
                if words[:1] == ["make"]:
                    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
                        f"{page.name}: {line}"
                    )


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_recipes_in_the_docs_are_sound(page, tmp_path, aya_command):
    for index, block in enumerate(blocks(page, "yaml")):
        if "stages:" in block:
            path = tmp_path / f"{index}.yaml"
            path.write_text(block)
            for file in blocks(page, "python"):
                for name in re.findall(r"^# (\w+\.py)$", file, re.MULTILINE)[:1]:
                    (tmp_path / name).write_text(file)
            for name in re.findall(r"path: ([\w./-]+)", block):
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).touch()
            done = aya_command("check", path)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_python_in_the_docs_runs(page, tmp_path):
    for block in blocks(page, "python"):
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_quick_commands_of_the_readme_run(aya_command, tmp_path):
    """Those that start no training; `make run` and `make test` are run by CI and by the test of the micro recipe."""
    quick = ("aya check", "aya plan", "aya strategies", "aya plugins", "aya recipes", "aya schema")
    lines = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    found = [line for line in lines if line.startswith(quick)]
    assert found
    for line in found:
        done = aya_command(*shlex.split(line, comments=True)[1:], cwd=ROOT)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
