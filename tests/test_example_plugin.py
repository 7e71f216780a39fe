"""The third party's arbiter, as a stranger has it: its own distribution in a clean environment, beside aya-core alone."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "third_party_arbiter"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new environment with aya-core and the example installed from built wheels; returns a function that runs in it."""
    folder = tmp_path_factory.mktemp("clean")
    wheels = folder / "wheels"
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    for project in (ROOT, EXAMPLE):
        subprocess.run([*wheel, "--wheel-dir", wheels, project], check=True)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wheels.glob("*.whl"), "pytest"], check=True)

    def run(*words, cwd=folder):
        return subprocess.run([python, *map(str, words)], capture_output=True, text=True, cwd=cwd, check=False)

    return run


def test_it_is_found_by_its_entry_point_and_listed(environment):
    done = environment("-m", "aya_core", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}
    assert "aya-core" in listed
    (stranger,) = set(listed) - {"aya-core"}
    assert any(offer.startswith("arbiter ") for offer in listed[stranger]["offers"])


def test_aya_core_alone_brings_no_heavy_library(environment):
    done = environment(
        "-c", "import importlib.util as u; print([m for m in ('torch', 'transformers', 'numpy') if u.find_spec(m)])"
    )
    assert done.stdout.strip() == "[]"


def test_a_recipe_names_it_and_runs(environment, tmp_path):
    """Two recorded teachers, and the stranger's arbiter between them: a run without torch in the environment."""
    offers = json.loads(environment("-m", "aya_core", "plugins", "--json").stdout)
    (name,) = {o.split()[1] for p in offers if p["distribution"] != "aya-core" for o in p["offers"]}
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"id": str(i), "language": "en", "prompt": f"Say {i}."}) + "\n" for i in range(8))
    )
    good, bad = "A sentence that says one thing after another.", "снова и снова одно и то же"
    (tmp_path / "answers.jsonl").write_text(
        "".join(
            json.dumps({"id": str(i), "model": model, "answer": text}) + "\n"
            for i in range(8)
            for model, text in (("good", good), ("bad", bad))
        )
    )
    (tmp_path / "recipe.yaml").write_text(
        f"""
name: stranger
languages: [en]
stages:
  - name: arbitrage
    do: arbitrage
    prompts: {{use: jsonl, path: prompts.jsonl}}
    teachers:
      good: {{use: recorded, path: answers.jsonl, model: good}}
      bad: {{use: recorded, path: answers.jsonl, model: bad}}
    arbiter: {{use: {name}}}
"""
    )
    done = environment("-m", "aya_core", "run", tmp_path / "recipe.yaml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arbitrage"]["arbitrage"]["teachers"]["good"]["won"] == 8


def test_a_recipe_that_needs_torch_says_what_to_install(environment, tmp_path):
    done = environment("-m", "aya_core", "check")
    assert done.returncode == 2
    assert 'install the extra: pip install "aya-core[train]"' in done.stderr


def test_it_passes_the_conformance_kit(environment):
    done = environment("-m", "pytest", "-q", EXAMPLE / "tests", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
