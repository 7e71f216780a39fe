"""What evaluators with rows of their own ask of a model, and its replies: one pass over the model for all of them.

Replies survive a kill, and later runs take them over: an evaluator that joins costs its own requests alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from aya_core.api import (
    MEASURE,
    Asked,
    Asking,
    AskingEvaluator,
    Builder,
    Columns,
    Completion,
    Continuation,
    ContinuationTeacher,
    DataError,
    EvaluatorStrategy,
    Filled,
    GenerationRequest,
    LeftOut,
    LogLikelihood,
    PluginError,
    Replies,
    RowsWriter,
    Sampling,
    Scored,
    ScoringRequest,
    Strategy,
    Teacher,
    Work,
    checked_answers,
    chunk_size,
    chunked,
    count_rows,
    damaged,
    fill_shards,
    kept,
    read_rows,
    text_key,
    unanswered_because,
)

CHUNK = 8192
"""Requests handed to a model at a time, at the most: enough that what many of them share is computed seldom."""

SCORING = "scoring.parquet"
GENERATION = "generation.parquet"
GOLD = "gold.parquet"


@dataclass(frozen=True, slots=True)
class Gold(Columns):
    """Which continuation of a scoring request is right."""

    id: str
    place: int

    columns: ClassVar[Mapping[str, str]] = {"request_id": "string", "place": "int"}


def read_golds(folder: Path) -> Iterator[tuple[str, int]]:
    """Stream the places of the right continuations by id, as far as the requests know them; those of earlier versions know none."""
    if (file := folder / GOLD).is_file():
        yield from ((gold.id, gold.place) for gold in read_rows(file, Gold))


def scores_of(label: str) -> str:
    """The folder of a model's replies that holds an evaluator's log-likelihoods."""
    return f"{label}.scores"


def completions_of(label: str) -> str:
    """The folder of a model's replies that holds the answers to an evaluator's prompts."""
    return f"{label}.completions"


def add_requests(build: Builder, stage: str, label: str, evaluator: EvaluatorStrategy) -> str:
    """Add the node that collects what an evaluator asks, and return its id."""
    at = {"evaluator": f"evaluators.{label}"}
    return build.add(
        f"{stage}.{label}.requests", "request", "requests", {}, strategies={"evaluator": ("evaluator", evaluator)}, at=at
    )  # fmt: skip


def add_replies(
    build: Builder, stage: str, name: str, model: str, requests: Mapping[str, str], teacher: Strategy[Any]
) -> str:
    """Add the node in which a model replies to all evaluators, and return its id. requests: nodes by label."""
    return build.add(
        f"{stage}.replies@{name}", "reply", "replies", {"name": name}, requests, {"teacher": ("teacher", teacher)}, model=model,
        asked_by=("teacher",), draws=True,
    )  # fmt: skip


def collect(work: Work) -> Mapping[str, Any]:
    """Write down what an evaluator asks. Raises PluginError for an id that comes twice."""
    evaluator: AskingEvaluator = work.strategy("evaluator").build()
    seen: set[tuple[type, str]] = set()
    with (
        RowsWriter(work.out / SCORING, ScoringRequest) as scoring,
        RowsWriter(work.out / GENERATION, GenerationRequest) as generation,
        RowsWriter(work.out / GOLD, Gold) as golds,
    ):
        for request in evaluator.requests():
            is_scoring = isinstance(request, ScoringRequest)
            if not is_scoring and not isinstance(request, GenerationRequest):
                raise PluginError(f"the evaluator asked {request!r:.200}; expected ScoringRequest or GenerationRequest")
            id = request.id if isinstance(request, ScoringRequest) else request.prompt.id
            if (type(request), id) in seen:
                raise PluginError(f"the evaluator asked '{id}' twice; ids of requests must differ")
            seen.add((type(request), id))
            if isinstance(request, ScoringRequest):
                scoring.write(request)
                if request.gold is not None:
                    golds.write(Gold(request.id, request.gold))
            else:
                generation.write(request)
    if not seen:
        raise DataError("the evaluator asks nothing: its data has no row in the languages that it is set to")
    return {"scoring": scoring.count, "generation": generation.count}


def reply(work: Work) -> Mapping[str, Any]:
    """Ask a model all that evaluators want to know."""
    name, seed = work.setting("name"), work.node.seed
    loaded = cache(lambda: work.strategy("teacher").build())
    asked = Asked.of(work.node, work.contents)
    labels = [label for label in work.inputs if label in work.node.inputs and not label.startswith("teacher")]
    measures: dict[str, Any] = {"requests": 0, "answered": 0, "taken_over": 0, "seconds": 0.0}
    everything: list[Filled] = []
    because: list[LeftOut] = []
    for label in labels:
        folder = work.inputs[label]
        scoring = _scoring(loaded, asked, name)
        because.append(LeftOut(work.scratch, completions_of(label)))
        generation = _generation(loaded, asked, name, seed, because[-1])
        for filled in (
            fill_shards(work, scoring, _chunks_of_scoring(folder), subfolder=scores_of(label), total=count_rows(folder / SCORING)),
            fill_shards(
                work, generation, _chunks_of_generation(folder), subfolder=completions_of(label),
                total=count_rows(folder / GENERATION),
            ),
        ):  # fmt: skip
            everything.append(filled)
            measures["requests"] += filled.items
            measures["answered"] += filled.rows
            measures["taken_over"] += filled.taken
            measures["seconds"] = round(measures["seconds"] + filled.seconds, 3)
    return {
        **measures, **unanswered_because(*because), **damaged(*everything), **kept(*everything), MEASURE: asked.as_measure(),
    }  # fmt: skip


def replies(scores: Path, completions: Path) -> Replies:
    """Read what a model said to one evaluator."""
    found = {row.id: row.log_likelihoods for row in read_rows(scores, Scored)}
    answers = groupby(read_rows(completions, Completion), lambda row: row.prompt_id)
    return Replies(found, {id: tuple(rows) for id, rows in answers})


def ask_at_once(teacher: Teacher, evaluator: AskingEvaluator, name: str, seed: int) -> Replies:
    """Ask a model all that an evaluator wants to know, in memory: for models that do not last."""
    requests = list(evaluator.requests())
    scoring = [one for one in requests if isinstance(one, ScoringRequest)]
    likelihoods = {
        scoring[place].id: row.log_likelihoods for place, (row,) in scored(_able(teacher, name), scoring, name)
    }
    completions: dict[str, Sequence[Completion]] = {}
    generation = [one for one in requests if isinstance(one, GenerationRequest)]
    for way in dict.fromkeys(one.sampling for one in generation):
        prompts = [one.prompt for one in generation if one.sampling == way]
        own = seed if way.seed is None else way.seed
        for place, rows in checked_answers(teacher, prompts, way, own, name):
            completions[prompts[place].id] = rows
    return Replies(likelihoods, completions)


def _able(teacher: Teacher, name: str) -> ContinuationTeacher:
    if not isinstance(teacher, ContinuationTeacher):
        raise PluginError(
            f"the evaluators of this stage need log-likelihoods of continuations, which the teacher of '{name}' does not give; "
            "use one that does, as transformers or vllm"
        )
    return teacher


def _scoring(loaded: Any, asked: Asked, name: str) -> Asking[ScoringRequest, Scored]:
    def key(request: ScoringRequest) -> int:
        return text_key("scoring", *map(str, request.to_values()))

    def ask(requests: Sequence[ScoringRequest]) -> Iterator[tuple[int, Sequence[Scored]]]:
        yield from scored(_able(loaded(), name), requests, name)

    return Asking(Scored, key, ask, asked, lambda row: sum(one.tokens for one in row.log_likelihoods))


def scored(
    teacher: ContinuationTeacher, requests: Sequence[ScoringRequest], name: str
) -> Iterator[tuple[int, Sequence[Scored]]]:
    """Ask a teacher for the log-likelihoods of all requests, and yield the place of each once it has all of its own."""
    if not requests:
        return
    flat = [(place, index) for place, request in enumerate(requests) for index in range(len(request.continuations))]
    waiting = [len(request.continuations) for request in requests]
    found: list[list[LogLikelihood | None]] = [[None] * count for count in waiting]
    asked: list[Continuation] = [one for request in requests for one in request.continuations]
    for position, likelihood in teacher.continuations(asked):
        if not 0 <= position < len(flat):
            raise PluginError(f"the teacher of '{name}' scored continuation {position} of {len(flat)}")
        place, index = flat[position]
        if found[place][index] is not None:
            raise PluginError(f"the teacher of '{name}' scored continuation {index} of '{requests[place].id}' twice")
        if not isinstance(likelihood, LogLikelihood) or likelihood.nats > 0:
            raise PluginError(f"the teacher of '{name}' gave {likelihood!r}; expected LogLikelihood of at most 0 nats")
        found[place][index] = likelihood
        waiting[place] -= 1
        if not waiting[place]:
            yield place, [Scored(requests[place].id, tuple(one for one in found[place] if one is not None))]
    if any(waiting):
        missing = requests[next(place for place, count in enumerate(waiting) if count)].id
        raise PluginError(f"the teacher of '{name}' left continuations of '{missing}' without a score")


def _generation(
    loaded: Any, asked: Asked, name: str, seed: int, left_out: LeftOut
) -> Asking[GenerationRequest, Completion]:
    def key(request: GenerationRequest) -> int:
        row = request.to_row()
        del row["item"]  # no part of what is asked: earlier replies stand
        if row["tools"] is None:
            del row["tools"]  # a later column: earlier replies stand
        return text_key("generation", *map(str, row.values()))

    def ask(requests: Sequence[GenerationRequest]) -> Iterator[tuple[int, Sequence[Completion]]]:
        teacher: Teacher = loaded()
        how = requests[0].sampling
        own = seed if how.seed is None else how.seed
        prompts = [request.prompt for request in requests]
        yield from checked_answers(teacher, prompts, how, own, name, left_out.note)

    return Asking(Completion, key, ask, asked, lambda row: row.completion_tokens, made=left_out.made)


def _chunks_of_scoring(folder: Path) -> Iterator[Sequence[ScoringRequest]]:
    return chunked(read_rows(folder / SCORING, ScoringRequest), CHUNK)


def _chunks_of_generation(folder: Path) -> Iterator[Sequence[GenerationRequest]]:
    """Chunks of prompts that are asked in the same way, from one pass over the rows for each way."""
    ways: dict[Sampling, None] = {}
    for request in read_rows(folder / GENERATION, GenerationRequest):
        ways.setdefault(request.sampling)
    for way in ways:
        asked = (one for one in read_rows(folder / GENERATION, GenerationRequest) if one.sampling == way)
        yield from chunked(asked, chunk_size(way))
