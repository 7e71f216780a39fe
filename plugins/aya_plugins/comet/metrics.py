"""What COMET adds to an evaluator of translations: a score for each, and how many it could not read whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aya_core.api import RowScore
from aya_plugins.benchmarks.translation import Triple
from aya_plugins.comet.process import Sample
from aya_plugins.comet.scoring import scores
from aya_plugins.comet.settings import Comet


def row_scores(settings: Comet, translations: Sequence[Triple], store: Path | None) -> Iterator[RowScore]:
    """Yield `xcomet` (or `comet`) of each translation, of its direction as `xcomet/xx-en`, and `xcomet/cut`.

    A translation without text scores 0: the checkpoint is not asked about it. `cut` is the share of those scored of which
    the encoder could not read source, translation and reference to their ends.
    """
    asked = [one for one in translations if one.hypothesis]
    given = iter(scores(settings, [Sample(one.source, one.hypothesis, one.reference) for one in asked], store))
    for one in translations:
        value = 0.0
        if one.hypothesis:
            value, cut = next(given)
            yield RowScore(one.id, one.language, f"{settings.metric}/cut", float(cut))
        yield RowScore(one.id, one.language, settings.metric, value)
        yield RowScore(one.id, one.language, f"{settings.metric}/{one.direction}", value)
