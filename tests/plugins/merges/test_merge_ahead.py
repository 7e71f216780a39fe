"""What is hashed while torch is being imported is hashed right, and moves no bit."""

import json
import multiprocessing
import subprocess
import sys

import pytest
from checkpoints import merge

from aya_plugins.merges import Weighted
from aya_plugins.merges.files.checkpoint import open_checkpoint, tensor_digest
from aya_plugins.merges.runtime.ahead import digests_ahead


@pytest.fixture
def tensors(three, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    checkpoint = open_checkpoint(three[0])
    return [checkpoint.source(name) for name in checkpoint.entries]


def finish():
    """Wait until the process that hashes is done."""
    for process in multiprocessing.active_children():
        process.join()


def test_digests_are_those_of_the_tensors_in_order(tensors):
    with digests_ahead(tensors) as digests:
        finish()
    assert digests == [tensor_digest(tensor) for tensor in tensors]


def test_digests_end_with_the_block(tensors):
    with digests_ahead(tensors) as digests:
        pass
    assert digests == [tensor_digest(tensor) for tensor in tensors[: len(digests)]]
    assert not multiprocessing.active_children()


def test_digests_end_before_what_cannot_be_read(tensors):
    path = tensors[0].entry.file
    last = max(tensors, key=lambda tensor: tensor.entry.offset)
    path.write_bytes(path.read_bytes()[: last.entry.offset])
    with digests_ahead(tensors) as digests:
        finish()
    assert len(digests) == tensors.index(last)


def test_nothing_is_hashed_ahead_where_torch_is_there_already(tensors, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    with digests_ahead(tensors) as digests:
        assert not multiprocessing.active_children()
    assert digests == []


FRESH = """
import json, multiprocessing, sys
from pathlib import Path
from aya_core.api import MergeInput, MergeJob, MergeParameter

from aya_plugins.merges import Weighted, aya_merge_engine
engine, built = aya_merge_engine(), Weighted().build()
assert "torch" not in sys.modules
models = tuple(MergeInput(Path(folder).name, Path(folder)) for folder in sys.argv[2:])
Path(sys.argv[1]).mkdir()
description = {"use": "Weighted", **Weighted().model_dump(mode="json")}
(account,) = engine.merge([(built, MergeJob(models, Path(sys.argv[1]), MergeParameter(1.0), description=description))])
print(json.dumps(account))
"""


def test_a_merge_in_a_fresh_process_is_the_same(three, out, tmp_path):
    fresh = tmp_path / "fresh"
    command = [sys.executable, "-c", FRESH, str(fresh), *map(str, three)]
    account = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert account == merge(Weighted(), three, out)
    assert {path.name: path.read_bytes() for path in fresh.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
