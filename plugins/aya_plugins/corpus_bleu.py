"""BLEU and spBLEU of a corpus, with their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from aya_core.api import AyaError
from aya_plugins.corpus_metric import CorpusMetric

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]
    Ints: TypeAlias = NDArray[numpy.int64]

ORDER = 4
"""Longest n-gram of words."""

TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
"""How sacrebleu makes words of a language; of any other, `13a`."""


class CorpusBleu(CorpusMetric):
    """sacrebleu's corpus BLEU (4-grams, exponential smoothing, case kept), in [0, 100].

    Source: Papineni et al. 2002 (P02-1040); Post 2018 (W18-6319), whose words, formula and numbers these are.
    """

    def __init__(self, language: str) -> None:
        """language: of the text, by which sacrebleu chooses how to make words of it. Raises AyaError where that needs what is not
        installed."""
        from sacrebleu.metrics import BLEU

        name = TOKENIZERS.get(language.split("-")[0], "13a")
        try:
            self._metric: Any = BLEU(tokenize=name)
        except (ImportError, RuntimeError):
            raise AyaError(
                f"BLEU of {language} needs sacrebleu's tokenizer {name}, which is not installed; run "
                f"pip install 'sacrebleu[{language.split('-')[0]}]', or measure spBLEU instead"
            ) from None
        self._metric.num_refs = 1  # for the signature

    def signature(self) -> str:
        """Name the settings and the version, as sacrebleu does."""
        return str(self._metric.get_signature())

    def statistics(self, hypotheses: Sequence[str], references: Sequence[str]) -> Ints:
        """Count n-grams of each segment: (segments, 10), words in hypothesis and in reference, n-grams in both, n-grams in hypothesis."""
        import numpy

        return numpy.array(self._metric._extract_corpus_statistics(hypotheses, [references]), numpy.int64)

    def score(self, statistics: Ints) -> float:
        """Score a corpus by its segments' counts."""
        return float(self._metric._compute_score_from_stats(statistics.sum(0).tolist()).score)

    def scores(self, sums: Floats) -> Floats:
        """Score many corpora at once, see `corpus_scores`."""
        return corpus_scores(sums)


class CorpusSpBleu(CorpusBleu):
    """BLEU over SentencePiece pieces, which takes any language alike: sacrebleu's with `tokenize="flores200"` or `"flores101"`.

    Source: Goyal et al. 2022, arXiv 2106.03193, section 5 (spBLEU); NLLB Team 2022, arXiv 2207.04672 (the model of 200 languages).
    """

    def __init__(self, model: str) -> None:
        """model: the SentencePiece model's file. Raises AyaError where it is none."""
        import sentencepiece
        from sacrebleu.metrics import BLEU

        try:
            cut: Callable[[str], list[str]] = sentencepiece.SentencePieceProcessor(model_file=model).EncodeAsPieces
        except (OSError, RuntimeError):
            raise AyaError(
                f"{model}: not a SentencePiece model; expected the one by which spBLEU is defined, "
                "as https://tinyurl.com/flores200sacrebleuspm (flores200) has it"
            ) from None
        self._metric = BLEU(tokenize="none", force=True)  # texts are cut here
        self._metric.tokenizer = lambda text: " ".join(cut(text))
        self._metric.num_refs = 1

    def signature(self) -> str:
        """Name the settings and the version; the pieces are named by the content of their model."""
        return super().signature().replace("tok:none", "tok:sentencepiece")


def corpus_scores(sums: Floats) -> Floats:
    """sacrebleu's BLEU of many corpora at once, by their summed counts: (corpora, 10) to (corpora,), in [0, 100]."""
    import numpy

    ours, theirs, shared, found = sums[:, 0], sums[:, 1], sums[:, 2 : 2 + ORDER], sums[:, 2 + ORDER :]
    missed = (shared == 0) & (found > 0)
    halved = numpy.where(missed, 0.5 ** numpy.cumsum(missed, 1), shared)
    has_all = numpy.asarray((found > 0).all(1) & (shared > 0).any(1))
    precisions = numpy.where(has_all[:, None], halved / numpy.maximum(found, 1), 1)
    brevity = numpy.exp(numpy.minimum(0, 1 - theirs / numpy.maximum(ours, 1)))
    scores: Floats = numpy.where(has_all, 100 * brevity * numpy.exp(numpy.log(precisions).mean(1)), 0)
    return scores
