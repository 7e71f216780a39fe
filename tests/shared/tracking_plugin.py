"""Trackers that take notes or fail, trainers that report fast, and one that shows its rows as words."""

import json
import os
from pathlib import Path

from aya_core.api import (
    DatasetStrategy,
    Demonstration,
    Field,
    TokenInfo,
    TokenizedRow,
    TrackerStrategy,
    TrainerStrategy,
    hookimpl,
    read_rows,
    user_prompt,
)


class Noting(TrackerStrategy):
    """Write down what is told."""

    file: str = Field(description="The file.")

    def build(self):
        print("trackers may print")
        return self

    def note(self, *words):
        with open(self.file, "a") as file:
            file.write(json.dumps(words) + "\n")

    def start(self, run):
        self.note("start", run.recipe, str(run.folder), run.settings["name"])

    def log(self, node, step, measures):
        self.note("log", node, step, measures)

    def finish(self, node, measures):
        self.note("finish", node, measures)

    def close(self, is_whole):
        self.note("close", is_whole)


class Failing(TrackerStrategy):
    """Fail at one thing."""

    at: str = Field(description="A method.")

    def build(self):
        return self._at("build") or self

    def _at(self, method):
        if method == self.at:
            raise ConnectionError("nobody listens")

    def start(self, run):
        self._at("start")

    def log(self, node, step, measures):
        self._at("log")

    def finish(self, node, measures):
        self._at("finish")

    def close(self, is_whole):
        self._at("close")


class Missing(TrackerStrategy):
    """Need a library."""

    imports = ("no_such_library",)
    extra = "nowhere"

    def build(self):
        raise AssertionError


class Sums(DatasetStrategy):
    """Yield sums."""

    count: int = Field(4, description="Rows of each language.")

    def build(self):
        return self

    def rows(self, seed):
        for language in ("en", "de"):
            for i in range(self.count):
                yield Demonstration(user_prompt(f"{language}-{i}", language, f"what is {i} and {i}"), str(2 * i))


class Fast(TrainerStrategy):
    """Report many steps at once."""

    steps: int = Field(1500, description="How many.")
    die: str = Field("", description="A file that makes the process kill itself midway, once.")
    fails: bool = Field(False, description="Raise at the end.")

    def build(self):
        return self

    def train(self, job):
        for step in range(1, self.steps + 1):
            job.report(step, self.steps, {"loss": 1 / step, "rewards/margins": float("nan") if step == 7 else step})
            if step == self.steps // 2 and self.die and Path(self.die).exists():
                Path(self.die).unlink()
                os.kill(os.getpid(), 9)
        if self.fails:
            raise RuntimeError("the engine is on fire")
        (job.out / "model.json").write_text("{}")
        return {"loss": 1 / self.steps, "is_good": True, "by": {"en": 1}}


class Words(Fast):
    """Show rows as words, the answer learned; `skip` and `cut` are words of its ids."""

    reads = "demonstrations"
    mode: str = Field("good", description="good, mute, endless or cut.")

    def show(self, job):
        assert job.start is None or job.start.is_dir()
        for row in read_rows(job.rows, Demonstration):
            words = [
                *(TokenInfo(7, f"{word} ", False) for word in row.prompt.text.split()),
                TokenInfo(8, "\n", False),
            ]
            if self.mode != "mute":
                words += [TokenInfo(9, row.completion, True), TokenInfo(9, "!", True)]
            if self.mode in ("good", "mute"):
                words.append(TokenInfo(2, "<end>", self.mode == "good", True))
            note = "cut to 5 tokens" if self.mode == "cut" else ""
            yield TokenizedRow(row.prompt.id, row.prompt.language, "", words, note)


class PairedWords(Words):
    """Show rows as words, though it wants an objective to train."""

    needs_objective = True


@hookimpl
def aya_datasets():
    return {"sums": Sums}


@hookimpl
def aya_trainers():
    return {"fast": Fast, "words": Words, "paired-words": PairedWords}


@hookimpl
def aya_trackers():
    return {"noting": Noting, "failing": Failing, "missing": Missing}


@hookimpl
def aya_measured(node, done, total, measures):
    if path := os.environ.get("NOTE_MEASURED"):
        with open(path, "a") as file:
            file.write(f"{node} {done}\n")


@hookimpl
def aya_progress(node, done):
    if path := os.environ.get("NOTE_PROGRESS"):
        with open(path, "a") as file:
            file.write(f"{node} {done}\n")
