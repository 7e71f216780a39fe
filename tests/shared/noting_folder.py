"""A folder with a recipe whose teachers and arbiter take notes, and what its runs leave there."""

import json
import shutil

from places import SHARED

from aya_core.contract.artifacts import read_rows
from aya_core.contract.records import Completion

LANGUAGES = ("en", "de", "tr")


class Folder:
    """A folder with a recipe whose teachers and arbiter take notes."""

    def __init__(self, path, aya):
        self.path, self.aya, self.out = path, aya, path / "out"
        shutil.copy(SHARED / "noting_plugin.py", path)
        self.stop = path / "stop"
        self.raw = {
            "name": "noting",
            "languages": list(LANGUAGES),
            "plugins": ["noting_plugin.py"],
            "stages": [
                {
                    "name": "arbitrage",
                    "do": "arbitrage",
                    "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
                    "teachers": {"ana": self.teacher("ana"), "bo": self.teacher("bo")},
                    "arbiter": {"use": "judging", "notes": str(path / "judged")},
                }
            ],
        }
        self.ask(range(24))

    @property
    def stage(self):
        return self.raw["stages"][0]

    def teacher(self, name, **more):
        return {"use": "noting", "notes": str(self.path / name), "word": f"{name} ", **more}

    def ask(self, numbers):
        rows = [{"id": f"p-{n}", "language": LANGUAGES[n % 3], "prompt": f"What is {n}?"} for n in numbers]
        (self.path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def write(self):
        recipe = self.path / "recipe.json"
        recipe.write_text(json.dumps(self.raw))
        return recipe

    def run(self, *words, check=0, out=None):
        return self.aya("run", self.write(), "--out", out or self.out, "-q", *words, check=check)

    def notes(self, name):
        """What was noted since the last look."""
        path = self.path / name
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def forget(self):
        for name in ("ana", "bo", "cem", "judged"):
            self.notes(name)

    def payload(self, node, out=None):
        (folder,) = [f for f in (out or self.out).glob(f"artifacts/{node}/*") if f.suffix == "" and self.is_newest(f)]
        return folder / "payload"

    def is_newest(self, folder):
        return folder == max(folder.parent.glob("????????????"), key=lambda f: f.stat().st_mtime_ns)

    def measures(self, node):
        return json.loads((self.payload(node).parent / "artifact.json").read_text())["measures"]

    def answers(self, name, out=None):
        return list(read_rows(self.payload(f"arbitrage.answers@{name}", out), Completion))
