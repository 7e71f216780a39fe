"""Teachers and arbiters that note what they are asked, and that stop midway on demand."""

import time
from pathlib import Path

from aya_core.api import ArbiterStrategy, Completion, Field, TeacherStrategy, Unanswered, Verdict, hookimpl, stable_hash


def note(path, line):
    with Path(path).open("a") as file:
        file.write(line + "\n")


class Noting(TeacherStrategy):
    """Answer with a hash of seed and prompt, and note every prompt."""

    execution_settings = frozenset({"speed"})

    speed: int = Field(1, description="How fast.")
    notes: str = Field(description="File of the prompts asked.")
    word: str = Field("", description="Said before each answer.")
    leaves_out: str = Field("", description="Prompts whose id ends so are not answered while `stop` is there.")
    why: str = Field("", description="Said of what is left out.")
    silent: str = Field("", description="Prompts whose id ends so get an empty answer while `stop` is there.")
    ends: str = Field("stop", description="How answers end.")
    thinks: str = Field("", description="Reasoning beside each answer.")
    breaks: bool = Field(False, description="Answers end in half a character.")
    halves: str = Field("", description="Prompts whose id ends so get one sample while `stop` is there.")
    stop: str = Field("", description="While this file is there, the teacher hangs after `most` answers.")
    most: int = Field(10**9, description="See `stop`.")

    dies: int = Field(-1, description="After so many answers, it dies.")

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        for number, prompt in enumerate(prompts):
            if number == self.dies:
                raise RuntimeError("the engine is gone")
            if self.stop and Path(self.stop).exists():
                if self.leaves_out and prompt.id.endswith(self.leaves_out):
                    if self.why:
                        yield Unanswered(prompt.id, self.why)
                    continue
                if number == 1:
                    time.sleep(0.6)  # longer than the journal's patience
                while number >= self.most and Path(self.stop).exists():
                    time.sleep(0.01)
            note(self.notes, prompt.id)
            is_silent = bool(self.silent) and prompt.id.endswith(self.silent) and Path(self.stop).exists()
            is_half = bool(self.halves) and prompt.id.endswith(self.halves) and Path(self.stop).exists()
            for index in [0] if is_half else reversed(range(sampling.n)):
                yield Completion(
                    prompt.id,
                    "?",
                    index,
                    "\u200b\n"
                    if is_silent
                    else self.word + stable_hash([seed, prompt.id, index])[:8] + "\ud83d" * self.breaks,
                    3,
                    2,
                    self.ends,
                    self.thinks,
                )


class Judging(ArbiterStrategy):
    """Score by a hash of the answer, and note every case."""

    notes: str = Field(description="File of the cases judged.")

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            note(self.notes, f"{case.prompt.id} {len(case.candidates)}")
            yield [Verdict(int(stable_hash(c.text)[:4], 16) / 1000, details={"odd": 1.0}) for c in case.candidates]


class Paid(Judging):
    """Judge, and say what it took."""

    def judge(self, cases):
        for first, *others in super().judge(cases):
            yield [Verdict(first.score, details={"judge_prompt_tokens": 10.0, "judge_answer_tokens": 1.0}), *others]


class JudgingAlone(Judging):
    """Score each answer by itself."""

    pointwise = True


class Scaled(ArbiterStrategy):
    """Score against the mean length of the answers that were shown first."""

    notes: str = Field(description="File of the cases shown.")

    def build(self):
        return Scale(self.notes)


class Scale:
    def __init__(self, notes):
        self.notes = notes
        self.mean = None

    def calibrate(self, cases):
        for case in cases:
            note(self.notes, f"shown {case.prompt.id}")
        lengths = [len(c.text) for case in cases for c in case.candidates]
        self.mean = sum(lengths) / len(lengths)

    def judge(self, cases):
        for case in cases:
            yield [Verdict(len(c.text) - self.mean) for c in case.candidates]


class LanguageShy(ArbiterStrategy):
    """Abstain in one language."""

    language: str = Field(description="Code.")
    make: str = Field("float", description="`numpy`: scores and details are numpy's.")

    def build(self):
        return self

    def judge(self, cases):
        number = __import__("numpy").float32 if self.make == "numpy" else float
        for case in cases:
            if case.prompt.language == self.language:
                yield [Verdict.abstain("shy") for _ in case.candidates]
            else:
                yield [Verdict(number(len(c.teacher)), details={"n": number(1)}) for c in case.candidates]


class Failing(ArbiterStrategy):
    """Fail on answers to some prompts while a file is there."""

    notes: str = Field(description="File of the cases judged.")
    stop: str = Field(description="While this file is there, the answers to every third prompt cannot be judged.")

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            note(self.notes, case.prompt.id)
            is_bad = Path(self.stop).exists() and int(case.prompt.id.split("-")[-1]) % 3 == 0
            yield [Verdict.fail("no connection") if is_bad else Verdict(float(len(c.text))) for c in case.candidates]


@hookimpl
def aya_teachers():
    return {"noting": Noting}


@hookimpl
def aya_arbiters():
    return {
        "judging": Judging,
        "judging-alone": JudgingAlone,
        "paid": Paid,
        "scaled": Scaled,
        "failing": Failing,
        "language-shy": LanguageShy,
    }
