"""Tasks of lm-evaluation-harness, with its own configurations and rows of ours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import datasets
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

TASKS = Path(lm_eval.tasks.__file__).parent


def task(config, **splits):
    """Make the task of a configuration file, with these rows as its splits."""
    rows = {split: datasets.Dataset.from_list(found) for split, found in splits.items()}
    return ConfigurableTask(config={**load_yaml(TASKS / config), "custom_dataset": lambda **_: rows})


def jsonl(path):
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(path, names=None, **dialect):
    """The rows of a delimited file, as the sets' loaders read them."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, names, **dialect))


def replies(made, model=None, *, chat_template=None):
    """What a task asks, by row: contexts and continuations; with their log-likelihoods and the row's metrics, where a model is."""
    chat = {} if chat_template is None else {"apply_chat_template": True, "chat_template": chat_template}
    made.build_all_requests(**chat)
    found = {}
    replied = model.loglikelihood(made.instances, disable_tqdm=True) if model else [None] * len(made.instances)
    for instance, reply in zip(made.instances, replied, strict=True):
        found.setdefault(instance.doc_id, []).append((instance, reply))
    docs = list(made.eval_docs)
    for doc_id, rows in sorted(found.items()):
        asked = [instance.args for instance, _ in rows]
        scores = made.process_results(docs[doc_id], [reply for _, reply in rows]) if model else {}
        yield asked, [reply[0] for _, reply in rows if reply], scores
