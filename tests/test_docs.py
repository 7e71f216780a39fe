"""Docs and code agree, both ways, and the code blocks of the docs run."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from places import ROOT

from aya_core import api, hookspecs, testing
from aya_core.cli import all_commands
from aya_core.contract.kinds import BASES
from aya_core.contract.strategies import Strategy
from aya_core.contract.words import words_of
from aya_core.planning.registry import Registry

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [page for page in PAGES if "reference" not in page.parts]


def text_of(pages):
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def offered_by(module):
    """What a module offers: the names that it imports as themselves, which type checkers of plugins take for public."""
    return re.findall(r"\b(\w+) as \1\b", Path(module.__file__).read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", [api, testing])
def test_all_that_a_module_for_authors_imports_is_offered(module):
    offered = offered_by(module)
    imported = {
        name for name, thing in vars(module).items() if not name.startswith("_") and not inspect.ismodule(thing)
    }
    assert len(set(offered)) == len(offered) > 20
    assert imported <= set(offered) <= vars(module).keys()


def test_the_generated_pages_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_hook_in_the_docs_exists_and_every_hook_is_in_the_docs():
    hooks = {name for name in vars(hookspecs) if name.startswith("aya_")}
    packages = {"aya_core", "aya_recipe", "aya_plugins", "aya_kernels"}
    named = set(re.findall(r"\baya_[a-z_]+\b", text_of(WRITTEN)))
    files = {path.stem for path in ROOT.rglob("aya_*.py") if ".venv" not in path.parts}
    assert named - hooks - packages - files == set()
    assert hooks - set(re.findall(r"\baya_[a-z_]+\b", (ROOT / "docs" / "reference" / "hooks.md").read_text())) == set()


def test_the_hooks_name_no_strategy():
    """Which are bundled is said by the page of strategies, which is generated."""
    named = {
        word
        for text in re.findall(r"`([^`]+)`", Path(hookspecs.__file__).read_text())
        for word in re.split(r"[^\w.-]", text)
    }
    assert {name for strategies in Registry().strategies.values() for name in strategies} & named == set()


def test_every_word_of_every_kind_is_documented():
    page = (ROOT / "docs" / "reference" / "words.md").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    for kind, base in BASES.items():
        section = page.split(f"## `{base.__name__}`")[1].split("\n## ")[0]
        own = words_of(base).keys() - words_of(Strategy).keys()
        assert own == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)), kind
        if own:
            assert f"| {kind} | {', '.join(f'`{word}`' for word in words_of(base) if word in own)} |" in guide
        assert not [line for line in section.splitlines() if line.startswith("| `") and line.endswith("|  |")], kind


def test_every_strategy_and_setting_is_documented():
    for kind, strategies in Registry().strategies.items():
        for name, strategy in strategies.items():
            assert strategy.__doc__, f"{kind} {name}"
            for setting, field in strategy.model_fields.items():
                assert field.description, f"{kind} {name}: {setting}"


def test_everything_that_the_api_offers_is_documented():
    for name in offered_by(api):
        thing = getattr(api, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name


@pytest.mark.parametrize(("page", "offered"), [("api", api), ("testing", testing)])
def test_the_pages_for_authors_hold_every_name_once_and_lead_to_it(page, offered):
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `(\w+)`$", text, re.MULTILINE)
    assert sorted(headings) == sorted(offered_by(offered))
    contents = text.split("\n## ")[0]
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert re.findall(r"\[`\w+`\]\(#([\w-]+)\)", contents) == [
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    ]


def test_every_field_of_every_record_and_protocol_is_on_the_page_with_its_type():
    """An objective can be written from the page alone: so can everything that fills or reads a record."""
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    checked = 0
    for name in offered_by(api):
        thing = getattr(api, name)
        if not inspect.isclass(thing) or name in {base.__name__ for base in (Strategy, *BASES.values())}:
            continue
        for field, annotation in vars(thing).get("__annotations__", {}).items():
            type_ = str(getattr(annotation, "__forward_arg__", annotation))
            if not field.startswith("_"):
                in_code, in_table = f"    {field}: {type_}", f"| `{field}` | `{type_.replace('|', chr(92) + '|')}` |"
                shown = sections[name].replace("'", '"')
                assert in_code.replace("'", '"') in shown or in_table in sections[name], f"{name}.{field}: {type_}"
                checked += 1
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and not method.startswith("_") and function.__doc__:
                assert f"def {method}(" in sections[name], f"{name}.{method}"
                checked += 1
    assert checked > 200


def test_the_glossary_names_what_the_api_offers_and_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text()
    names = set(re.findall(r"`([A-Z]\w+)`", text))
    assert names
    assert names <= set(dir(api))
    words = re.findall(r"^\| ([^|`]+) \|", text, re.MULTILINE)
    assert len(words) > 50
    assert [word for word, n in Counter(words).items() if n > 1 and word != "word"] == []


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
                    assert words[1] in all_commands(), f"{page.name}: {line}"
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
    (recipe,) = [block for block in blocks(ROOT / "README.md", "yaml") if "stages:" in block]
    (tmp_path / "recipe.yaml").write_text(recipe)
    lines = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    found = [line for line in lines if line.startswith(quick)]
    assert found
    for line in found:
        done = aya_command(*shlex.split(line, comments=True)[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_commands_about_arbitrage_run_as_they_stand_one_after_the_other(aya_command, tmp_path):
    def write(path, rows):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("".join(json.dumps(row) + "\n" for row in rows))

    ids = [f"q{number}" for number in range(6)]
    write("prompts.jsonl", [{"id": id, "language": "en", "prompt": f"What is {id}?"} for id in ids])
    write("prompts/en.jsonl", [{"id": id, "prompt": f"What is {id}?"} for id in ids])
    write("ana.jsonl", [{"id": id, "answer": f"{id} is a question that has many answers."} for id in ids])
    write("bo.jsonl", [{"id": id, "answer": f"It may be that {id} is a question."} for id in ids])
    teachers = {name: {"use": "recorded", "path": f"{name}.jsonl"} for name in ("ana", "bo")}
    stage = {
        "name": "arbitrage",
        "do": "arbitrage",
        "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
        "teachers": teachers,
    }
    recipe = {"name": "pool", "languages": ["en"], "stages": [{**stage, "arbiter": {"use": "consensus"}}]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    (block,) = [block for block in blocks(ROOT / "docs" / "arbitrage.md", "sh") if block.startswith("aya arbitrate")]
    for line in block.splitlines():
        done = aya_command(*shlex.split(line, comments=True)[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 6
