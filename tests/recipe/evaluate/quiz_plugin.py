"""An evaluator with rows of its own, and a teacher that replies to it and counts how often it is asked."""

from pathlib import Path

from aya_core.api import (
    SHARE,
    Completion,
    Continuation,
    CorpusScore,
    EvaluatorStrategy,
    Field,
    GenerationRequest,
    LogLikelihood,
    Metric,
    ModelRef,
    RowScore,
    Sampling,
    ScoringRequest,
    TeacherStrategy,
    hookimpl,
    user_prompt,
)


class Quiz(EvaluatorStrategy):
    """Ask which of two continuations is likelier, and for a number."""

    asks = True
    metrics = {"accuracy": SHARE, "letters": Metric("letters")}

    questions: int = Field(4, description="How many.")
    bonus: float = Field(0.0, description="What every answer counts more.")

    def build(self):
        return self

    def requests(self):
        for i in range(self.questions):
            context = f"{i} and then"
            yield ScoringRequest(f"{i}", "en", (Continuation(context, " ab"), Continuation(context, " abc")))
            yield GenerationRequest(user_prompt(f"{i}", "de", f"{i}?"), Sampling(temperature=0, max_tokens=8 + i % 2))

    def evaluate(self, evaluated):
        if evaluated.store is not None:
            (evaluated.store / "quiz").mkdir(parents=True, exist_ok=True)
        for i in range(self.questions):
            short, long = evaluated.replies.log_likelihoods[f"{i}"]
            yield RowScore(f"{i}", "en", "accuracy", float(short.nats > long.nats))
        answers = [rows[0].text for rows in evaluated.replies.completions.values()]
        yield CorpusScore("de", "letters", sum(map(len, answers)) + self.bonus, 0.5, len(answers))

    def signature(self):
        return {"quiz": "1"}


class Clerk(TeacherStrategy):
    """Like short texts, score none that is unheard, answer with the question, and note in a file what was asked."""

    model: ModelRef = Field(description="A folder; `asked` there is written.")

    def build(self):
        return Replying(Path(self.model))


class Replying:
    def __init__(self, folder):
        self.notes = folder.parent / "asked.txt"

    def note(self, *words):
        with self.notes.open("a") as file:
            file.write("".join(f"{word}\n" for word in words))

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            self.note(f"{prompt.id} {sampling.max_tokens}")
            if prompt.id != "2":
                yield Completion(prompt.id, "", 0, prompt.text)

    def continuations(self, asked):
        for place in reversed(range(len(asked))):
            self.note(asked[place].context)
            is_known = "unheard" not in asked[place].text
            yield place, LogLikelihood(-float(len(asked[place].text)) if is_known else float("nan"), 1)


@hookimpl
def aya_evaluators():
    return {"quiz": Quiz}


@hookimpl
def aya_teachers():
    return {"clerk": Clerk}
