"""Run folders as tests look at them and do harm to them."""

import json

from aya_core.contract.artifacts import stable_hash
from aya_core.contract.durable import read_sealed, write_sealed
from aya_core.contract.journal import Journal
from aya_core.running.record import RunRecord


def readers(out):
    """Commands that read a run and change nothing of it but its report."""
    return [
        ("status", out, "--json"),
        ("report", out, "--json"),
        ("export", out, "arbitrage.pairs"),
        ("compare", f"{out}:base", f"{out}:online.3", "--json"),
    ]


def replied(aya, out, **options):
    """What the commands that read a run print."""
    return [aya(*words, check=0, **options).stdout for words in readers(out)]


def refused(output):
    """The one line with which a command was refused."""
    assert output.stdout == ""
    assert "Traceback" not in output.stderr
    (line,) = output.stderr.splitlines()
    return line.removeprefix("aya: ")


def resealed(file, **facts):
    """Change facts of a sealed file, as one does who knows how it is sealed."""
    known = read_sealed(file)
    known.pop("sha256", None)
    write_sealed(file, {**known, **facts})


def folder_of(out, step):
    (folder,) = out.glob(f"artifacts/{step}/*")
    return folder


def exchange(one, other):
    held = one.with_name("held")
    for source, target in ((one, held), (other, one), (held, other)):
        source.rename(target)


def files_of(out):
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def restore_steps(out, places):
    """Write the journal of a plan that was changed."""
    plan, journal = stable_hash(read_sealed(out / "plan.json")), Journal(out / "steps.jsonl")
    journal.remove()
    journal.write((id, [plan, f"{place.parent.name}/{place.name}"]) for id, place in places.items())
    journal.close()


def damage_of(aya, out):
    """What `aya verify` lists of a folder with damage."""
    return json.loads(aya("verify", out, "--json", check=1).stdout)["damage"]


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def folder_of_now(out, step):
    """Where the artifact of a step lies that stands."""
    return RunRecord.read(out).standing[step].folder
