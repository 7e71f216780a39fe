"""Models that are one number, and what a search over merges of them needs: it runs whole in a second, without torch."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from aya_core.api import (
    SHARE,
    AyaError,
    Completion,
    DatasetStrategy,
    Demonstration,
    EvaluatorStrategy,
    Field,
    MergeStrategy,
    Metric,
    ModelRef,
    RowScore,
    RowsRef,
    TeacherStrategy,
    TrainerStrategy,
    hookimpl,
    read_rows,
    user_prompt as prompt_of,
)


def value_of(folder):
    return json.loads((Path(folder) / "model.json").read_text())["value"]


class Near(DatasetStrategy):
    """Yield questions whose right answers lie around a number."""

    around: float = Field(description="The mean of the right answers.")
    count: int = Field(8, description="Rows.")
    first: int = Field(0, description="Number of the first question.")
    split: str = Field("train", description="A name.")
    of: str = Field("question", description="What is asked.")

    def build(self):
        return self

    def rows(self, seed):
        for i in range(self.first, self.first + self.count):
            answer = self.around + 0.01 * (i % 3 - 1)
            yield Demonstration(prompt_of(f"{self.of}-{i}", "en", f"{self.of} {i}", str(answer)), str(answer))


class Point(TrainerStrategy):
    """Be a number."""

    value: float = Field(description="It.")

    def build(self):
        return self

    def train(self, job):
        (job.out / "model.json").write_text(json.dumps({"value": self.value}))
        return {}


class Mix(MergeStrategy):
    """The weighted mean of numbers, times a scale."""

    scale: float = Field(1.0, gt=0, description="Factor.")
    refuses: float = Field(99.0, description="A weight of the first model above which it does not merge.")
    trace: str = Field("", description="A file to which each merge adds a line.")
    whole: bool = Field(True, description="Setting that is no number.")

    def build(self):
        return self

    def merge(self, job):
        weights = [job.weights.at("", model=model.name) for model in job.models]
        if self.trace:
            with open(self.trace, "a") as file:
                file.write(f"{job.out.name}\n")
        if weights[0] > self.refuses:
            raise AyaError(f"the weight {weights[0]:.2f} is above {self.refuses}")
        total = sum(w * value_of(model.folder) for w, model in zip(weights, job.models, strict=True))
        value = self.scale * total / sum(weights)
        (job.out / "model.json").write_text(json.dumps({"value": value, "weights": weights}))
        return {"tensors": 1}


class Speaker(TeacherStrategy):
    """Answer with the number that the model is."""

    model: ModelRef = Field(description="Folder with model.json.")

    def build(self):
        self_value = value_of(self.model)

        class Speaking:
            def answer(self, prompts, sampling, seed):
                for prompt in prompts:
                    yield Completion(prompt.id, "?", 0, repr(self_value))

        return Speaking()


class Distance(EvaluatorStrategy):
    """How far answers are from what is right."""

    needs_answers = True
    metrics = {"distance": Metric(better="min")}

    trace: str = Field("", description="A file to which each scoring adds a line.")
    die: str = Field("", description="A file that holds after how many scorings the process kills itself, once.")
    silent_above: float = Field(99.0, description="No score for the last prompt of models above this.")
    nan_above: float = Field(99.0, description="NaN for models above this.")

    def build(self):
        return self

    def evaluate(self, evaluated):
        if self.trace:
            with open(self.trace, "a") as file:
                file.write(f"{evaluated.name}\n")
        if self.die and Path(self.die).exists():
            left = int(Path(self.die).read_text()) - 1
            Path(self.die).write_text(str(left))
            if left < 0:
                Path(self.die).unlink()
                os.kill(os.getpid(), 9)
        references = {prompt.id: prompt for prompt in evaluated.prompts}
        answers = list(evaluated.answers)
        if float(answers[0].text) > self.silent_above:
            answers.pop()
        for answer in answers:
            prompt = references[answer.prompt_id]
            value = float("nan") if float(answer.text) > self.nan_above else float(answer.text)
            yield RowScore(prompt.id, prompt.language, "distance", abs(value - float(prompt.reference)))

    def signature(self) -> Mapping[str, str]:
        return {"version": "1"}


class Senseless(Distance):
    """The same, without saying which end is better."""

    metrics = {"distance": Metric()}


class Rivalry(Distance):
    """The same, against a rival."""

    against: str = Field("base", description="The rival.")


class Known(EvaluatorStrategy):
    """Constant for each row of an earlier stage; the model is not looked at."""

    metrics = {"known": SHARE}
    rows: RowsRef = Field(description="Rows.")

    def build(self):
        return self

    def evaluate(self, evaluated):
        for row in read_rows(Path(self.rows), Demonstration):
            yield RowScore(row.prompt.id, row.prompt.language, "known", 1.0)

    def signature(self) -> Mapping[str, str]:
        return {}


@hookimpl
def aya_datasets():
    return {"near": Near}


@hookimpl
def aya_trainers():
    return {"point": Point}


@hookimpl
def aya_merges():
    return {"mix": Mix}


@hookimpl
def aya_teachers():
    return {"speaker": Speaker}


@hookimpl
def aya_evaluators():
    return {"distance": Distance, "senseless": Senseless, "rivalry": Rivalry, "known": Known}
