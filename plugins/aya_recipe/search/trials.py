"""The merges that a search tries: made a generation at a time, scored one by one, and all but the best deleted."""

from __future__ import annotations

import gc
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aya_core.api import (
    EACH,
    AskingEvaluator,
    AyaError,
    DamageError,
    DataError,
    EvaluatedModel,
    EvaluatorStrategy,
    MergeJob,
    Prompt,
    Replies,
    RowScore,
    Sampling,
    SealedShards,
    Strategy,
    Teacher,
    Work,
    checked_answers,
    main_metric,
    read_rows,
    rename,
    write_rows,
    writing_file,
)
from aya_recipe.evaluate import evaluation, replying
from aya_recipe.merge import merging
from aya_recipe.merge.merge_yaml import write_merge
from aya_recipe.numbers import statistics
from aya_recipe.search.searching import Candidate, Tried


class MergeTrials:
    """Makes and scores the candidates of one node. models: their names. evaluator: what scores them; headline: its metric."""

    def __init__(self, work: Work, models: Sequence[str]) -> None:
        self._work = work
        self._models = models
        self._checkpoints = work.scratch / "candidates"
        self._merging = work.scratch / "merging"
        self._scores = work.scratch / "scores"
        for folder in (self._checkpoints, self._scores):
            folder.mkdir(exist_ok=True)
        self._unmade: dict[int, str] = {}
        self._made: set[int] = set()
        self._sealed = SealedShards.of(work.partial, "search")
        self._strategy: EvaluatorStrategy = work.strategy("evaluator")
        self.evaluator = self._strategy.build()
        prompts = work.inputs.get("prompts")
        self._prompts = list(read_rows(prompts, Prompt)) if prompts else []

    @property
    def headline(self) -> str:
        """The metric that decides."""
        return self.rows(0)[0].metric

    @property
    def unit(self) -> str:
        """Of that metric."""
        return self._strategy.metrics[self.headline].unit

    def prepare(self, batch: Sequence[Candidate], best: Candidate | None) -> None:
        """Merge a generation in one call, so that the models are read once; where that fails, one by one.

        Raises AyaError where none of several can be merged: then something else is wrong than their weights.
        """
        for folder in self._checkpoints.iterdir():
            if best is None or folder.name != str(best.number):
                shutil.rmtree(folder)
        try:
            self._merge(batch)
        except AyaError as error:
            for candidate in batch:
                try:
                    self._merge([candidate])
                except AyaError as its_own:
                    self._unmade[candidate.number] = str(its_own)
            if len(batch) > 1 and all(candidate.number in self._unmade for candidate in batch):
                raise error

    def score(self, candidate: Candidate) -> Tried:
        """Score a candidate on the same rows as the uniform one; one that leaves some of these out has failed."""
        if candidate.number in self._unmade:
            return Tried(candidate, None, failed=self._unmade[candidate.number])
        try:
            rows = self._evaluate(candidate)
        except AyaError as error:
            return Tried(candidate, None, failed=str(error))
        finally:
            gc.collect()  # a model is large, and may be part of a cycle
        file = self._file(candidate.number)
        with writing_file(file) as partial:
            write_rows(partial.parent, RowScore, rows, name=partial.name)
            self._sealed.seal(file.name, partial)
        scored, wanted = statistics.sums(rows), statistics.sums(self.rows(0))
        missing = sum(len(prompts.keys() - scored.get(code, {}).keys()) for code, prompts in wanted.items())
        if missing:
            total = sum(map(len, wanted.values()))
            return Tried(
                candidate, None, failed=f"{missing} of the {total} rows that the uniform merge scored have no score"
            )
        estimate = statistics.mean(scored)
        self._work.log(candidate.number + 1, self._work.setting("budget"), {"score": estimate.value})
        return Tried(
            candidate,
            estimate.value,
            estimate.standard_error if math.isfinite(estimate.standard_error) else None,
            estimate.n,
        )

    def stands(self, tried: Tried) -> bool:
        """Say whether the scores of one that an earlier run tried are what it wrote; one that failed has none."""
        if tried.failed is not None:
            return True
        try:
            self._sealed.check(self._file(tried.candidate.number))
        except (DamageError, FileNotFoundError) as error:
            print(f"{error}. Candidate {tried.candidate.number} is scored again", file=sys.stderr)
            return False
        return True

    def discard(self, candidate: Candidate) -> None:
        """Delete a candidate's checkpoint."""
        shutil.rmtree(self._checkpoint(candidate), ignore_errors=True)

    def finish(self, best: Candidate) -> None:
        """Make the best candidate's checkpoint the payload, in one step; one that a killed run made is made again: candidates are
        not flushed to disk, as all but one are deleted."""
        if best.number not in self._made:
            self._merge([best])
        settings = {**self._work.setting("merge"), **best.settings}
        write_merge(self._work, self._checkpoint(best), settings, self._weights(best))
        self._work.out.rmdir()
        rename(self._checkpoint(best), self._work.out)

    def rows(self, number: int) -> list[RowScore]:
        """The scores of a candidate by row."""
        return list(read_rows(self._file(number), RowScore))

    def _merge(self, batch: Sequence[Candidate]) -> None:
        shutil.rmtree(self._merging, ignore_errors=True)
        merging.run_all(self._work.registry, [(self._merge_of(one), self._job(one)) for one in batch])
        shutil.rmtree(self._merging)
        self._made.update(one.number for one in batch)

    def _merge_of(self, candidate: Candidate) -> Strategy[Any]:
        return self._work.registry.validate("merge", {**self._work.setting("merge"), **candidate.settings})

    def _job(self, candidate: Candidate) -> MergeJob:
        out, scratch = self._checkpoint(candidate), self._merging / str(candidate.number)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        scratch.mkdir(parents=True)
        return merging.job(self._work, out, self._weights(candidate), scratch)

    def _weights(self, candidate: Candidate) -> dict[str, Any]:
        return {name: candidate.weights.get(name, 1.0) for name in self._models}

    def _evaluate(self, candidate: Candidate) -> list[RowScore]:
        loaded: list[Teacher] = []

        def teacher() -> Teacher:
            if not loaded:
                spec = _for_model(self._work.setting("teacher"), str(self._checkpoint(candidate)))
                loaded.append(self._work.registry.validate("teacher", spec).build())
            return loaded[0]

        name = f"candidate {candidate.number}"
        answers = []
        if self._prompts:
            how = Sampling(**self._work.setting("sampling"))
            seed = self._work.node.seed if how.seed is None else how.seed
            answered = sorted(checked_answers(teacher(), self._prompts, how, seed, name), key=lambda pair: pair[0])
            answers = [answer for _, several in answered for answer in several]
        replies = Replies()
        if self._strategy.asks:
            asking: AskingEvaluator = self.evaluator
            replies = replying.ask_at_once(teacher(), asking, name, self._work.node.seed)
        evaluated = EvaluatedModel(name, self._prompts, answers, [], evaluation.likelihoods(teacher), replies)
        rows = [row for row in evaluation.score(self._strategy, self.evaluator, evaluated) if isinstance(row, RowScore)]
        metrics = {row.metric for row in rows}
        headline = main_metric(self._strategy.metrics, f"the evaluator {type(self._strategy).__name__}")
        if headline not in metrics:
            raise DataError(f"the evaluator gave no {headline} for any row")
        return [row for row in rows if row.metric == headline]

    def _checkpoint(self, candidate: Candidate) -> Path:
        return self._checkpoints / str(candidate.number)

    def _file(self, number: int) -> Path:
        return self._scores / f"rows-{number}.parquet"


def _for_model(spec: Any, folder: str) -> Any:
    """Name the model of a strategy that is applied to each."""
    if isinstance(spec, dict):
        return {key: _for_model(value, folder) for key, value in spec.items()}
    if isinstance(spec, list):
        return [_for_model(value, folder) for value in spec]
    return folder if spec == EACH else spec
