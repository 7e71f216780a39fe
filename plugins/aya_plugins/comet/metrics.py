"""What COMET adds to an evaluator of translations: a score for each, and how many it could not read whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from aya_core.api import RowScore
from aya_plugins.comet.process import Sample, Score
from aya_plugins.comet.scoring import scores
from aya_plugins.comet.settings import Comet

NOTHING = Score(0.0, False)


class Translated(Protocol):
    """A translation of the model under test, its source and a person's. language: the one that is not English.
    direction: xx-en or en-xx."""

    @property
    def id(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def hypothesis(self) -> str: ...
    @property
    def reference(self) -> str: ...


def row_scores(settings: Comet, translations: Iterable[Translated], store: Path | None) -> Iterator[RowScore]:
    """Yield `xcomet` (or `comet`) of each translation, of its direction as `xcomet/xx-en`, and `xcomet/cut`.

    A translation without text scores 0: the checkpoint is not asked about it. `cut` is the share of those scored of which
    the encoder could not read source, translation and reference to their ends.
    """
    found = list(translations)
    asked = [one for one in found if one.hypothesis.strip()]
    given = iter(scores(settings, [Sample(one.source, one.hypothesis, one.reference) for one in asked], store))
    for one in found:
        value, cut = next(given) if one.hypothesis.strip() else NOTHING
        yield RowScore(one.id, one.language, settings.metric, value)
        yield RowScore(one.id, one.language, f"{settings.metric}/{one.direction}", value)
        yield RowScore(one.id, one.language, f"{settings.metric}/cut", float(cut))
