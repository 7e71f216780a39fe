"""Groups of scored answers that cost nothing, and a trainer that writes down what it is handed."""

import json

from aya_core.api import (
    DatasetStrategy,
    Demonstration,
    Field,
    ObjectiveStrategy,
    TrainerStrategy,
    hookimpl,
    read_rows,
    user_prompt,
)


class Scored(DatasetStrategy):
    """Yield three scored answers to each of four prompts a language."""

    scored: bool = Field(True, description="With scores.")
    apart: bool = Field(False, description="The answers to a prompt not one after the other.")

    def build(self):
        return self

    def rows(self, seed):
        places = [(prompt, answer) for prompt in range(4) for answer in range(3)]
        for language in ("en", "de", "fr"):
            for prompt, answer in sorted(places, key=lambda place: place[1]) if self.apart else places:
                asked = user_prompt(f"{language}/{prompt}", language, f"{prompt}?")
                yield Demonstration(asked, str(answer), "me", float(answer) if self.scored else None)


class Noter(TrainerStrategy):
    """Write down what the job holds."""

    reads = "groups"
    needs_objective = True
    objective_over = "groups"

    def build(self):
        return self

    def train(self, job):
        rows = [(row.prompt.id, row.score) for row in read_rows(job.rows, Demonstration)]
        noted = {"rows": rows, "needs_reference": job.needs_reference, "has_reference": job.reference is not None}
        (job.out / "noted.json").write_text(json.dumps(noted))
        return {"rows": len(rows)}


class Anchored(ObjectiveStrategy):
    """Compare with a reference, unless told not to."""

    over = "groups"
    beta: float = Field(1.0, description="Weight of the reference.")

    @property
    def needs_reference(self):
        return self.beta > 0

    def build(self):
        return lambda groups: None


class OfPairs(ObjectiveStrategy):
    """Compare two answers."""

    def build(self):
        return lambda pairs: None


@hookimpl
def aya_datasets():
    return {"scored": Scored}


@hookimpl
def aya_trainers():
    return {"noter": Noter}


@hookimpl
def aya_objectives():
    return {"anchored": Anchored, "of-pairs": OfPairs}
