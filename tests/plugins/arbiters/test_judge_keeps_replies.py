"""Every reply of a judge is kept when it comes: it is not asked for again, whatever ends the run and whatever changes beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''
import os, re, signal
from pathlib import Path
from aya_core.api import Completion, DataError, Field, ModelRef, TeacherStrategy, hookimpl

class Mortal(TeacherStrategy):
    """Prefer the longer answer, note each question, and go down after some."""

    notes: str = Field(description="File for the questions asked.")
    fate: str = Field(description="File with how many more questions it takes, and how it ends then.")
    execution_settings = frozenset({"notes", "fate"})

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        left, end = Path(self.fate).read_text().split()
        for number, prompt in enumerate(reversed(prompts)):  # the first case is complete last
            if number == int(left):
                if end == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise DataError("the server is down")
            with open(self.notes, "a") as notes:
                notes.write(prompt.id + "\\n")
            texts = re.findall(r"<answer(?:-[ab])? [0-9a-f]{8}>\\n(.*)\\n", prompt.text)
            if len(texts) == 1:
                yield Completion(prompt.id, "", 0, f"Score: {1 + len(texts[0]) % 10}")
            else:
                yield Completion(prompt.id, "", 0, "Preferred: " + ("A" if len(texts[0]) > len(texts[1]) else "B"))

class Speaker(TeacherStrategy):
    """Say what the model holds."""

    model: ModelRef = Field(description="Folder with says.txt.")

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        said = (Path(self.model) / "says.txt").read_text()
        return (Completion(prompt.id, "", 0, said) for prompt in prompts)

@hookimpl
def aya_teachers():
    return {"mortal": Mortal, "speaker": Speaker}
'''

ANSWERS = {"short": "It.", "long": "It is this.", "longest": "It is this and that."}
JUDGE = {"use": "judge", "teacher": {"use": "mortal", "notes": "notes", "fate": "fate"}}
ENSEMBLE = {
    "use": "ensemble",
    "gates": {"length": {"use": "length"}},
    "scores": {"judge": JUDGE, "agreement": {"use": "consensus"}},
    "normalize": "language",
}
PROMPTS = 10


class Folder:
    """A recipe whose judge may die, and what its judge was asked."""

    def __init__(self, folder: Path, aya_command: Any) -> None:
        self.folder = folder
        self.aya_command = aya_command
        (folder / "mortal.py").write_text(PLUGIN)
        ids = [f"q{n}" for n in range(PROMPTS)]
        for name, text in ANSWERS.items():
            (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"id": id, "answer": text}) for id in ids))
        rows = [{"id": id, "language": "en", "prompt": "Say it."} for id in ids]
        (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def run(self, stage: dict[str, Any], *, left: int = 10**6, end: str = "raise") -> Any:
        stages = [{"name": "it", "prompts": {"use": "jsonl", "path": "prompts.jsonl"}, **stage}]
        recipe = {"name": "r", "languages": ["en"], "plugins": ["mortal.py"], "stages": stages}
        (self.folder / "r.yaml").write_text(json.dumps(_absolute(recipe, self.folder)))
        (self.folder / "fate").write_text(f"{left} {end}")
        return self.aya_command("run", self.folder / "r.yaml", cwd=self.folder)

    def asked(self) -> list[str]:
        """The questions since the last time."""
        notes = self.folder / "notes"
        lines = notes.read_text().split() if notes.exists() else []
        notes.write_text("")
        return lines

    def content(self, step: str) -> str:
        (manifest,) = (self.folder / "runs" / "r" / "artifacts" / step).glob("*/artifact.json")
        return str(json.loads(manifest.read_text())["content"])


def _absolute(settings: Any, folder: Path) -> Any:
    if isinstance(settings, dict):
        return {
            key: str(folder / value) if key in ("notes", "fate") else _absolute(value, folder)
            for key, value in settings.items()
        }
    return [_absolute(value, folder) for value in settings] if isinstance(settings, list) else settings


def arbitrage(arbiter: dict[str, Any], *teachers: str) -> dict[str, Any]:
    named = {name: {"use": "recorded", "path": f"{name}.jsonl"} for name in teachers}
    return {"do": "arbitrage", "teachers": named, "arbiter": arbiter}


@pytest.fixture
def folder(tmp_path: Path, aya_command) -> Folder:
    return Folder(tmp_path, aya_command)


@pytest.mark.parametrize("end", ["raise", "kill"])
@pytest.mark.parametrize("arbiter", [JUDGE, JUDGE | {"mode": "score"}, ENSEMBLE], ids=["pairs", "scores", "ensemble"])
def test_no_reply_is_lost_however_the_judge_ends(folder: Folder, tmp_path_factory, arbiter: dict[str, Any], end: str):
    stage = arbitrage(arbiter, "short", "long")
    assert folder.run(stage, left=7, end=end).returncode != 0
    before = folder.asked()
    assert folder.run(stage).returncode == 0
    after = folder.asked()
    assert len(before) == 7
    assert len(after) == 2 * PROMPTS - 7
    assert not set(before) & set(after)
    undisturbed = Folder(tmp_path_factory.mktemp("undisturbed"), folder.aya_command)
    undisturbed.run(stage)
    assert folder.content("it.verdicts") == undisturbed.content("it.verdicts")


@pytest.mark.parametrize(
    ("arbiter", "new"), [(JUDGE, 4), (JUDGE | {"mode": "score"}, 1), (ENSEMBLE, 4)], ids=["pairs", "scores", "ensemble"]
)
def test_when_a_teacher_joins_only_its_own_comparisons_are_asked(folder: Folder, arbiter: dict[str, Any], new: int):
    folder.run(arbitrage(arbiter, "short", "long"))
    assert len(folder.asked()) == 2 * PROMPTS
    assert folder.run(arbitrage(arbiter, "short", "long", "longest")).returncode == 0
    assert len(folder.asked()) == new * PROMPTS


def test_what_stands_beside_a_judge_does_not_change_what_it_said(folder: Folder):
    teachers = ("short", "long", "longest")
    folder.run(arbitrage(JUDGE, *teachers))
    assert len(folder.asked()) == 6 * PROMPTS
    assert folder.run(arbitrage(ENSEMBLE, *teachers)).returncode == 0
    assert folder.asked() == []
    assert folder.run(arbitrage(JUDGE | {"rubric": "Be kind."}, *teachers)).returncode == 0
    assert len(folder.asked()) == 6 * PROMPTS


@pytest.mark.parametrize(
    ("evaluator", "questions"),
    [
        ({"use": "win-rate", "against": {"use": "recorded", "path": "short.jsonl"}, "judge": JUDGE}, 2),
        ({"use": "reward", "arbiter": JUDGE | {"mode": "score"}}, 1),
    ],
    ids=["win-rate", "reward"],
)
def test_what_an_evaluator_asks_a_judge_is_kept_one_by_one(folder: Folder, evaluator: dict[str, Any], questions: int):
    model = folder.folder / "model"
    model.mkdir()
    (model / "says.txt").write_text("It is this.")
    stage = {"do": "evaluate", "models": ["./model"], "teacher": {"use": "speaker"}, "evaluators": {"it": evaluator}}
    assert folder.run(stage, left=7, end="kill").returncode != 0
    assert len(folder.asked()) == 7
    done = folder.run(stage)
    assert done.returncode == 0, done.stderr
    assert len(folder.asked()) == questions * PROMPTS - 7


def test_a_damaged_reply_is_asked_for_again_and_counted(folder: Folder):
    stage = arbitrage(JUDGE, "short", "long")
    folder.run(stage, left=7)
    folder.asked()
    (journal,) = (folder.folder / "runs" / "r" / "store" / "replies").rglob("*.jsonl")
    journal.write_text(journal.read_text().replace("Preferred: A", "Preferred: B", 1))
    assert folder.run(stage).returncode == 0
    assert len(folder.asked()) == 2 * PROMPTS - 6
    (manifest,) = (folder.folder / "runs" / "r" / "artifacts" / "it.verdicts").glob("*/artifact.json")
    measures = json.loads(manifest.read_text())["measures"]
    assert (measures["replies_taken_over"], measures["damaged"]) == (6, 1)
