"""What every action makes, in a recipe of strategies that cost nothing: its rows, or its files, and its measures."""

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
from golden import Maker, plain
from safetensors.torch import load_file

from aya_core.api import stable_hash
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import validate_recipe
from aya_core.planning.registry import Registry
from aya_core.running.inventory import Inventory
from aya_core.running.run_folder import Run
from aya_core.running.worker import do

SHARED = Path(__file__).parent.parent / "shared"
PLUGINS = [SHARED / "cheap_plugin.py", SHARED / "search_plugin.py", SHARED / "talkers.py", SHARED / "longest_answer.py"]
SHOWN_ROWS = 2
PASSING = {
    "seconds", "asked", "signature", "optimizer", "content", "base_content", "bytes_read", "bytes_written", "table"
}  # fmt: skip
"""Measures that tell of time, of the code of test plugins or of versions of libraries, or repeat others as text."""

ARBITRATION = {
    "do": "arbitrage",
    "prompts": "asked",
    "teachers": {
        "clever": {"use": "adder", "model": "clever"},
        "seven": {"use": "constant", "languages": ["en", "de"]},
    },
    "router": {"use": "everyone"},
    "arbiter": {"use": "nearness"},
}
ROUNDS = {
    "do": "online",
    "iterations": 2,
    "prompts": {"use": "questions"},
    "teacher": {"use": "talker"},
    "sampling": {"n": 4, "temperature": 1.0},
    "arbiter": {"use": "longest"},
    "trainer": {"use": "group"},
    "data": "groups",
    "guards": {"per_language": 4, "language": {"use": "tongue"}, "stop": {"kl": 9.0}},
}
TINY = {
    "do": "train",
    "data": {"use": "sums", "demonstrations": True},
    "trainer": {
        "use": "initialize",
        "config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    },
}
SEARCH = {
    "do": "search",
    "models": ["zero", "one"],
    "merge": {"use": "mix"},
    "prompts": {"use": "near", "around": 0.3, "first": 100},
    "teacher": {"use": "speaker"},
    "evaluator": {"use": "distance"},
    "budget": 9,
}
EVALUATION = {
    "do": "evaluate",
    "models": ["base", "clever"],
    "prompts": "asked",
    "teacher": {"use": "adder"},
    "sampling": {"temperature": 0.7, "n": 2},
    "evaluators": {
        "right": {"use": "right"},
        "versus": {"use": "better", "against": "base"},
        "asking": {"use": "mgsm", "data": "mgsm_de.jsonl", "shots": 0},
    },
}


def makers(registry: Registry) -> dict[str, Maker]:
    bundled = (
        name
        for name, action in registry.actions.items()
        if action.run.__module__.startswith(("aya_core.", "aya_recipe."))
    )
    return {f"action {name}": partial(_made, name) for name in bundled}


def _made(action, _):
    return _all_made()[action]


@cache
def _all_made():
    """Results by action and step."""
    with TemporaryDirectory() as folder:
        return _run(Path(folder))


def _stages(folder):
    rows = {"use": "near", "around": 0.3}
    sums = {"do": "train", "data": {"use": "sums", "demonstrations": True}}
    return {
        "asked": {"do": "data", "rows": {"use": "sums", "count": 6}},
        "base": {**sums, "trainer": {"use": "learner", "off": 9}},
        "clever": {**sums, "trainer": {"use": "learner", "off": 1}},
        "zero": {"do": "train", "data": rows, "trainer": {"use": "point", "value": 0.0}},
        "one": {"do": "train", "data": rows, "trainer": {"use": "point", "value": 1.0}},
        "arbitrage": ARBITRATION,
        "few": {**ARBITRATION, "limit": 4},
        "tuned": {**sums, "start": "base", "trainer": {"use": "learner"}, "each": "cluster", "own": 0.8, "limit": 9},
        "blend": {"do": "merge", "models": ["base", "clever"], "weights": [3, 1], "merge": {"use": "mean"}},
        "first": TINY,
        "second": TINY,
        "checked": {
            "do": "merge",
            "models": ["first", "second"],
            "merge": {"use": "weighted"},
            "check": {"lines": "lines.jsonl", "per_language": 2},
        },
        "online": {**ROUNDS, "start": f"{folder}/talker"},
        "found": SEARCH,
        "scores": EVALUATION,
    }


def _run(folder):
    (folder / "mgsm_de.jsonl").write_text(json.dumps({"question": "Was ist 3 + 4?", "answer": "7"}) + "\n")
    (folder / "lines.jsonl").write_text(json.dumps({"text": "3 + 4 5 + 5", "language": "en"}) + "\n")
    (folder / "talker").mkdir()
    (folder / "talker" / "words.json").write_text(json.dumps({"words": 4}))
    stages = [{"name": name, **stage} for name, stage in _stages(folder).items()]
    clusters = {"west": ["en", "de"], "east": ["tr"]}
    raw = {"name": "golden", "seed": 3, "languages": ["en", "de", "tr"], "clusters": clusters, "stages": stages}
    loaded = validate_recipe(raw, source="golden", folder=folder, registry=Registry(PLUGINS))
    inventory = Inventory(Run(folder / "run"))
    results = defaultdict(dict)
    for node in make_plan(loaded).nodes.values():
        if inventory.look(node) is not None:  # another step's artifact stands for it: after a guard
            continue
        contents = inventory.contents(node)
        fingerprint = inventory.fingerprint(node, contents)
        place = inventory.run.place(node, fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        record = {"fingerprint": fingerprint, "contents": contents}
        do(node, loaded.registry, inventory.paths(node), place, record, lambda done, total, measures: None)
        artifact = inventory.look(node)
        results[node.action][node.id] = {"measures": _lasting(artifact.measures), **_files(artifact.payload)}
    return results


def _files(payload):
    """What files hold, by name. Beside weights they are a tokenizer's and a configuration, as libraries write them."""
    files = [file for file in sorted(payload.rglob("*")) if file.is_file()]
    names = {file: str(file.relative_to(payload)) for file in files}
    weights = [file for file in files if file.suffix == ".safetensors"]
    if weights:
        sums = {
            names[file]: sum(values.double().abs().sum() for values in load_file(file).values()) for file in weights
        }
        return {**sums, "beside": [name for name in names.values() if name not in sums]}
    return {names[file]: _told(file) for file in files}


def _told(file):
    """A file's data, its text, or the number and hash of its rows with the first ones."""
    if file.suffix == ".json":
        return _lasting(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix != ".parquet":
        return file.read_text(encoding="utf-8")
    rows = [list(row.values()) for row in pyarrow.parquet.read_table(file).to_pylist()]
    return [len(rows), stable_hash(plain(rows))[:8], *rows[:SHOWN_ROWS]]


def _lasting(data):
    """Data without what another machine or library changes."""
    if isinstance(data, Mapping):
        return {key: _lasting(value) for key, value in data.items() if key not in PASSING}
    return [_lasting(one) for one in data] if isinstance(data, (list, tuple)) else data
