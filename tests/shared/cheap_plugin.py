"""Strategies of every kind that cost nothing: the whole machinery runs on them in a second, without torch."""

import json
import os
import time
from collections.abc import Mapping
from glob import glob
from pathlib import Path

from aya_core.api import (
    SHARE,
    ArbiterStrategy,
    Completion,
    DatasetStrategy,
    Demonstration,
    EvaluatorStrategy,
    Field,
    LocalFile,
    LogLikelihood,
    MergeStrategy,
    ModelRef,
    ObjectiveStrategy,
    Preference,
    RouterStrategy,
    RowScore,
    RowsRef,
    TeacherStrategy,
    TrainerStrategy,
    Verdict,
    hookimpl,
    read_rows,
    stable_hash,
    user_prompt,
)


class Sums(DatasetStrategy):
    """Yield sums to be added up."""

    count: int = Field(12, description="Rows per language.")
    languages: tuple[str, ...] = Field(("en", "de", "tr"), description="Languages.")
    demonstrations: bool = Field(False, description="With the right answer.")

    def build(self):
        return self

    def rows(self, seed):
        for language in self.languages:
            for i in range(self.count):
                prompt = user_prompt(f"{language}/{seed}/{i}", language, f"{i} + {i}", str(2 * i))
                yield Demonstration(prompt, str(2 * i)) if self.demonstrations else prompt


class Adder(TeacherStrategy):
    """Answer sums; a model file says how far off."""

    model: ModelRef = Field(description="Folder with model.json.")

    def build(self):
        return Adding(json.loads((Path(self.model) / "model.json").read_text())["off"])


class Adding:
    def __init__(self, off):
        self.off = off

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            for index in range(sampling.n):
                noise = 0
                if sampling.temperature:
                    noise = int(stable_hash([seed, prompt.id, index])[:2], 16) % 3
                yield Completion(prompt.id, "?", index, str(int(prompt.reference) + self.off + noise), 3, 1)

    def log_likelihoods(self, pairs):
        return [LogLikelihood(-1.0 - abs(self.off), 1) for _ in pairs]


class Constant(TeacherStrategy):
    """Answer always the same."""

    text: str = Field("7", description="The answer.")

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            yield Completion(prompt.id, "?", 0, self.text)


class Everyone(RouterStrategy):
    """Ask all."""

    def build(self):
        return self

    def route(self, prompts, teachers, seed):
        return [teachers for _ in prompts]


class Nearness(ArbiterStrategy):
    """Prefer answers near the reference."""

    fails: bool = Field(False, description="Abstain on everything.")

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            right = int(case.prompt.reference)
            if self.fails:
                yield [Verdict.abstain("asked to") for _ in case.candidates]
            else:
                yield [Verdict(-abs(int(c.text) - right)) for c in case.candidates]


class Learner(TrainerStrategy):
    """Learn to be one less off, from any rows."""

    reads = "any"
    needs_objective = False
    off: int = Field(0, description="How far off without a start.")
    wait: str = Field("", description="A file; while it is there, training does not end.")
    die: str = Field("", description="A file that makes the process kill itself, once.")
    after: str = Field("", description="A pattern; the process kills itself when there is a file of such a name.")
    trace: str = Field("", description="A file to which each training adds a line.")
    keep: bool = Field(False, description="Leave a note in the store, by the content of the start.")

    def build(self):
        return self

    def train(self, job):
        rows = sum(1 for _ in read_rows(job.rows, record_of(job.rows)))
        off = self.off
        if job.start is not None:
            off = max(0, json.loads((job.start / "model.json").read_text())["off"] - 1)
        if self.trace:
            with open(self.trace, "a") as file:
                file.write(f"{job.out.parent.parent.name}\n")
        if self.keep:
            job.store.mkdir(exist_ok=True)
            (job.store / job.contents["start"]).write_text(str(off))
        while self.wait and Path(self.wait).exists():
            (job.out / "half-made").touch()
            time.sleep(0.02)
        if self.die and Path(self.die).exists():
            while self.after and not glob(self.after):
                time.sleep(0.02)
            Path(self.die).unlink()
            os.kill(os.getpid(), 9)
        job.report(1, 1, {"loss": float(off)})
        (job.out / "model.json").write_text(json.dumps({"off": off, "rows": rows, "seed": job.seed}))
        if job.validation is None:
            return {"loss": float(off)}
        held_out = [row.prompt.language for row in read_rows(job.validation, record_of(job.validation))]
        return {"loss": float(off), **{f"held_out/{code}": held_out.count(code) for code in set(held_out)}}


class PairLearner(Learner):
    """Learn from pairs."""

    reads = "preferences"
    needs_objective = True


class Explosive(TrainerStrategy):
    """Raise a bug of its own."""

    reads = "any"

    def build(self):
        return self

    def train(self, job):
        raise RuntimeError("the engine is on fire")


class Zero(ObjectiveStrategy):
    """No loss."""

    def build(self):
        return lambda pairs: None


class Mean(MergeStrategy):
    """Average how far off."""

    def build(self):
        return self

    def merge(self, job):
        offs = [json.loads((model.folder / "model.json").read_text())["off"] for model in job.models]
        weights = [job.weights.at("", model=model.name) for model in job.models]
        off = round(sum(w * o for w, o in zip(weights, offs, strict=True)) / sum(weights))
        (job.out / "model.json").write_text(json.dumps({"off": off}))
        return {"tensors": 1}


class Right(EvaluatorStrategy):
    """Share of right answers."""

    needs_answers = True
    metrics = {"right": SHARE}

    def build(self):
        return self

    def evaluate(self, evaluated):
        right = {prompt.id: prompt for prompt in evaluated.prompts}
        for answer in evaluated.answers:
            prompt = right[answer.prompt_id]
            yield RowScore(prompt.id, prompt.language, "right", float(answer.text == prompt.reference))

    def signature(self) -> Mapping[str, str]:
        return {"version": "1"}


class Better(Right):
    """Win against a rival."""

    metrics = {"win": SHARE, "loss": SHARE, "tie": SHARE}
    against: str = Field(description="The rival.")
    rows: RowsRef | None = Field(None, description="Unused rows.")
    file: LocalFile | None = Field(None, description="Unused file.")

    def evaluate(self, evaluated):
        right = {prompt.id: prompt for prompt in evaluated.prompts}
        for mine, theirs in zip(evaluated.answers, evaluated.rival, strict=True):
            prompt = right[mine.prompt_id]
            off, rival = (abs(int(a.text) - int(prompt.reference)) for a in (mine, theirs))
            for outcome, happened in (("win", off < rival), ("loss", off > rival), ("tie", off == rival)):
                yield RowScore(prompt.id, prompt.language, outcome, float(happened))


class Nonsense(ArbiterStrategy):
    """An arbiter that breaks its contract."""

    def build(self):
        return self

    def judge(self, cases):
        return [[1.0, 2.0] for _ in cases]


def record_of(folder):
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(next(iter(sorted(Path(folder).glob("*.parquet"))))).names
    return Preference if "chosen" in names else Demonstration


@hookimpl
def aya_datasets():
    return {"sums": Sums}


@hookimpl
def aya_teachers():
    return {"adder": Adder, "constant": Constant}


@hookimpl
def aya_routers():
    return {"everyone": Everyone}


@hookimpl
def aya_arbiters():
    return {"nearness": Nearness, "nonsense": Nonsense}


@hookimpl
def aya_objectives():
    return {"zero": Zero}


@hookimpl
def aya_trainers():
    return {"learner": Learner, "pair-learner": PairLearner, "explosive": Explosive}


@hookimpl
def aya_merges():
    return {"mean": Mean}


@hookimpl
def aya_evaluators():
    return {"right": Right, "better": Better}
