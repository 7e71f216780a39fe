"""The third party's stage, as a stranger has it: its own distribution in a clean environment, beside aya-core."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from places import ROOT, SHARED

from aya_core.api import Prompt, read_rows

EXAMPLE = ROOT / "examples" / "third_party_stage"
NOTING = SHARED / "noting_plugin.py"

pytestmark = pytest.mark.slow


class Translating:
    """A folder with a recipe that translates, whose teacher notes what it is asked."""

    def __init__(self, folder, strangers):
        self.folder, self.strangers = folder, strangers
        shutil.copy(NOTING, folder)
        self.stop, self.notes, self.out = folder / "stop", folder / "notes", folder / "out"
        self.teacher = {"use": "noting", "notes": str(self.notes), "word": "said ", "stop": str(self.stop)}
        self.stage = {
            "name": "many",
            "do": "translate",
            "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
            "teacher": self.teacher,
            "into": ["de"],
        }
        self.later = []
        self.write_prompts(6)

    def write_prompts(self, count):
        rows = [{"id": f"p{n}", "language": "en", "prompt": f"What is {n}?"} for n in range(count)]
        (self.folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def aya(self, command, *words, start=None):
        recipe = self.folder / "recipe.json"
        raw = {"name": "many", "languages": ["en", "de", "fr"], "plugins": [NOTING.name]}
        recipe.write_text(json.dumps({**raw, "stages": [self.stage, *self.later]}))
        return self.strangers("-m", "aya_core", command, recipe, *words, start=start)

    def run(self, *words, out=None):
        done = self.aya("run", "--out", out or self.out, "-q", *words)
        assert done.returncode == 0, done.stderr
        return self.artifact(out or self.out)

    def artifact(self, out):
        (newest,) = sorted((out / "artifacts" / "many").glob("????????????"), key=lambda f: -f.stat().st_mtime_ns)[:1]
        return newest

    def measures(self):
        return json.loads((self.artifact(self.out) / "artifact.json").read_text())["measures"]

    def asked(self):
        """Who was asked for since the last look."""
        lines = self.notes.read_text().split() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return lines


@pytest.fixture
def translating(tmp_path, strangers):
    return Translating(tmp_path, strangers)


def rows(artifact):
    return list(read_rows(artifact / "payload", Prompt))


def test_it_is_at_most_eighty_lines():
    files = [file for file in EXAMPLE.rglob("*.py") if "tests" not in file.parts]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 80


def test_it_is_found_by_its_entry_point_and_listed(strangers):
    listed = json.loads(strangers("-m", "aya_core", "plugins", "--json").stdout)
    (offers,) = [plugin["offers"] for plugin in listed if plugin["distribution"] == "aya-translate"]
    assert offers == ["stage translate", "command translate"]
    assert (
        "Put prompts into other languages"
        in strangers("-m", "aya_core", "strategies", "show", "stage", "translate").stdout
    )
    assert "Translate prompts: the translate stage alone." in strangers("-m", "aya_core", "--help").stdout


def test_it_is_planned(translating):
    steps = json.loads(translating.aya("plan", "--out", translating.out, "--json").stdout)
    assert [(step["step"], step["action"], step["makes"]) for step in steps] == [
        ("many.prompts", "read", "prompts"),
        ("many", "translate", "prompts"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do": "translat"}, "stages.many.do: no stage does 'translat'; did you mean 'translate'?"),
        ({"inot": ["de"]}, "stages.many: unknown key 'inot'; did you mean 'into'?"),
        ({"into": ["tr"]}, "stages.many.into: 'tr' is not one of the recipe's languages; add it there"),
        ({"teacher": {"use": "notin"}}, "stages.many.teacher: no teacher named 'notin'; did you mean 'noting'?"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_is_misspelled_is_told_with_what_was_meant(translating, change, message):
    translating.stage |= change
    done = translating.aya("check")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_translation_keeps_its_source_and_serves_later_stages(translating):
    translating.later = [
        {
            "name": "answers",
            "do": "arbitrage",
            "prompts": "many",
            "teachers": {"ana": {"use": "noting", "notes": str(translating.folder / "ana")}},
            "arbiter": {"use": "length"},
        }
    ]
    first = rows(translating.run())[0]
    assert (first.id, first.language) == ("p0@de", "de")
    assert first.text.startswith("said ")
    assert first.meta == {"source": "What is 0?", "source_id": "p0", "source_language": "en"}
    assert set((translating.folder / "ana").read_text().split()) == {f"p{n}@de" for n in range(6)}


def test_a_run_that_is_killed_goes_on_where_it_was(translating):
    translating.stop.touch()
    translating.teacher["most"] = 4
    start = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = translating.aya("run", "--out", translating.out, "-q", start=start)
    deadline = time.monotonic() + 120
    while not translating.notes.exists() or len(translating.notes.read_text().split()) < 4:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    translating.stop.unlink()
    finished = translating.run()
    assert sorted(translating.asked()) == [f"p{n}@de" for n in range(6)]  # each of them once
    assert rows(finished) == rows(translating.run(out=translating.folder / "undisturbed"))


def test_what_was_asked_once_is_not_asked_again(translating):
    translating.run()
    translating.asked()
    translating.run()
    assert translating.asked() == []
    translating.write_prompts(7)
    translating.run()
    assert translating.asked() == ["p6@de"]
    translating.stage["into"] = ["de", "fr"]
    translating.run()
    assert translating.asked() == [f"p{n}@fr" for n in range(7)]
    assert translating.measures()["languages"] == {
        "de": {"translated": 7, "failed": 0},
        "fr": {"translated": 7, "failed": 0},
    }


def test_failures_are_counted_and_asked_for_again_when_that_is_wanted(translating):
    translating.teacher["leaves_out"] = "3@de"
    translating.stop.touch()
    translating.run()
    translating.asked()
    assert translating.measures()["languages"] == {"de": {"translated": 5, "failed": 1}}
    assert translating.measures()["unanswered"] == 1
    translating.stop.unlink()
    translating.run("--ask-again")
    assert translating.asked() == ["p3@de"]
    assert translating.measures()["languages"] == {"de": {"translated": 6, "failed": 0}}


def test_its_section_of_the_report_counts_translations_by_language(translating):
    translating.run()
    section = json.loads((translating.out / "report.json").read_text())["sections"]["many"]
    assert section["data"] == {"de": {"translated": 6, "failed": 0}}
    (table,) = section["blocks"]
    assert (table["header"], table["rows"]) == (["language", "translated", "failed"], [["de", "6", "0"]])
    assert "Translations" in (translating.out / "report.md").read_text()


def test_its_command_translates_without_a_recipe(strangers, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"id": "p", "language": "en", "prompt": "Good morning"}\n')
    (tmp_path / "said.jsonl").write_text('{"id": "p@de", "answer": "Guten Morgen"}\n')
    words = ["jsonl,path=prompts.jsonl", "--teacher", "recorded,path=said.jsonl", "--into", "de", "--out", "out"]
    done = strangers("-m", "aya_core", "translate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"de": {"translated": 1, "failed": 0}}
    exported = strangers("-m", "aya_core", "export", "out", "translate", cwd=tmp_path)
    assert json.loads(exported.stdout)["prompt"] == [{"role": "user", "content": "Guten Morgen"}]


def test_it_passes_the_conformance_kit(strangers):
    done = strangers("-m", "pytest", "-q", EXAMPLE / "tests", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
