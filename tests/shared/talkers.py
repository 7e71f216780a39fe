"""Models that are one number, how many words they say, for the laws of online rounds: each training adds to it."""

import json
from pathlib import Path

from aya_core.api import (
    ArbiterStrategy,
    Completion,
    DatasetStrategy,
    Demonstration,
    EvaluatorStrategy,
    Field,
    LogLikelihood,
    MergeStrategy,
    Metric,
    ModelRef,
    ObjectiveStrategy,
    Preference,
    RowScore,
    TeacherStrategy,
    TrainerStrategy,
    Verdict,
    hookimpl,
    read_rows,
    stable_hash,
    user_prompt,
)


class Questions(DatasetStrategy):
    """Yield prompts."""

    count: int = Field(24, description="Rows per language.")

    def build(self):
        return self

    def rows(self, seed):
        for language in ("en", "de"):
            for number in range(self.count):
                yield user_prompt(f"{language}/{number}", language, f"question {number}")


class Talker(TeacherStrategy):
    """Say so many words, and one more or less."""

    model: ModelRef = Field(description="Folder with words.json.")
    silent: bool = Field(False, description="Give no log-likelihoods.")

    def build(self):
        words = json.loads((Path(self.model) / "words.json").read_text())["words"]
        return Silent(words) if self.silent else Talking(words)


class Silent:
    def __init__(self, words):
        self.words = words

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            for index in range(sampling.n):
                draw = int(stable_hash([seed, prompt.id, index])[:4], 16)
                replied = [f"w{(draw + place) % 50:02d}" for place in range(self.words + draw % 3 - 1)]
                yield Completion(prompt.id, "?", index, " ".join(replied), 3, len(replied) + 1)


class Talking(Silent):
    def log_likelihoods(self, pairs):
        """-2 nats a token, and 0.1 more for each word that the model says."""
        counts = [len(text.split()) + 1 for _, text in pairs]
        return [LogLikelihood((-2 + 0.1 * self.words) * count, count) for count in counts]


class Tongue(ArbiterStrategy):
    """German is whatever has more than so many words; of one word nothing can be told."""

    words: int = Field(6, description="Most words of an English answer.")

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            yield [self.verdict(case.prompt.language, candidate.text) for candidate in case.candidates]

    def verdict(self, language, text):
        count = len(text.split())
        if count < 2:
            return Verdict(1.0, details={"undetermined": 1.0})
        wrong = count > self.words and language == "en"
        return Verdict.abstain("in German", {"wrong_language": 1.0}) if wrong else Verdict(1.0)


class Count(EvaluatorStrategy):
    """Words of an answer."""

    needs_answers = True
    metrics = {"count": Metric("words", 0)}

    def build(self):
        return self

    def evaluate(self, evaluated):
        for answer in evaluated.answers:
            yield RowScore(answer.prompt_id, answer.prompt_id[:2], "count", float(len(answer.text.split())))

    def signature(self):
        return {"version": "1"}


class Start(TrainerStrategy):
    """Say so many words."""

    reads = "prompts"
    words: int = Field(4, description="How many.")

    def build(self):
        return self

    def train(self, job):
        (job.out / "words.json").write_text(json.dumps({"words": self.words}))
        return {}


class Imitate(TrainerStrategy):
    """Say more words than the start."""

    reads = "demonstrations"
    more: int = Field(2, description="How many more.")

    def build(self):
        return self

    def train(self, job):
        start = json.loads((job.start / "words.json").read_text())["words"]
        step = self.more if job.objective is None else job.objective("step")
        words = max(1, start + step)
        reference = None if job.reference is None else json.loads((job.reference / "words.json").read_text())["words"]
        assert list(read_rows(job.rows, Preference if self.reads == "preferences" else Demonstration))
        (job.out / "words.json").write_text(json.dumps({"words": words}))
        return {"words": words, "reference": reference}


class Prefer(Imitate):
    """Imitate from pairs; the objective says how much."""

    reads = "preferences"
    needs_objective = True


class Group(Imitate):
    """Imitate from groups."""

    reads = "groups"


class Step(ObjectiveStrategy):
    """So many more words."""

    beta: int = Field(2, description="How many more.")

    def build(self):
        return lambda pairs: self.beta


class Largest(MergeStrategy):
    """Take the largest number."""

    def build(self):
        return self

    def merge(self, job):
        words = [json.loads((model.folder / "words.json").read_text())["words"] for model in job.models]
        (job.out / "words.json").write_text(json.dumps({"words": max(words) + 1}))
        return {}


@hookimpl
def aya_datasets():
    return {"questions": Questions}


@hookimpl
def aya_teachers():
    return {"talker": Talker}


@hookimpl
def aya_arbiters():
    return {"tongue": Tongue}


@hookimpl
def aya_evaluators():
    return {"count": Count}


@hookimpl
def aya_trainers():
    return {"start": Start, "imitate": Imitate, "prefer": Prefer, "group": Group}


@hookimpl
def aya_objectives():
    return {"step": Step}


@hookimpl
def aya_merges():
    return {"largest": Largest}
