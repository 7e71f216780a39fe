"""Guards of online training: nodes that measure a model after each round, always on its answers to the same prompts.

Each engine has a step of its own: the model answers, the model and the stage's start each say how likely they find the answers,
and the guard measures and decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from aya_core.api import (
    Builder,
    Case,
    Columns,
    Completion,
    DataError,
    LikelihoodTeacher,
    LogLikelihood,
    Prompt,
    Sampling,
    Strategy,
    Verdict,
    Work,
    checked_verdicts,
    read_rows,
    write_rows,
)
from aya_recipe.arbitrage import sampling
from aya_recipe.arbitrage.drawing import drawn_by_language
from aya_recipe.online.guard_measures import KL, MISMATCH, Answer, broken, measures, why
from aya_recipe.online.guards import Guards, Limits

INITIAL = "initial"
"""Whose log-likelihoods an input holds: the stage's start."""

CHUNK = 1024
"""Answers that are handed to a teacher at a time."""

GUARD = "guard.json"
"""The file of what a guard measured."""

UNMEASURED = "unmeasured.txt"
"""Stands in for likelihoods that a teacher does not give, and says why."""


@dataclass(frozen=True)
class Guarding:
    """Adds the guards of one online stage.

    stage: its name. guards, sampling, teacher: its settings. prompts: the step that draws theirs. start: node or model before the
    first round.
    """

    build: Builder
    stage: str
    guards: Guards
    sampling: Sampling
    teacher: Strategy[Any]
    prompts: str
    start: str

    @classmethod
    def begin(
        cls, build: Builder, stage: str, guards: Guards, how: Sampling, teacher: Strategy[Any], prompts: str, start: str
    ) -> Guarding:
        """Add the nodes that draw the prompts and measure the start."""
        settings = {"per_language": guards.per_language}
        drawn = build.add(f"{stage}.guard.prompts", "draw-prompts", "prompts", settings, {"prompts": prompts})
        guarding = cls(build, stage, guards, how, teacher, drawn, start)
        guarding.add(0, start)
        return guarding

    def add(self, round: int, model: str) -> str:
        """Add the nodes that measure the model of a round, or the start (round 0), and return the id of the last, which decides."""
        build, guards = self.build, self.guards
        name = f"{self.stage}.{round}.guard"
        how = self.sampling.model_copy(update={"n": guards.n})
        answers = sampling.add(build, f"{name}.answers", self.prompts, self.teacher, how, name="policy", model=model)
        inputs = {"prompts": self.prompts, "answers": answers}
        if round:
            scorer = ("teacher", guards.scorer(self.teacher))
            at = {"teacher": "guards.teacher" if guards.teacher else "teacher"}
            for whose, scored in (("model", model), (INITIAL, self.start)):
                id = f"{name}.likelihoods@{whose}"
                build.add(
                    id, "score-answers", "likelihoods", {}, dict(inputs), {"teacher": scorer}, model=scored, at=at
                )
                inputs[f"likelihoods.{whose}"] = id
            inputs["before"] = f"{self.stage}.0.guard"
        arbiter = guards.arbiter(build)
        strategies = {"language": ("arbiter", arbiter)} if arbiter is not None else {}
        settings = {"round": round, "stop": guards.stop.model_dump(mode="json")}
        return build.add(name, "guard", "guard", settings, inputs, strategies, at={"language": "guards.language"})


def draw(work: Work) -> Mapping[str, Any]:
    """Draw prompts of each language by hash."""
    prompts = read_rows(work.inputs["prompts"], Prompt)
    drawn = drawn_by_language(prompts, lambda prompt: prompt, work.setting("per_language"), work.node.seed)
    return {"rows": write_rows(work.out, Prompt, chain.from_iterable(drawn.values()))}


@dataclass(frozen=True, slots=True)
class Likelihood(Columns):
    """How likely a model finds an answer. nats: summed over its tokens, end of turn included; NaN where it cannot be read
    whole."""

    prompt_id: str
    index: int
    nats: float
    tokens: int

    columns: ClassVar[Mapping[str, str]] = {"prompt_id": "string", "index": "int", "nats": "float", "tokens": "int"}


def score_answers(work: Work) -> Mapping[str, Any]:
    """Have a model say how likely it finds the answers. A teacher that cannot leaves no rows."""
    teacher = work.strategy("teacher").build()
    if not isinstance(teacher, LikelihoodTeacher):
        why_not = (
            f"teacher '{work.setting('teacher')['use']}' gives no log-likelihoods; name one that does in guards.teacher"
        )
        (work.out / UNMEASURED).write_text(why_not, encoding="utf-8")
        return {"rows": 0, "unmeasured": why_not}

    def rows() -> Iterator[Likelihood]:
        answers = _answers(work)
        while chunk := list(islice(answers, CHUNK)):
            found = teacher.log_likelihoods([(prompt, answer.text) for prompt, answer in chunk])
            for (_, answer), one in zip(chunk, found, strict=True):
                yield Likelihood(answer.prompt_id, answer.index, float(one.nats), int(one.tokens))

    return {"rows": write_rows(work.out, Likelihood, rows())}


def guard(work: Work) -> Mapping[str, Any]:
    """Measure answers, compare them with those before the first round, and say whether a limit is broken."""
    answers = _measured(work)
    found = {"answers": len(answers), **measures(answers)}
    (work.out / GUARD).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unmeasured, stop = _unmeasured(work, found), None
    if "before" in work.inputs:
        limits = Limits.model_validate(work.setting("stop"))
        if limits.kl is not None and KL in unmeasured:
            raise DataError(f"guards.stop.kl is set, but the KL is not known: {unmeasured[KL]}")
        before = json.loads((work.inputs["before"] / GUARD).read_text(encoding="utf-8"))
        if crossed := broken(limits, before, found):
            why_not = [one._asdict() for one in crossed]
            stop = {"round": work.setting("round"), "broken": why_not, "reason": why(crossed)}
    return {"round": work.setting("round"), **found, "unmeasured": unmeasured, "stop": stop}


def _measured(work: Work) -> list[Answer]:
    cases = [Case(prompt, (answer,)) for prompt, answer in _answers(work)]
    verdicts: Sequence[Verdict | None] = [None] * len(cases)
    if "language" in work.node.settings:
        arbiter = work.strategy("arbiter", "language").build()
        verdicts = [verdict for (verdict,) in checked_verdicts(arbiter, cases, "the arbiter of guards.language")]
    own, initial = (_likelihoods(work.inputs.get(f"likelihoods.{whose}")) for whose in ("model", INITIAL))
    return [
        Answer(prompt, answer, verdict, own.get(_key(answer)), initial.get(_key(answer)))
        for (prompt, (answer,)), verdict in zip(
            ((case.prompt, case.candidates) for case in cases), verdicts, strict=True
        )
    ]


def _unmeasured(work: Work, found: Mapping[str, Any]) -> dict[str, str]:
    """What could not be measured, and why."""
    why_not = {}
    if "before" in work.inputs and KL not in found["overall"]:
        why_not[KL] = "no answer could be read whole by both models"
        for role, folder in work.inputs.items():
            if role.startswith("likelihoods.") and (folder / UNMEASURED).is_file():
                why_not[KL] = (folder / UNMEASURED).read_text(encoding="utf-8")
    if "language" in work.node.settings and MISMATCH not in found["overall"]:
        why_not[MISMATCH] = "the language of no answer could be told"
    return why_not


def _answers(work: Work) -> Iterator[tuple[Prompt, Completion]]:
    """The answers with their prompts."""
    prompts = {prompt.id: prompt for prompt in read_rows(work.inputs["prompts"], Prompt)}
    for answer in sampling.read_answers(work.inputs["answers"]):
        yield prompts[answer.prompt_id], answer


def _likelihoods(folder: Path | None) -> dict[tuple[str, int], LogLikelihood]:
    if folder is None or (folder / UNMEASURED).is_file():
        return {}
    return {(row.prompt_id, row.index): LogLikelihood(row.nats, row.tokens) for row in read_rows(folder, Likelihood)}


def _key(answer: Completion) -> tuple[str, int]:
    return answer.prompt_id, answer.index
