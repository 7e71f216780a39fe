"""Translate parallel text, and compare with people's translations by chrF++ of the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from aya_core.api import (
    FAULTS,
    AskingEvaluator,
    CorpusScore,
    EvaluatedModel,
    EvaluatorStrategy,
    Field,
    Metric,
    Request,
    RowScore,
)
from aya_plugins.benchmarks.translation import Translation, Triple
from aya_plugins.chrf import CHRF
from aya_plugins.comet.metrics import comet_metrics, row_scores
from aya_plugins.comet.scoring import signature as comet_signature
from aya_plugins.comet.settings import Comet
from aya_plugins.corpus_chrf import CorpusChrf
from aya_plugins.evaluators.signatures import versions

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]


class Flores(Translation, EvaluatorStrategy):
    """Translate into English and out of it without examples; `chrf++` is the mean of both directions' corpus chrF++, in [0, 100].

    FLORES-200 as published (devtest/arb_Arab.devtest), FLORES+, or any text whose lines are aligned by language, as NTREX-128.
    `chrf++/xx-en` and `chrf++/en-xx` are the directions. Standard errors are by bootstrap over segments. A prompt that the model
    left out counts as an empty translation, and in `unanswered`; `empty` is the share of answers without text. With `comet` the same
    translations are scored by xCOMET too: `xcomet`, `xcomet/xx-en` and `xcomet/en-xx` are means over segments, an empty translation
    scores 0, and `xcomet/cut` is the share too long to be read whole.

    Source: NLLB Team 2022, arXiv 2207.04672 (FLORES-200); Federmann et al. 2022 (NTREX-128); arXiv 2412.04261, section 4.
    """

    imports = ("sacrebleu", "numpy")
    extra = "eval"
    asks = True

    comet: Comet | None = Field(
        None, description="COMET checkpoint that scores the translations beside chrF++, in an environment of its own."
    )
    resamples: int = Field(1000, ge=2, description="Corpora drawn for the standard errors.")

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """chrF++ first; with a COMET, what it adds."""
        own = {"chrf++": CHRF, "chrf++/*": CHRF, "unanswered": FAULTS, "empty": FAULTS}
        return own if self.comet is None else {**own, **comet_metrics(self.comet)}

    def build(self) -> AskingEvaluator:
        """Make the evaluator; files are read when it asks."""
        return _Flores(self)


class _Flores:
    def __init__(self, settings: Flores) -> None:
        self._settings = settings
        self._chrf = CorpusChrf()

    def requests(self) -> Iterator[Request]:
        return self._settings.requests()

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore | CorpusScore]:
        import numpy

        translations = list(self._settings.translations(evaluated))
        if self._settings.comet is not None:
            yield from row_scores(self._settings.comet, translations, evaluated.store)
        for language, of_language in groupby(translations, lambda one: one.language):
            values: list[float] = []
            samples: list[Floats] = []
            influences: list[Mapping[str, float]] = []
            count = 0
            for direction, found in groupby(of_language, lambda one: one.direction):
                triples = list(found)
                yield from _answered(triples)
                statistics = self._chrf.statistics(
                    [one.hypothesis for one in triples], [one.reference for one in triples]
                )
                value, sample = self._chrf.score(statistics), self._chrf.resampled(statistics, self._settings.resamples)
                own = dict(zip((one.item for one in triples), self._chrf.influences(statistics).tolist(), strict=True))
                yield CorpusScore(language, f"chrf++/{direction}", value, _deviation(sample), len(triples), own)
                values.append(value)
                samples.append(sample)
                influences.append(own)
                count += len(triples)
            # the directions share their segments, and equal seeds draw equal ones
            error = _deviation(numpy.mean(samples, 0))
            both = {item: sum(own[item] for own in influences) / len(influences) for item in influences[0]}
            yield CorpusScore(language, "chrf++", sum(values) / len(values), error, count, both)

    def signature(self) -> Mapping[str, str]:
        return {
            **self._settings.translation_signature(),
            "chrf++": f"corpus|{self._chrf.signature()}",
            "standard_error": f"bootstrap of {self._settings.resamples}, seed 0; over languages jackknife of the lines they share",
            **versions("sacrebleu"),
            **(comet_signature(self._settings.comet) if self._settings.comet is not None else {}),
        }


def _answered(triples: list[Triple]) -> Iterator[RowScore]:
    for one in triples:
        yield RowScore(one.id, one.language, "unanswered", float(not one.is_answered), item=one.item)
        if one.is_answered:
            yield RowScore(one.id, one.language, "empty", float(not one.hypothesis), item=one.item)


def _deviation(sample: Floats) -> float:
    return float(sample.std(ddof=1))
