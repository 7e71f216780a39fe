"""Every bundled data set, teacher, router, arbiter and evaluator of ours passes its kind's conformance check."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from aya_core.api import Completion, Demonstration, Judged, Preference, Prompt, Verdict
from aya_core.artifacts import write_rows
from aya_core.testing import (
    check_arbiter,
    check_dataset,
    check_evaluator,
    check_router,
    check_teacher,
    sample_demonstrations,
    sample_preferences,
    sample_prompts,
)
from aya_plugins.arbiters.consensus import Consensus
from aya_plugins.arbiters.verifier import Verifier
from aya_plugins.datasets.hub import Hub
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.micro_world_dataset import MicroWorld
from aya_plugins.datasets.parquet import Parquet
from aya_plugins.evaluators.chrf import Chrf
from aya_plugins.evaluators.perplexity import Perplexity
from aya_plugins.evaluators.preference_accuracy import PreferenceAccuracy
from aya_plugins.evaluators.verifier import VerifierEvaluator
from aya_plugins.evaluators.win_rate import WinRate
from aya_plugins.routers.all_teachers import AllTeachers
from aya_plugins.routers.fixed import Fixed
from aya_plugins.routers.random_teachers import RandomTeachers
from aya_plugins.routers.single import Single
from aya_plugins.teachers.recorded import Recorded

TABLE = [
    {"id": row.prompt.id, "prompt": row.prompt.text, "completion": row.completion} for row in sample_demonstrations()
]


@pytest.fixture
def rows(tmp_path: Path):
    """Write records the way a stage does; returns the folder."""

    def write(kind, records):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        write_rows(folder, kind, records)
        return str(folder)

    return write


@pytest.fixture
def verdicts(rows):
    """Verdicts of three teachers on every prompt."""
    teachers = ("ana", "bo", "cem")
    prompts = sample_prompts()
    return rows(Judged, [Judged(Completion(p.id, t, 0, t), Verdict(float(len(t)))) for p in prompts for t in teachers])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_bundled_data_sets_conform(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, TABLE)))
    check_dataset(Jsonl(path=str(tmp_path)))
    check_dataset(Hub(path=str(tmp_path)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE), tmp_path / "train.parquet")
    check_dataset(Parquet(path=str(tmp_path)))
    for as_prompts in (False, True):
        check_dataset(MicroWorld(split="dev", per_language=5, as_prompts=as_prompts))


def test_the_recorded_teacher_conforms(tmp_path: Path):
    twice = [{"id": row["id"], "answer": f"{row['completion']} {n}"} for row in TABLE[:4] for n in range(2)]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, twice)))
    check_teacher(Recorded(path=str(tmp_path)))


def test_the_bundled_routers_conform(verdicts: str, rows):
    prompts = rows(Prompt, sample_prompts())
    for router in (
        AllTeachers(),
        RandomTeachers(),
        RandomTeachers(k=2),
        Single(teacher="bo"),
        Single(verdicts=verdicts),
        Fixed(default="ana", teachers={"tr": "bo"}),
        Fixed(verdicts=verdicts, prompts=prompts),
    ):
        check_router(router)


@pytest.mark.parametrize("check", ["exact", "number", "aya_plugins.datasets.micro_world_dataset:micro_world_score"])
def test_the_verifier_conforms(check: str):
    check_arbiter(Verifier(check=check))


def test_consensus_conforms_as_chrf_and_as_chrf_plus_plus():
    check_arbiter(Consensus())
    check_arbiter(Consensus(word_order=2))


def test_the_bundled_evaluators_conform(rows):

    for evaluator in (
        VerifierEvaluator(check="number"),
        WinRate(against="rival", judge=Verifier(check="number")),
        Chrf(),
        Perplexity(rows=rows(Demonstration, sample_demonstrations())),
        PreferenceAccuracy(rows=rows(Preference, sample_preferences()), normalise_by_length=True),
    ):
        check_evaluator(evaluator)
