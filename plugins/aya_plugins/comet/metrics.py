"""What COMET adds to an evaluator of translations: a score for each, and how many it could not read whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aya_core.api import FAULTS, SHARE, Metric, RowScore
from aya_plugins.benchmarks.translation import Triple
from aya_plugins.comet.process import Sample
from aya_plugins.comet.scoring import scores
from aya_plugins.comet.settings import Comet


def comet_metrics(settings: Comet) -> Mapping[str, Metric]:
    """Declare them. xCOMET is between 0 and 1 and given in percent, as in papers; other checkpoints have no bounds."""
    own = SHARE if settings.metric == "xcomet" else Metric(better="max")
    return {settings.metric: own, f"{settings.metric}/*": own, f"{settings.metric}/cut": FAULTS}


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
            yield RowScore(one.id, one.language, f"{settings.metric}/cut", float(cut), item=one.item)
        yield RowScore(one.id, one.language, settings.metric, value, item=one.item)
        yield RowScore(one.id, one.language, f"{settings.metric}/{one.direction}", value, item=one.item)
