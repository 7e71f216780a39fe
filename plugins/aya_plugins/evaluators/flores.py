"""Translate parallel text, and compare with people's translations by chrF++ of the corpus, BLEU and spBLEU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from aya_core.api import (
    FAULTS,
    AskingEvaluator,
    CorpusScore,
    EvaluatedModel,
    EvaluatorStrategy,
    Field,
    LocalFile,
    Metric,
    Request,
    RowScore,
    content_of,
)
from aya_plugins.benchmarks.translation import ENGLISH, OUT_OF_ENGLISH, Translation, Triple
from aya_plugins.comet.metrics import comet_metrics, row_scores
from aya_plugins.comet.scoring import signature as comet_signature
from aya_plugins.comet.settings import Comet
from aya_plugins.corpus_bleu import CorpusBleu, CorpusSpBleu
from aya_plugins.corpus_chrf import CorpusChrf
from aya_plugins.corpus_metric import CorpusMetric
from aya_plugins.evaluators.signatures import versions

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]


POINTS = Metric(low=0.0, high=100.0, better="max")


class Flores(Translation, EvaluatorStrategy):
    """Translate into English and out of it without examples, and score the corpora; `chrf++` is the mean of both directions, in [0, 100].

    FLORES-200 as published (devtest/arb_Arab.devtest), FLORES+, or any text whose lines are aligned by language, as NTREX-128.
    `chrf++/xx-en` and `chrf++/en-xx` are the directions; `bleu` and `spbleu`, where they are asked for, have the same three. Standard
    errors are by bootstrap over segments. A prompt that the model left out counts as an empty translation, and in `unanswered`; `empty`
    is the share of answers without text. With `comet` the same
    translations are scored by xCOMET too: `xcomet`, `xcomet/xx-en` and `xcomet/en-xx` are means over segments, an empty translation
    scores 0, and `xcomet/cut` is the share too long to be read whole.

    Source: NLLB Team 2022, arXiv 2207.04672 (FLORES-200, spBLEU); Federmann et al. 2022 (NTREX-128); arXiv 2412.04261, section 4.
    """

    imports = ("sacrebleu", "numpy")
    extra = "eval"
    asks = True

    comet: Comet | None = Field(
        None, description="COMET checkpoint that scores the translations beside chrF++, in an environment of its own."
    )
    bleu: bool = Field(
        False,
        description="BLEU too, over words as sacrebleu makes them in the target language: 13a, zh, or ja-mecab and ko-mecab, which need "
        "sacrebleu[ja] and sacrebleu[ko].",
    )
    spbleu: LocalFile | None = Field(
        None,
        description="spBLEU too, over pieces of this SentencePiece model: the one that sacrebleu calls flores200 or flores101, downloaded "
        "from where docs/evaluation-generation.md says.",
    )
    resamples: int = Field(1000, ge=2, description="Corpora drawn for the standard errors.")

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """chrF++ first; what BLEU, spBLEU and a COMET add."""
        names = ["chrf++", *(["bleu"] if self.bleu else []), *(["spbleu"] if self.spbleu else [])]
        own = {one: POINTS for name in names for one in (name, f"{name}/*")}
        own |= {"unanswered": FAULTS, "empty": FAULTS}
        return own if self.comet is None else {**own, **comet_metrics(self.comet)}

    def build(self) -> AskingEvaluator:
        """Make the evaluator; files are read when it asks."""
        return _Flores(self)


class _Flores:
    def __init__(self, settings: Flores) -> None:
        self._settings = settings
        self._chrf = CorpusChrf()
        self._spbleu = None if settings.spbleu is None else CorpusSpBleu(settings.spbleu)

    def _metrics(self, target: str) -> Mapping[str, CorpusMetric]:
        """What scores translations into a language, by name."""
        found: dict[str, CorpusMetric] = {"chrf++": self._chrf}
        if self._settings.bleu:
            found["bleu"] = CorpusBleu(target)
        if self._spbleu is not None:
            found["spbleu"] = self._spbleu
        return found

    def requests(self) -> Iterator[Request]:
        return self._settings.requests()

    def evaluate(self, evaluated: EvaluatedModel) -> Iterator[RowScore | CorpusScore]:
        translations = list(self._settings.translations(evaluated))
        if self._settings.comet is not None:
            yield from row_scores(self._settings.comet, translations, evaluated.store)
        for language, of_language in groupby(translations, lambda one: one.language):
            scored: dict[str, list[_Scored]] = {}
            for direction, found in groupby(of_language, lambda one: one.direction):
                triples = list(found)
                yield from _answered(triples)
                target = language if direction == OUT_OF_ENGLISH else ENGLISH
                for name, metric in self._metrics(target).items():
                    one = _scored(metric, triples, self._settings.resamples)
                    scored.setdefault(name, []).append(one)
                    yield one.row(language, f"{name}/{direction}")
            for name, directions in scored.items():
                yield _mean(directions).row(language, name)

    def signature(self) -> Mapping[str, str]:
        return {
            **self._settings.translation_signature(),
            "chrf++": f"corpus|{self._chrf.signature()}",
            **(
                {
                    "bleu": f"corpus|{CorpusBleu(ENGLISH).signature()}, words of zh, ja and ko by zh, ja-mecab and ko-mecab"
                }
                if self._settings.bleu
                else {}
            ),
            **(
                {
                    "spbleu": f"corpus|{self._spbleu.signature()}, pieces {content_of(Path(str(self._settings.spbleu)))[:16]}"
                }
                if self._spbleu is not None
                else {}
            ),
            "standard_error": f"bootstrap of {self._settings.resamples}, seed 0; over languages jackknife of the lines they share",
            **versions("sacrebleu"),
            **(comet_signature(self._settings.comet) if self._settings.comet is not None else {}),
        }


class _Scored(NamedTuple):
    """A corpus' score, the scores of corpora drawn from it, and by how much each line moves it."""

    value: float
    drawn: Floats
    influences: Mapping[str, float]
    n: int

    def row(self, language: str, metric: str) -> CorpusScore:
        return CorpusScore(language, metric, self.value, float(self.drawn.std(ddof=1)), self.n, self.influences)


def _scored(metric: CorpusMetric, triples: list[Triple], resamples: int) -> _Scored:
    statistics = metric.statistics([one.hypothesis for one in triples], [one.reference for one in triples])
    influences = dict(zip((one.item for one in triples), metric.influences(statistics).tolist(), strict=True))
    return _Scored(metric.score(statistics), metric.resampled(statistics, resamples), influences, len(triples))


def _mean(directions: list[_Scored]) -> _Scored:
    """The mean of both directions, which share their segments; equal seeds have drawn equal ones."""
    import numpy

    value = sum(one.value for one in directions) / len(directions)
    drawn: Floats = numpy.mean([one.drawn for one in directions], 0)
    influences = {
        item: sum(one.influences[item] for one in directions) / len(directions) for item in directions[0].influences
    }
    return _Scored(value, drawn, influences, sum(one.n for one in directions))


def _answered(triples: list[Triple]) -> Iterator[RowScore]:
    for one in triples:
        yield RowScore(one.id, one.language, "unanswered", float(not one.is_answered), item=one.item)
        if one.is_answered:
            yield RowScore(one.id, one.language, "empty", float(not one.hypothesis), item=one.item)
