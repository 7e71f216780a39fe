"""Every bundled strategy passes the conformance check of its kind; a new one fails here until it has its line."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from faulty_server import FaultyServer
from warm_process import WarmProcess

from aya_core import testing as kit
from aya_core.api import Completion, Demonstration, Judged, Preference, Prompt, TrainingJob, Verdict
from aya_core.contract.artifacts import write_rows
from aya_core.planning.registry import Registry
from aya_core.testing import (
    check_arbiter,
    check_dataset,
    check_evaluator,
    check_merge,
    check_objective,
    check_router,
    check_teacher,
    check_tracker,
    check_trainer,
    sample_demonstrations,
    sample_preferences,
    sample_prompts,
    tiny_causal_lm,
)
from aya_plugins.arbiters.consensus import Consensus
from aya_plugins.arbiters.length import Length
from aya_plugins.arbiters.verifier import Verifier
from aya_plugins.merges import aya_merge_engine
from aya_plugins.teachers.recorded import Recorded

pytestmark = pytest.mark.slow

REGISTRY = Registry()


def bundled(kind: str) -> list[str]:
    """The names of a kind that this distribution offers."""
    return [name for name in REGISTRY.strategies[kind] if REGISTRY.origin(kind, name).distribution == "aya-core"]


def offered(kind: str, name: str, **settings):
    return REGISTRY.find(kind, name)(**settings)


@pytest.fixture(scope="module", autouse=True)
def forked_imports(tmp_path_factory):
    """Have the kit see what a module brings in by a fork of one process, instead of a new process for each of some seventy."""
    script = tmp_path_factory.mktemp("kit") / "list_modules.py"
    script.write_text(kit.strategy._LIST_MODULES)
    warm = WarmProcess("aya_core.api")

    def run(command, **how):
        return warm.run({"file": script, "words": command[3:], "environment": dict(os.environ)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kit.strategy, "subprocess", SimpleNamespace(run=run))
        yield
    warm.end()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of everything that settings can name: tables, recorded answers, rows as stages write them."""
    folder = tmp_path_factory.mktemp("conformance")
    table = [
        {"id": row.prompt.id, "prompt": row.prompt.text, "completion": row.completion}
        for row in sample_demonstrations()
    ]
    twice = [{"id": row["id"], "answer": f"{row['completion']} {n}"} for row in table[:4] for n in range(2)]
    (folder / "texts").mkdir()
    (folder / "texts" / "de.txt").write_text("eins\n\nzwei\ndrei\n")
    (folder / "tables").mkdir()
    (folder / "tables" / "train.jsonl").write_text("\n".join(map(json.dumps, table)))
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, twice)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), folder / "train.parquet")
    datasets.Dataset.from_list(table).save_to_disk(folder / "saved")
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(table), folder / "train.csv")
    prompts = sample_prompts()
    verdicts = [
        Judged(Completion(p.id, name, 0, name), Verdict(float(len(name))))
        for p in prompts
        for name in ("ana", "bo", "cem")
    ]
    for rows in (prompts, sample_demonstrations(), sample_preferences(), verdicts):
        (folder / type(rows[0]).__name__).mkdir()
        write_rows(folder / type(rows[0]).__name__, type(rows[0]), rows)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(tiny_causal_lm(tmp_path_factory.mktemp("conformance") / "model"))


@pytest.fixture(scope="session")
def router_model(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("conformance")
    start = tiny_causal_lm(folder / "start", "llama")
    for name in ("out", "work"):
        (folder / name).mkdir()
    job = TrainingJob(data / Judged.__name__, folder / "out", folder / "work", seed=0, start=start)
    offered("trainer", "router", prompts=str(data / Prompt.__name__), steps=1, batch_rows=4).build().train(job)
    return str(folder / "out")


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("conformance")
    start = tiny_causal_lm(folder / "start", "llama")
    for name in ("out", "work"):
        (folder / name).mkdir()
    job = TrainingJob(data / Preference.__name__, folder / "out", folder / "work", seed=0, start=start)
    offered("trainer", "reward", steps=1, batch_rows=4).build().train(job)
    return str(folder / "out")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", bundled("dataset"))
def test_data_sets_conform(name: str, data: Path):
    settings = {
        "jsonl": [{"path": f"{data}/tables"}],
        "parquet": [{"path": f"{data}/train.parquet"}],
        "csv": [{"path": f"{data}/train.csv"}],
        "text": [{"path": f"{data}/texts", "lines": lines} for lines in (1, 2)],
        "save-to-disk": [{"path": f"{data}/saved"}],
        "hub": [{"path": f"{data}/tables"}, {"path": f"{data}/saved"}],
        "mixture": [
            {"sources": {"rows": offered("dataset", "jsonl", path=f"{data}/tables")}, "per_language": limits}
            for limits in ({}, {"rows": 2})
        ],
        "micro-world": [{"split": "dev", "per_language": 5, "as_prompts": as_prompts} for as_prompts in (False, True)],
    }
    for options in settings[name]:
        check_dataset(offered("dataset", name, **options))


# vLLM conforms in the tests of its teacher, with the one engine that is started there.
@pytest.mark.parametrize("name", [name for name in bundled("teacher") if name != "vllm"])
def test_teachers_conform(name: str, data: Path, model: str):
    with FaultyServer().running() as url:
        settings = {
            "transformers": {"model": model},
            "openai": {"base_url": url, "model": "good-model"},
            "recorded": {"path": f"{data}/answers.jsonl"},
        }
        check_teacher(offered("teacher", name, **settings[name]))


@pytest.mark.parametrize("name", bundled("router"))
def test_routers_conform(name: str, data: Path, router_model: str):
    verdicts, prompts = str(data / Judged.__name__), str(data / Prompt.__name__)
    settings = {
        "all": [{}],
        "random": [{}, {"k": 2}],
        "single": [{"teacher": "bo"}, {"verdicts": verdicts}],
        "fixed": [{"default": "ana", "teachers": {"tr": "bo"}}, {"verdicts": verdicts, "prompts": prompts}],
        "learned": [{"model": router_model}, {"model": router_model, "k": 2, "batch_tokens": 20}],
    }
    for options in settings[name]:
        check_router(offered("router", name, **options))


@pytest.mark.parametrize("name", bundled("arbiter"))
def test_arbiters_conform(name: str, model: str, reward_model: str):
    settings = {
        "verifier": [
            {},
            {"check": "number"},
            {"expression": "len(answer) < 9"},
            {"check": "aya_plugins.datasets.micro_world_dataset:micro_world_score"},
        ],
        "consensus": [{}, {"word_order": 2}],
        "judge": [
            {"teacher": offered("teacher", "transformers", model=model), "mode": mode} for mode in ("pairwise", "score")
        ],
        "language": [{}, {"expected": {"tr": "en"}, "undetermined": "abstain"}],
        "length": [{}, {"max_ratio": 2}],
        "likelihood": [{"model": model}],
        "reward-model": [{"model": reward_model}, {"model": reward_model, "normalize": "language"}],
        "ensemble": [
            {"gates": {"reference": Verifier()}, "scores": {"agreement": Consensus()}},
            {"scores": {"agreement": Consensus(), "right": Verifier(check="number")}, "normalize": "language"},
            {"scores": {"right": Verifier(), "agreement": Consensus()}, "combine": "lexicographic"},
        ],
    }
    for options in settings[name]:
        check_arbiter(offered("arbiter", name, **options))


@pytest.mark.parametrize("name", bundled("objective"))
def test_objectives_conform(name: str):
    check_objective(offered("objective", name))


@pytest.mark.parametrize("name", bundled("merge"))
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")  # mergekit's dependencies
def test_merges_conform(name: str, tmp_path: Path):
    options = {"method": "nuslerp"} if name == "mergekit" else {}
    models = 1 if name in ("nearswap", "passthrough") else 2
    check_merge(offered("merge", name, **options), tmp_path, engine=aya_merge_engine(), models=models)


@pytest.mark.parametrize("name", bundled("trainer"))
def test_trainers_conform(name: str, data: Path, tmp_path: Path):
    objective = offered("objective", "rloo" if name == "policy-gradient" else "dpo").build()
    few = {"steps": 2, "batch_rows": 4}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings = {
        "initialize": ({"config": {"model_type": "cohere", **sizes}}, None),
        "sft": (few, "cohere"),
        "preference": (few, "cohere"),
        "policy-gradient": (few, "cohere"),
        "reward": (few, "llama"),  # transformers has no sequence classifier for cohere
        "router": ({**few, "prompts": str(data / Prompt.__name__)}, "llama"),
    }
    options, model_type = settings[name]
    check_trainer(offered("trainer", name, **options), tmp_path, objective=objective, model_type=model_type)


@pytest.mark.parametrize("name", bundled("tracker"))
def test_trackers_conform(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip(name, reason=f"needs {name}, which the development environment does not hold")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    options = {"tensorboard": {}, "wandb": {"mode": "offline"}, "trackio": {}}
    (tmp_path / "runs").mkdir()
    check_tracker(offered("tracker", name, **options[name]), tmp_path / "runs")


BENCHMARKS = {
    "test.it.jsonl": {"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 1},
    "eval.eu.jsonl": {
        **{f"input_sentence_{number}": "A." for number in range(1, 5)}, "sentence_quiz1": "B.", "sentence_quiz2": "C.",
        "answer_right_ending": 1,
    },
    "jp.jsonl": {"sentence": "A _ B.", "option1": "C", "option2": "D", "answer": "1"},
    "mgsm_de.jsonl": {"question": "1 + 1?", "answer": "2"},
    "de_test.jsonl": {"question": "A?", **{f"option_{letter}": letter for letter in "abcd"}, "answer": "D"},
}  # fmt: skip
"""A row of each benchmark, in a file named as such files are."""


@pytest.mark.parametrize("name", bundled("evaluator"))
def test_evaluators_conform(name: str, data: Path, tmp_path: Path):
    preferences = str(data / Preference.__name__)
    for file, row in BENCHMARKS.items():
        (tmp_path / file).write_text(json.dumps(row) + "\n")
    for language, text in {"eng_Latn": "A bird sings.", "tur_Latn": "Bir kuş ötüyor."}.items():
        (tmp_path / "flores").mkdir(exist_ok=True)
        (tmp_path / "flores" / f"{language}.devtest").write_text(f"{text}\n")
    settings = {
        "verifier": [{"check": "number"}],
        "win-rate": [
            {"against": "rival", "judge": Verifier(check="number")},
            {"against": Recorded(path=f"{data}/answers.jsonl"), "judge": Length(max_ratio=2)},
        ],
        "chrf": [{}],
        "perplexity": [{"rows": str(data / Demonstration.__name__)}],
        "preference-accuracy": [{"rows": preferences}, {"rows": preferences, "normalize_by_length": True}],
        "xcopa": [{"data": str(tmp_path / "test.it.jsonl")}],
        "xstorycloze": [{"data": str(tmp_path / "eval.eu.jsonl")}],
        "xwinograd": [{"data": str(tmp_path / "jp.jsonl")}],
        "global-mmlu": [{"data": str(tmp_path / "de_test.jsonl"), "shots": 0}],
        "flores": [{"data": str(tmp_path / "flores")}, {"data": str(tmp_path / "flores"), "prompting": "text"}],
        "mgsm": [{"data": str(tmp_path / "mgsm_de.jsonl"), "shots": 0}],
        "include": [{"data": str(tmp_path / "de_test.jsonl")}],
        "language-fidelity": [{}, {"expected": {"tr": "en"}}],
        "choice": [
            {
                "data": str(tmp_path / "de_test.jsonl"),
                "question": "{{ question }}",
                "options": ["A", "B"],
                "answer": "0",
                "metric": metric,
            }
            for metric in ("acc", "acc_norm")
        ],
        "generate": [
            {"data": str(tmp_path / "de_test.jsonl"), "question": "{{ question }}", "answer": "ja", "metric": metric}
            for metric in ("exact_match", "contains", "chrf++")
        ],
        "reward": [{"arbiter": Verifier(check="number")}, {"arbiter": offered("arbiter", "length")}],
    }
    for options in settings[name]:
        check_evaluator(offered("evaluator", name, **options))
