"""`aya verify` finds all damage to what carries a checksum, and nothing else."""

import json
import os
import shutil
from pathlib import Path

import pytest
from run_folders import cut, damage_of, exchange, flip, folder_of, refused, resealed

from aya_core.contract.artifacts import MANIFEST
from aya_core.contract.durable import write_sealed
from aya_core.contract.hashes import file_hash, named_by_hash
from aya_core.contract.journal import Journal
from aya_core.planning import yaml12
from aya_core.running.run_folder import Run


def test_verify_counts_what_it_reads_and_lists_all_damage(done, aya):
    whole = json.loads(aya("verify", done, "--json", check=0).stdout)
    assert whole["artifacts"] == len(list(done.glob("artifacts/*/*"))) > 60
    assert whole["files"] > whole["artifacts"] / 2
    assert whole["bytes"] > 0
    assert whole["damage"] == []
    flip(folder_of(done, "base") / "payload" / "model.json")
    flip(folder_of(done, "clever") / MANIFEST)
    edited = folder_of(done, "scores.contamination") / MANIFEST
    edited.write_text(edited.read_text().replace('"exact": 12', '"exact": 0'))
    exchange(folder_of(done, "sft@west"), folder_of(done, "sft@east"))
    (folder_of(done, "blend") / "payload" / "model.json").unlink()
    (folder_of(done, "offline-blend") / "payload" / "more").touch()
    resealed(folder_of(done, "offline@west") / MANIFEST, kind="prompts")
    shutil.rmtree(folder_of(done, "offline@east"))
    steps = done / "steps.jsonl"
    steps.write_text(steps.read_text().replace('"base.data"', '"best.data"', 1))
    output = aya("verify", done, "--json", check=1)
    damage = json.loads(output.stdout)["damage"]
    assert output.stderr == ""  # a damaged line is told once
    for words in (
        "model.json: changed since it was written", f"{folder_of(done, 'clever') / MANIFEST}: damaged", f"{edited}: damaged",
        "holds the artifact that belongs in sft@west/", "holds the artifact that belongs in sft@east/",
        "missing from the artifact of 'blend'", "more: not part of the artifact of 'offline-blend'",
        "holds prompts, and the plan says that 'offline@west' is checkpoint", "missing; it stands for the step 'offline@east'",
        f"{steps}: damaged lines: 1",
    ):  # fmt: skip
        assert len([line for line in damage if words in line]) == 1, (words, damage)
    assert len(damage) == 10
    assert aya("verify", done, check=1).stdout.splitlines()[:-1] == damage


def test_verify_lists_a_damaged_record_beside_the_rest(done, aya):
    flip(done / "run.json")
    flip(done / "plan.json")
    damage = json.loads(aya("verify", done, "--json", check=1).stdout)["damage"]
    assert [Path(line.partition(": damaged")[0]).name for line in damage] == ["run.json", "plan.json"]
    (done / "run.json").unlink()
    (done / "plan.json").unlink()
    flip(folder_of(done, "base") / "payload" / "model.json")
    changed, run, plan = damage_of(aya, done)
    assert "model.json: changed since it was written" in changed
    assert run == f"{done / 'run.json'}: missing; restore it, or run the recipe again into another --out"
    assert "no plan.json here" in plan
    shutil.rmtree(done / "artifacts")
    assert "no run.json here; expected the --out folder of `aya run`" in refused(aya("verify", done, check=2))


def append(text):
    def change(file):
        file.write_text(file.read_text() + text)

    return change


@pytest.mark.parametrize(
    "change", [cut, flip, append("\n"), append("# mine\n")], ids=["cut", "flipped", "line", "comment"]
)
@pytest.mark.parametrize("name", ["recipe.yaml", "report.json", "run.json", "plan.json"])
def test_verify_finds_any_change_of_a_sealed_file_beside_the_artifacts(done, aya, name, change):
    change(done / name)
    (line,) = damage_of(aya, done)
    assert line.startswith(f"{done / name}: damaged: ")


def test_an_edited_report_is_damaged(done, aya):
    report = done / "report.json"
    report.write_text(report.read_text().replace('"won": ', '"won": 1', 1))
    (line,) = damage_of(aya, done)
    assert line.endswith(f"; delete it, and `aya report {done}` makes it again")
    report.unlink()
    aya("verify", done, check=0)  # it can be made again at any time
    aya("report", done, check=0)
    aya("verify", done, check=0)


def test_the_recipe_in_a_run_folder_can_be_run_and_a_missing_one_is_said(done, aya):
    aya("check", done / "recipe.yaml", check=2)  # its plugin lies elsewhere
    assert yaml12.read(done / "recipe.yaml")["name"] == "cheap"
    (done / "recipe.yaml").unlink()
    assert damage_of(aya, done) == [f"{done / 'recipe.yaml'}: missing; `aya run` writes it anew"]


def test_verify_finds_junk_among_the_hashes_of_files(done, aya):
    hashes = Journal(done / "hashes.jsonl")
    hashes.write([("model", [1, 2, 3, "hash"])])
    hashes.close()
    aya("verify", done, check=0)
    with (done / "hashes.jsonl").open("a") as file:
        file.write("junk\n")
    (line,) = damage_of(aya, done)
    assert line.startswith(f"{done / 'hashes.jsonl'}: damaged lines: 1 (the first is line ")


def unfinished(out):
    """Unfinished work and a store, as killed steps leave them; returns files of theirs that carry a checksum, by what is said of them."""
    partial, store = out / "artifacts" / "base" / "0123456789ab.partial", out / "store" / "kept"
    (partial / "payload" / "part").mkdir(parents=True)
    (partial / "work").mkdir()
    store.mkdir(parents=True)
    shard, lost = (partial / "payload" / "part" / f"rows-{index}.parquet" for index in range(2))
    shard.write_bytes(b"some rows")
    shards, answers, scores = (
        partial / "work" / name for name in ("shards-part.jsonl", "journal--0.jsonl", "search.jsonl")
    )
    for file, key, value in (
        (shards, shard.name, file_hash(shard)),
        (answers, 1, []),
        (scores, 1, 2),
        (store / "s.jsonl", 1, 2),
    ):
        journal = Journal(file)
        journal.write([(key, value), (2, 3)])
        journal.close()
    write_sealed(partial / "work" / "progress.json", {"step": 1})
    write_sealed(store / "sealed.json", {"is": "sealed"})
    tensors = store / named_by_hash(b"tensors", ".safetensors")
    tensors.write_bytes(b"tensors")
    for plain in (
        partial / "log.jsonl",
        partial / "work" / "events.jsonl",
        partial / "work" / "asked.json",
        store / "key.json",
        store / f"{'0' * 32}.safetensors",  # named by what it was made of
    ):
        plain.write_text('{"done": 1}\n')
    return {
        "its bytes are not those that were written": shard, f"{shards}: damaged lines: 1": shards, f"{answers}: damaged lines: 1": answers,
        f"{scores}: damaged lines: 1": scores, f"{store / 's.jsonl'}: damaged lines: 1": store / "s.jsonl",
        "progress.json: damaged": partial / "work" / "progress.json", "sealed.json: damaged": store / "sealed.json",
        "its bytes do not give its name": tensors,
    }, lost  # fmt: skip


def test_verify_reads_unfinished_work_and_the_store_where_they_carry_checksums(done, aya):
    files, lost = unfinished(done)
    aya("verify", done, check=0)
    lost.write_bytes(b"more rows")
    (line,) = damage_of(aya, done)
    assert line == f"{lost}: the hash of what was written is lost; `aya run` makes it again"
    lost.unlink()
    for said, file in files.items():
        whole = file.read_bytes()
        if file.suffix == ".jsonl":
            first, second = whole.splitlines(keepends=True)
            file.write_bytes(first + second.replace(b"3]", b"4]"))
        else:
            file.write_bytes(b"x" + whole[1:] if file.suffix == ".parquet" else whole + b"x")
        (line,) = damage_of(aya, done)
        assert said in line
        file.write_bytes(whole)
    aya("verify", done, check=0)


def test_verify_leaves_unfinished_work_alone_while_a_run_is_at_work(done, aya):
    _, lost = unfinished(done)
    lost.write_bytes(b"more rows")
    with Run(done).lock():
        assert (
            "not read: unfinished work and the store, as a run is at work (process "
            in aya("verify", done, check=0).stdout
        )
    assert len(damage_of(aya, done)) == 1


def test_a_missing_journal_of_steps_is_said_and_written_anew(done, aya):
    steps = done / "steps.jsonl"
    steps.unlink()
    assert aya("verify", done, check=1).stdout.startswith(f"{steps}: missing, or no file; `aya run` writes it anew")
    os.mkfifo(steps)
    assert f"{steps}: missing, or no file" in aya("verify", done, check=1).stdout
