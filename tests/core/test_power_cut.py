"""The power is cut at any moment of a run; the next run ends as an undisturbed one."""

import random
import shutil

import pytest
from places import SHARED
from power_cut import Disk

from aya_core.contract import durable, journal
from aya_core.contract.artifacts import MANIFEST, PAYLOAD
from aya_core.contract.errors import AyaError
from aya_core.planning import yaml12
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.running import upkeep
from aya_core.running.asking import reuse, teachers
from aya_core.running.inventory import Inventory
from aya_core.running.record import PLAN
from aya_core.running.run_folder import Run
from aya_core.running.work import LOG
from aya_core.running.worker import do
from aya_recipe.arbitrage import judging

pytestmark = pytest.mark.slow

CUTS = 30


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A recipe that samples, judges, picks, trains and merges, in several shards, each of whose items goes to a journal."""
    monkeypatch.setattr(teachers, "SHARD_TOKENS", 256 * 8)  # eight answers of at most 256 tokens
    monkeypatch.setattr(judging, "CHUNK_CASES", 8)
    monkeypatch.setattr(reuse, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(journal, "FLUSH_SECONDS", 0.002)
    for name in ("cheap.yaml", "cheap_plugin.py"):
        shutil.copy(SHARED / name, tmp_path / name)
    raw = yaml12.parse((tmp_path / "cheap.yaml").read_text(), "cheap.yaml")
    raw["stages"] = raw["stages"][:5]  # up to the first merge
    (tmp_path / "cheap.yaml").write_text(yaml12.dump(raw))
    loaded = load_recipe(tmp_path / "cheap.yaml")
    return loaded, make_plan(loaded)


def go(planned, out):
    """Do what `aya run` does, in this process; returns the content of every artifact."""
    loaded, plan = planned
    run = Run(out)
    durable.make_folder(out)
    run.check(loaded)
    run.open(loaded)
    inventory = Inventory(run, check=True)
    for node in plan.nodes.values():
        if inventory.look(node) is None:
            contents = inventory.contents(node)
            fingerprint = inventory.fingerprint(node, contents)
            place = run.place(node, fingerprint)
            durable.make_folder(place.parent)
            record = {"fingerprint": fingerprint, "contents": contents, "store": str(run.store)}
            do(node, loaded.registry, inventory.paths(node), place, record, lambda *replied: None)
            assert inventory.look(node)
    for artifact in inventory.standing.values():
        assert {path.name for path in artifact.folder.iterdir()} <= {MANIFEST, PAYLOAD, LOG}  # no scratch came back
    assert not [what for what in upkeep.verify(run).damage if PLAN not in what]  # the steps are done without a runner
    return {id: artifact.content for id, artifact in inventory.standing.items()}


def cuts_of_a_run(planned, tmp_path, monkeypatch, rng):
    """Watch a run, with the state of its disk at some moments; returns these with what the run made."""
    counted = Disk(tmp_path / "counted", keep=lambda number: False)
    with counted.watched(monkeypatch):
        go(planned, counted.root)
    moments = set(rng.sample(range(1, counted.events), CUTS))
    disk = Disk(tmp_path / "watched", keep=lambda number: number in moments)
    with disk.watched(monkeypatch):
        made = go(planned, disk.root)
    return disk.cuts, made


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_power_cut_the_next_run_ends_as_an_undisturbed_one(planned, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    cuts, made = cuts_of_a_run(planned, tmp_path, monkeypatch, rng)
    monkeypatch.setattr(durable.os, "fsync", lambda opened: None)  # no power is cut any more
    assert len(cuts) == CUTS
    for number, cut in enumerate(cuts):
        cut.restore(tmp_path / str(number), rng)
        assert go(planned, tmp_path / str(number)) == made


def test_without_flushes_the_same_cuts_do_harm(planned, tmp_path, monkeypatch):
    """What the test above finds where it is looked for."""
    rng = random.Random(1)
    monkeypatch.setattr(durable, "_flush_one", lambda path: None)
    cuts, made = cuts_of_a_run(planned, tmp_path, monkeypatch, rng)

    def is_harmed(number, cut):
        cut.restore(tmp_path / str(number), rng)
        try:
            return go(planned, tmp_path / str(number)) != made
        except AyaError:
            return True

    assert any(is_harmed(number, cut) for number, cut in enumerate(cuts))
