"""`aya new`: a plugin to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

import click

from aya_core.cli.terminal import say
from aya_core.contract.durable import make_output_folder
from aya_core.contract.errors import PluginError
from aya_core.contract.stage import NAME
from aya_core.planning.registry import Registry

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "aya-$name"
version = "0.1.0"
description = "The $kind $name for Aya Core"
requires-python = ">=3.11"
dependencies = ["aya-core"]

[project.entry-points.aya]
$name = "$module"

[tool.hatch.build.targets.wheel]
include = ["$module.py"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

ARBITER = '''\
"""The arbiter `$name`."""

from aya_core.api import ArbiterStrategy, Field, Verdict, hookimpl


class $cls(ArbiterStrategy):
    """Prefer short answers."""

    most_words: int = Field(50, ge=1, description="Longer answers are not eligible.")

    def build(self):
        """Make the arbiter; import heavy libraries here."""
        return self

    def judge(self, cases):
        """Give each candidate of each case a score (higher is better), an abstention or a failure."""
        for case in cases:
            yield [self._verdict(candidate.text.split()) for candidate in case.candidates]

    def _verdict(self, words):
        return Verdict(-len(words)) if len(words) <= self.most_words else Verdict.abstain("too long")


@hookimpl
def aya_arbiters():
    """Offer the arbiter to recipes: `{use: $name}`."""
    return {"$name": $cls}
'''

ARBITER_TEST = """\
from aya_core.testing import check_arbiter

from $module import $cls


def test_it_keeps_the_rules_of_arbiters():
    check_arbiter($cls())
"""

STAGE = '''\
"""The stage `$name`."""

from aya_core.api import Action, Field, Prompt, RowsRef, Stage, hookimpl, read_rows, reference_or_nested, write_rows


def choose(work):
    """Keep the prompts that are short enough, and return what the report and `aya status` may show."""
    prompts = list(read_rows(work.inputs["prompts"], Prompt))
    kept = [prompt for prompt in prompts if len(prompt.text) <= work.setting("most_characters")]
    write_rows(work.out, Prompt, kept)
    return {"kept": len(kept), "dropped": len(prompts) - len(kept)}


class $cls(Stage):
    """Keep short prompts."""

    actions = {"$name": Action(choose)}

    prompts: reference_or_nested(RowsRef, "dataset") = Field(description="What is chosen from.")
    most_characters: int = Field(1000, ge=1, description="Longer prompts are dropped.")

    def unroll(self, build):
        """Add the one step, and let later stages refer to it by the name of the stage."""
        prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
        settings = {"most_characters": self.most_characters}
        build.name(self.name, build.add(self.name, "$name", "prompts", settings, {"prompts": prompts}))


@hookimpl
def aya_stages():
    """Offer the stage to recipes: `do: $name`."""
    return {"$name": $cls}
'''

STAGE_TEST = """\
from aya_core.testing import check_stage

from $module import $cls


def test_it_keeps_the_rules_of_stages(tmp_path):
    check_stage($cls, {"prompts": {"use": "sample-rows"}}, tmp_path)
"""

TEMPLATES: Mapping[str, tuple[str, str]] = {"arbiter": (ARBITER, ARBITER_TEST), "stage": (STAGE, STAGE_TEST)}
"""The module of each kind of plugin, and its test."""


@click.command(name="new")
@click.argument("kind", type=click.Choice(list(TEMPLATES)))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make; aya-NAME by default.")
def command(kind: str, name: str, out: Path | None) -> None:
    """Write a plugin to start from, an arbiter or a stage: its module, a test with the conformance kit, and a pyproject.toml by
    which it is found once it is installed."""
    if not NAME.fullmatch(name):
        raise PluginError(f"aya new {kind} {name}: expected a name of lower case words joined by hyphens")
    registry = Registry()
    if name in registry.offers[kind]:
        owner = registry.origin(kind, name).distribution
        raise PluginError(f"aya new {kind} {name}: {owner} has {_a(kind)} of this name; choose another")
    folder = out or Path(f"aya-{name}")
    if folder.exists():
        raise PluginError(f"aya new {kind} {name}: {folder} exists; choose another --out")
    module = "aya_" + name.replace("-", "_")
    cls = "".join(word.capitalize() for word in name.split("-"))
    code, test = TEMPLATES[kind]
    make_output_folder(folder)
    for file, text in {"pyproject.toml": PYPROJECT, f"{module}.py": code, f"tests/test_{module}.py": test}.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(text).substitute(kind=kind, name=name, module=module, cls=cls), encoding="utf-8")
    say(f"{folder}: {_a(kind)}. pip install -e {folder}, then pytest {folder}; `aya plugins` lists it")


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "arbiter" else f"a {kind}"
