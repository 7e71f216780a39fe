"""The samples of an evaluation: what a model was asked, what it said, what is right and what that scored, a row for each sample.

They are put together from what the run holds: requests, replies, answers, scores and verdicts. Nothing that grows with their number is
held in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from aya_core.api import (
    Artifact,
    Columns,
    Completion,
    Continuation,
    DataError,
    Demonstration,
    GenerationRequest,
    Message,
    Preference,
    Prompt,
    RunRecord,
    ScoringRequest,
    StageRecord,
    did_you_mean,
    read_rows,
)
from aya_recipe.evaluate import replying
from aya_recipe.evaluate.evaluation import COMPLETIONS, GREEDY, SCORES
from aya_recipe.evaluate.sample_store import Said, Store
from aya_recipe.evaluate.scores import DOES

UNANSWERED = "no answer was given"
"""Why there is no score where the model left a prompt out, as one that is too long for it, or failed."""


@dataclass(frozen=True, slots=True)
class Sample(Columns):
    """One sample.

    index: of several answers to a prompt. greedy: whether it is the answer at temperature 0 beside sampled ones. prompt: a text; a
    conversation of several turns as JSON. options: of multiple choice, each with its log-likelihood. answer: what was said, or the
    likeliest option. gold: the right answer, where it is known. rival: the answer that it was compared with. scores: by metric; a list
    where an evaluator gives several for a prompt. status: "scored", "unscored" or "unanswered", with the reason.
    """

    evaluator: str
    model: str
    language: str
    id: str
    prompt: str
    index: int = 0
    greedy: bool = False
    options: Sequence[Mapping[str, Any]] = ()
    answer: str | None = None
    gold: str | None = None
    rival: str | None = None
    finish_reason: str | None = None
    scores: Mapping[str, Any] | None = None
    status: str = "scored"
    reason: str = ""

    columns: ClassVar[Mapping[str, str]] = {
        "evaluator": "string", "model": "string", "language": "string", "id": "string", "index": "int", "sampling": "string",
        "prompt": "string", "options": "string", "answer": "string", "gold": "string", "rival": "string", "finish_reason": "string",
        "scores": "string", "status": "string", "reason": "string",
    }  # fmt: skip

    def to_values(self) -> Sequence[Any]:
        """The values of this sample's row; options and scores as JSON."""
        options = json.dumps(list(self.options), ensure_ascii=False) if self.options else None
        return (
            self.evaluator, self.model, self.language, self.id, self.index, "greedy" if self.greedy else "as set", self.prompt, options,
            self.answer, self.gold, self.rival, self.finish_reason, json.dumps(self.scores or {}, ensure_ascii=False), self.status,
            self.reason,
        )  # fmt: skip


JSON_COLUMNS = ("options", "scores")
"""Columns that hold JSON."""


def stages_with_samples(run: RunRecord) -> list[str]:
    """The stages of a run that were evaluations."""
    return [name for name, stage in run.stages.items() if stage.do == DOES]


def samples(stage: StageRecord, evaluator: str | None = None) -> Iterator[Sample]:
    """Stream the samples of an evaluate stage, evaluator by evaluator and model by model. Raises DataError where none is there yet."""
    labels = list(stage.settings["evaluators"])
    if evaluator is not None and evaluator not in labels:
        raise DataError(f"no evaluator '{evaluator}' in {stage.name}; {did_you_mean(evaluator, labels)}")
    are_there = False
    for label in labels if evaluator is None else [evaluator]:
        for model in (*stage.settings["models"], *stage.settings["controls"]):
            artifact = stage.standing.get(f"{stage.name}.{label}@{model}")
            if artifact is not None:
                are_there = True
                yield from _Scored(stage, label, model, artifact).samples()
    if not are_there:
        raise DataError(f"{stage.name}: no model is scored yet; `aya run` or `aya evaluate` scores them")


class _Scored:
    """What one evaluator found of one model."""

    def __init__(self, stage: StageRecord, label: str, model: str, artifact: Artifact) -> None:
        self._stage = stage
        self._names = (label, model)
        self._artifact = artifact
        self._step = (
            stage.steps[artifact.node] if artifact.node in stage.steps else stage.steps[f"{stage.name}.{label}@{model}"]
        )
        self._store = Store(artifact.payload)
        self._headline = str(artifact.measures["headline"])

    def samples(self) -> Iterator[Sample]:
        if SCORES in self._step.inputs:
            yield from self._of_requests()
        elif (prompts := self._input("prompts")) is not None:
            yield from self._of_prompts(prompts)
        else:
            yield from self._of_rows()

    def _input(self, role: str) -> Path | None:
        """The folder that a role of the step stands for; None where there is none."""
        standing = self._stage.run.standing.get(self._step.inputs.get(role, ""))
        if standing is None:
            return None
        return standing.payload / self._step.subpaths.get(role, "")

    def _of_requests(self) -> Iterator[Sample]:
        asked = self._stage.standing[f"{self._stage.name}.{self._names[0]}.requests"].payload
        likelihoods, answers = self._input(SCORES), self._input(COMPLETIONS)
        if likelihoods is None or answers is None:
            raise DataError(f"{self._artifact.node}: the replies that it was scored by are gone; run the recipe again")
        self._store.add_known((id, None, place) for id, place in replying.read_golds(asked))
        self._store.add_likelihoods(likelihoods)
        self._store.add_answers("own", read_rows(answers, Completion))
        for request in read_rows(asked / replying.SCORING, ScoringRequest):
            yield self._choice(request)
        for generation in read_rows(asked / replying.GENERATION, GenerationRequest):
            yield from self._answered(generation.prompt, greedy=False)

    def _of_prompts(self, prompts: Path) -> Iterator[Sample]:
        for greedy in (False, True) if self._step.settings.get("greedy") else (False,):
            for side, role in (("own", "answers"), ("rival", "rival")):
                folder = self._input(role)
                if folder is not None:
                    rows = read_rows(folder / "greedy" if greedy else folder, Completion)
                    self._store.add_answers(f"{GREEDY if greedy else ''}{side}", rows)
            for prompt in read_rows(prompts, Prompt):
                yield from self._answered(prompt, greedy=greedy)

    def _of_rows(self) -> Iterator[Sample]:
        """Rows whose answers are known and were scored as they are: demonstrations or preferences of the run, where it has them."""
        for role, id in self._step.inputs.items():
            folder, step = self._input(role), self._stage.run.steps.get(id)
            if folder is not None and step is not None and step.kind in ("demonstrations", "preferences"):
                self._store.add_known(_known(folder, Demonstration if step.kind == "demonstrations" else Preference))
        for id, language in self._store.scored():
            prompt, gold = self._store.known(id)
            scores = self._store.scores(id, language, 0, 1, greedy=False)
            yield self._sample(language, id, prompt or "", gold=gold, scores=scores, is_said=True)

    def _choice(self, request: ScoringRequest) -> Sample:
        _, gold = self._store.known(request.id)
        found = self._store.likelihoods(request.id)
        context = request.continuations[0].context
        options = [
            _option(one, nats, tokens, cut, context)
            for one, (nats, tokens, cut) in zip(request.continuations, found, strict=True)
        ]
        nats = [one[0] for one in found]
        lost = [place for place, one in enumerate(nats) if not math.isfinite(one)]
        best = None if lost else request.continuations[nats.index(max(nats))].text
        return self._sample(
            request.language, request.id, context if isinstance(context, str) else _text(context), options=options, answer=best,
            gold=None if gold is None else request.continuations[gold].text,
            scores=self._store.scores(request.id, request.language, 0, 1, greedy=False), is_said=True,
            why=f"option {lost[0]} has no finite log-likelihood" if lost else "",
        )  # fmt: skip

    def _answered(self, prompt: Prompt, *, greedy: bool) -> Iterator[Sample]:
        prefix = GREEDY if greedy else ""
        own = self._store.answers(f"{prefix}own", prompt.id)
        rivals = {said.number: said for said in self._store.answers(f"{prefix}rival", prompt.id)}
        nothing = [Said(0, None, None)]
        for place, said in enumerate(own or nothing):
            rival = rivals.get(said.number)
            yield self._sample(
                prompt.language, prompt.id, _text(prompt.messages), index=said.number, greedy=greedy, answer=said.text,
                gold=prompt.reference, rival=None if rival is None else rival.text, finish_reason=said.finish_reason,
                scores=self._store.scores(prompt.id, prompt.language, place, len(own), greedy=greedy), is_said=bool(own),
                why="" if own else UNANSWERED,
            )  # fmt: skip

    def _sample(
        self,
        language: str,
        id: str,
        prompt: str,
        *,
        scores: Mapping[str, Any],
        is_said: bool,
        why: str = "",
        **more: Any,
    ) -> Sample:
        status, reason = "scored" if is_said and not why else "unscored" if is_said else "unanswered", why
        if is_said and not why and self._store.has_metric(self._headline) and self._headline not in scores:
            status = "unscored"
            reason = self._store.why_unscored(id) or f"the evaluator gave it no '{self._headline}'"
        label, model = self._names
        return Sample(label, model, language, id, prompt, scores=scores, status=status, reason=reason, **more)


def _known(folder: Path, record: type[Demonstration] | type[Preference]) -> Iterator[tuple[str, str, str]]:
    """Id, prompt and right answer of each row."""
    row: Demonstration | Preference
    for row in read_rows(folder, record):
        yield (
            row.prompt.id,
            _text(row.prompt.messages),
            row.completion if isinstance(row, Demonstration) else row.chosen or "",
        )


def _option(one: Continuation, nats: float, tokens: int, cut: int, context: Any) -> Mapping[str, Any]:
    """An option with what the model gave it; with its own context where that is not the one of the question."""
    said = {"text": one.text, "log_likelihood": nats if math.isfinite(nats) else None, "tokens": tokens}
    if cut:
        said["cut"] = cut
    if one.context != context:
        said["context"] = one.context if isinstance(one.context, str) else _text(one.context)
    return said


def _text(messages: Sequence[Message]) -> str:
    """A question as it was asked; several turns as JSON."""
    return messages[0]["content"] if len(messages) == 1 else json.dumps(list(messages), ensure_ascii=False)
