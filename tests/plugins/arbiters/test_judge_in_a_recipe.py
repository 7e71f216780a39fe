"""A judge in a run: its model comes from an earlier stage, its verdicts become data, and its failures are told."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

PLUGIN = '''
import json, re
from pathlib import Path
from typing import ClassVar
from aya_core.api import TeacherStrategy, TrainerStrategy
from aya_core.api import Completion, Field, ModelRef, Strategy, hookimpl

class Obedient(TeacherStrategy):
    """Prefer what the model says."""

    model: ModelRef = Field(description="Folder with verdict.json.")

    def build(self):
        return Judging(json.loads((Path(self.model) / "verdict.json").read_text()))

class Judging:
    def __init__(self, verdict):
        self.verdict = verdict

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            first, second = re.findall(r"<answer-[ab] [0-9a-f]{8}>\\n(.*)\\n", prompt.text)
            places = {"longer": "(A)" if len(first) > len(second) else "(B)"}
            yield Completion(prompt.id, "", 0, "Preferred: Answer " + places.get(self.verdict, "?"))

class Make(TrainerStrategy):
    """Make a model that wants the longer."""

    reads = "any"
    verdict: str = Field("longer", description="What it wants.")

    def build(self):
        return self

    def train(self, job):
        (job.out / "verdict.json").write_text(json.dumps(self.verdict))
        return {"loss": 0.0}

@hookimpl
def aya_teachers():
    return {"obedient": Obedient}

@hookimpl
def aya_trainers():
    return {"make": Make}
'''

ROWS = [{"id": f"q{n}", "language": ("en", "tr")[n % 2], "prompt": "Say it.", "completion": "It."} for n in range(6)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "obedient.py").write_text(PLUGIN)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    asked = [{key: row[key] for key in ("id", "language", "prompt")} for row in ROWS]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, asked)))
    for teacher, answer in (("short", "It."), ("long", "It is this."), ("none", "")):
        answers = [{"id": row["id"], "answer": answer} for row in ROWS]
        (tmp_path / f"{teacher}.jsonl").write_text("\n".join(map(json.dumps, answers)))
    teachers = {name: {"use": "recorded", "path": f"{name}.jsonl"} for name in ("short", "long", "none")}
    stages = [
        {"name": "critic", "do": "train", "trainer": {"use": "make"}, "data": {"use": "jsonl", "path": "rows.jsonl"}},
        {
            "name": "arbitrage",
            "do": "arbitrage",
            "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
            "teachers": teachers,
            "arbiter": {"use": "judge", "teacher": {"use": "obedient", "model": "critic"}},
        },
    ]
    path = tmp_path / "judged.yaml"
    path.write_text(
        json.dumps({"name": "judged", "languages": ["en", "tr"], "plugins": ["obedient.py"], "stages": stages})
    )
    return path


def test_a_judge_made_by_an_earlier_stage_picks_what_is_trained_on(recipe: Path, aya_command):
    done = aya_command("run", recipe, cwd=recipe.parent)
    assert done.returncode == 0, done.stderr
    runs = recipe.parent / "runs" / "judged" / "artifacts"
    (pairs,) = (runs / "arbitrage.pairs").glob("*/payload/*.parquet")
    rows = pyarrow.parquet.read_table(pairs).to_pylist()
    assert [(row["chosen_model"], row["rejected_model"], row["margin"]) for row in rows] == [("long", "short", 1)] * 6
    (verdicts,) = (runs / "arbitrage.verdicts").glob("*/payload/*.parquet")
    details = [json.loads(row["details"]) for row in pyarrow.parquet.read_table(verdicts).to_pylist() if row["details"]]
    assert {(row["first_position_wins"], row["second_position_wins"]) for row in details} == {(1, 1)}


def test_a_judge_whose_every_verdict_is_unreadable_stops_the_run_with_the_reason(recipe: Path, aya_command):
    done = aya_command("run", recipe, "--set", "stages.critic.trainer.verdict=neither", cwd=recipe.parent)
    assert done.returncode == 2
    assert "the arbiter scored none of 18 answers (6 abstentions, 12 failures)" in done.stderr
    for reason in (
        "the answer is empty (6)",
        "no comparison stands: the judge prefers 'answer ?'; expected Answer (A), Answer (B) or TIE (12)",
    ):
        assert reason in done.stderr.replace("\n", " ")


def test_a_judge_is_checked_before_anything_runs(recipe: Path, aya_command):
    setting = "stages.arbitrage.arbiter.instructions=Judge in {langauge}."
    done = aya_command("check", recipe, "--set", setting, cwd=recipe.parent)
    assert done.returncode == 2
    assert "stages.arbitrage.arbiter.instructions: no field {langauge} here; did you mean 'language'?" in done.stderr
