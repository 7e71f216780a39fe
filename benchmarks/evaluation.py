"""Time whole evaluations, `aya run` of a recipe and `lm_eval`, on the same rows in one run, and compare their numbers.

python benchmarks/evaluation.py DATA [--model FOLDER] [--rows N] [--batch-size N] prints a table: seconds, processor seconds and the peak
memory of each command's processes together, interpreter and imports included; and by how much the log-likelihoods differ, item by item.
DATA holds the folders `xcopa` (JSONL of five languages) and `mmlu_ar` (Hendrycks's CSV files in Arabic), as they were published. Without
`--model` an untrained one is made.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
import yaml
from merges import children, memory
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from aya_core.api import LocalFile, RowScore, Scored, read_rows
from aya_plugins.evaluators.global_mmlu import GlobalMmlu
from aya_plugins.evaluators.xcopa import Xcopa
from aya_plugins.modeling.tokenizers import make_tokenizer

LANGUAGES = ("id", "it", "tr", "vi", "zh")
ENVIRONMENT = Path(sys.executable).parent
SUBJECT = "accuracy/subject "
COLUMNS = ["question", "option_a", "option_b", "option_c", "option_d", "answer"]


def make_checkpoint(folder: Path, data: Path, family: str, vocabulary: int) -> None:
    """Write an untrained model and a tokenizer of as many tokens; what the rows have no merges for is never used."""
    texts = [
        file.read_text(encoding="utf-8") for file in sorted(data.glob("*/**/*")) if file.suffix in (".jsonl", ".csv")
    ]
    made = json.loads(make_tokenizer("bpe", vocabulary, texts).backend_tokenizer.to_str())
    vocab = made["model"]["vocab"]
    vocab |= {f"unused-{token}": token for token in range(len(vocab), vocabulary)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made)), bos_token="<BOS_TOKEN>", eos_token="<|END_OF_TURN_TOKEN|>",
        pad_token="<PAD>",
    )  # fmt: skip
    config = AutoConfig.for_model(
        family, vocab_size=vocabulary, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_recipe(path: Path, data: Path, model: Path) -> None:
    """Write what `aya run` is to do."""
    stage = {
        "name": "scores", "do": "evaluate", "models": [str(model)], "teacher": {"use": "transformers"},
        "evaluators": {
            "xcopa": {"use": "xcopa", "data": str(data / "xcopa"), "languages": list(LANGUAGES)},
            "mmlu": {"use": "global-mmlu", "data": str(data / "mmlu_ar")},
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "evaluation", "languages": ["ar"], "stages": [stage]}))


def write_tasks(folder: Path, data: Path) -> list[str]:
    """Write tasks of the harness over the same files; returns their names."""
    folder.mkdir()
    (folder / "utils.py").write_text("from lm_eval.tasks.xcopa.utils import *\n")
    names = []

    def write(name: str, text: str) -> None:
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\noutput_type: multiple_choice\n{text}metric_list: [{{metric: acc}}]\n"
        )
        names.append(name)

    for code in LANGUAGES:
        files = json.dumps({"test": str(data / "xcopa" / code / f"test.{code}.jsonl")})
        write(
            f"files_xcopa_{code}",
            f"dataset_path: json\ndataset_kwargs: {{data_files: {files}}}\ntest_split: test\ndoc_to_target: label\n"
            f"doc_to_text: !function utils.doc_to_text_{code}\ndoc_to_choice: !function utils.doc_to_choice\n",
        )
    for test in sorted((data / "mmlu_ar" / "test").glob("*_test.csv")):
        subject = test.name.removesuffix("_test.csv")
        files = json.dumps({"test": str(test), "dev": str(data / "mmlu_ar" / "dev" / f"{subject}_dev.csv")})
        write(
            f"files_mmlu_{subject}",
            f"dataset_path: csv\ndataset_kwargs: {{data_files: {files}, names: {json.dumps(COLUMNS)}}}\ntest_split: test\n"
            "fewshot_split: dev\nfewshot_config: {sampler: first_n}\nnum_fewshot: 5\n"
            'doc_to_text: "{{question.strip()}}\\nA. {{option_a}}\\nB. {{option_b}}\\nC. {{option_c}}\\nD. {{option_d}}\\nAnswer:"\n'
            'doc_to_choice: ["A", "B", "C", "D"]\ndoc_to_target: answer\n',
        )
    return names


def first_rows(data: Path, folder: Path, rows: int) -> Path:
    """Copy the first rows of each test file, and the others whole."""
    for file in sorted(path for name in ("xcopa", "mmlu_ar") for path in (data / name).rglob("*") if path.is_file()):
        copy = folder / file.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        most = rows if "test" in file.name else None
        with file.open(encoding="utf-8", newline="") as source, copy.open("w", encoding="utf-8", newline="") as made:
            if file.suffix == ".csv":
                csv.writer(made).writerows(islice(csv.reader(source), most))
            else:
                made.writelines(islice(source, most))
    return folder


def run(command: list[str], log: Path, cache: Path) -> tuple[float, float, float]:
    """Run a command; give its seconds, processor seconds, and the peak memory of all its processes together in MiB."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(cache)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(memory, family(process.pid))))
            time.sleep(0.1)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def family(pid: int) -> list[int]:
    """A process, what it started, and what that started."""
    return [pid, *(member for child in children(pid) for member in family(child))]


def our_accuracies(run_folder: Path) -> dict[str, float]:
    """Accuracy by task, from the scores of the run's rows."""
    values: dict[str, list[float]] = {}
    for artifact in (run_folder / "artifacts").glob("scores.*@*/*/payload"):
        is_xcopa = artifact.parent.parent.name.startswith("scores.xcopa")
        for row in read_rows(artifact, RowScore) if "replies" not in artifact.parent.parent.name else ():
            if is_xcopa and row.metric == "accuracy":
                values.setdefault(f"files_xcopa_{row.language}", []).append(row.value)
            elif row.metric.startswith(SUBJECT):
                values.setdefault(f"files_mmlu_{row.metric.removeprefix(SUBJECT)}", []).append(row.value)
    return {task: sum(found) / len(found) for task, found in values.items()}


def our_log_likelihoods(run_folder: Path, data: Path) -> dict[tuple[str, str], float]:
    """Nats by context and continuation, from the replies of the run."""
    evaluators = (
        Xcopa(data=LocalFile(data / "xcopa"), languages=LANGUAGES),
        GlobalMmlu(data=LocalFile(data / "mmlu_ar")),
    )
    asked = {one.id: one.continuations for evaluator in evaluators for one in evaluator.build().requests()}
    found = {}
    for scores in (run_folder / "artifacts").glob("scores.replies*/*/payload/*.scores"):  # a folder for each evaluator
        for reply in read_rows(scores, Scored):
            for one, scored in zip(asked[reply.id], reply.log_likelihoods, strict=True):
                found[str(one.context), one.text] = scored.nats
    return found


def their_log_likelihoods(folder: Path) -> dict[tuple[str, str], float]:
    """Nats by context and continuation, from the samples that the harness logged."""
    found = {}
    for file in folder.glob("**/samples*.jsonl"):
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            for asked, (reply,) in zip(row["arguments"].values(), row["resps"], strict=True):
                found[asked["arg_0"], asked["arg_1"]] = float(reply[0])
    return found


def main() -> None:
    """Print the table, and fail where a number differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, help="a checkpoint; without it an untrained one is made")
    parser.add_argument("--model-type", default="cohere", help="of the one that is made")
    parser.add_argument("--vocabulary", type=int, default=128_000)
    parser.add_argument("--rows", type=int, help="of each file, the first; all where it is left out")
    parser.add_argument("--batch-size", default="8", help="of lm_eval")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.rows is not None:
            data = first_rows(data, folder / "data", arguments.rows)
        model = arguments.model.resolve() if arguments.model else folder / "model"
        if not arguments.model:
            make_checkpoint(model, data, arguments.model_type, arguments.vocabulary)
        write_recipe(folder / "recipe.yaml", data, model)
        tasks = write_tasks(folder / "tasks", data)
        ours = run(
            [str(ENVIRONMENT / "aya"), "run", str(folder / "recipe.yaml"), "--out", str(folder / "run")], folder / "ours.log",
            folder / "cache",
        )  # fmt: skip
        print(f"| | s | processor s | peak memory, MiB |\n|---|---:|---:|---:|\n{line('`aya run`', ours)}", flush=True)
        theirs = run(
            [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--log_samples",
             "--tasks", ",".join(tasks), "--include_path", str(folder / "tasks"), "--batch_size", arguments.batch_size,
             "--device", "cpu", "--output_path", str(folder / "theirs")], folder / "theirs.log", folder / "cache",
        )  # fmt: skip
        print(line(f"`lm_eval --batch_size {arguments.batch_size}`", theirs))
        print("| share | " + " | ".join(f"{mine / other:.2f}" for mine, other in zip(ours, theirs, strict=True)) + " |")
        (results,) = (folder / "theirs").glob("**/results*.json")
        expected = {task: row["acc,none"] for task, row in json.loads(results.read_text())["results"].items()}
        found = our_accuracies(folder / "run")
        if found.keys() != expected.keys() or any(abs(found[task] - expected[task]) > 1e-9 for task in expected):
            sys.exit(f"the numbers differ: {found} and {expected}")
        print(f"\n{len(found)} accuracies agree: {', '.join(f'{value:.3f}' for value in found.values())}")
        ours_of, theirs_of = our_log_likelihoods(folder / "run", data), their_log_likelihoods(folder / "theirs")
        if ours_of.keys() != theirs_of.keys():
            sys.exit(f"{len(ours_of.keys() ^ theirs_of.keys())} contexts or continuations differ")
        largest = max(abs(ours_of[item] - theirs_of[item]) for item in theirs_of)
        print(f"{len(theirs_of)} log-likelihoods differ by at most {largest:.1e} nats")


def line(name: str, cost: tuple[float, float, float]) -> str:
    """One line of the table."""
    seconds, processor, peak = cost
    return f"| {name} | {seconds:.1f} | {processor:.1f} | {peak:.0f} |"


if __name__ == "__main__":
    main()
