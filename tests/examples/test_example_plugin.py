"""The third party's arbiter, as a stranger has it: its own distribution in a clean environment, beside aya-core."""

import json

import pytest
from places import ROOT

EXAMPLE = ROOT / "examples" / "third_party_arbiter"

pytestmark = pytest.mark.slow


def test_it_is_found_by_its_entry_point_and_listed(strangers):
    done = strangers("-m", "aya_core", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}
    assert "aya-core" in listed
    assert listed["aya-same-script"]["offers"] == ["arbiter same-script"]


def test_aya_core_alone_brings_no_heavy_library(strangers):
    done = strangers(
        "-c", "import importlib.util as u; print([m for m in ('torch', 'transformers', 'numpy') if u.find_spec(m)])"
    )
    assert done.stdout.strip() == "[]"


def test_a_recipe_names_it_and_runs(strangers, tmp_path):
    """Two recorded teachers, and the stranger's arbiter between them: a run without torch in the environment."""
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
        """
name: stranger
languages: [en]
stages:
  - name: arbitrage
    do: arbitrage
    prompts: {use: jsonl, path: prompts.jsonl}
    teachers:
      good: {use: recorded, path: answers.jsonl, model: good}
      bad: {use: recorded, path: answers.jsonl, model: bad}
    arbiter: {use: same-script}
"""
    )
    done = strangers("-m", "aya_core", "run", tmp_path / "recipe.yaml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sections"]["arbitrage"]["data"]["teachers"]["good"]["won"] == 8


def test_a_recipe_that_needs_torch_says_what_to_install(strangers, tmp_path):
    done = strangers("-m", "aya_core", "check", "micro")
    assert done.returncode == 2
    assert 'install the extra: pip install "aya-core[train]"' in done.stderr


def test_it_passes_the_conformance_kit(strangers):
    done = strangers("-m", "pytest", "-q", EXAMPLE / "tests", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
