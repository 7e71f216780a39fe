"""Several arbiters as one: some say who may compete, the others who wins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from aya_core.api import Arbiter, CalibratedArbiter, Field, Strategy, did_you_mean, nested
from aya_plugins.arbiters.combining import lexicographic, weighted
from aya_plugins.arbiters.ensemble_engine import CalibratedEnsemble, EnsembleArbiter
from aya_plugins.arbiters.normalise import ZNormalised


class Ensemble(Strategy[Arbiter]):
    """Gate answers by some arbiters, and combine the scores of others.

    A candidate on which a gate abstains or fails goes no further: the scorers neither spend work on it nor compare the
    others with it. A candidate on which any scorer abstains or fails gets that as its verdict, never a part of a sum. In
    both cases the reason begins with the member's name.

    `weighted` sums weight x score. `lexicographic` compares by the first scorer, ties by the second, and so on; the
    score is the share of the other candidates that are beaten, a tie counting half, and 0.5 for a lone candidate. Scores
    count as tied up to 1e-5, or that share of the larger one.

    A scorer that compares answers, such as `consensus`, abstains where a single one is left. That abstention is left
    out, as long as another scorer scores: in an order it changes nothing, and under `normalise: language` it counts as
    0, the mean. Under `weighted` without normalisation there is no such middle, and the abstention stands.

    Every member's score, and its own details, are details of the verdict: `reward`, `reward/raw`.
    """

    gates: dict[str, nested("arbiter")] = Field(  # type: ignore[valid-type]
        default={}, description="Arbiters that answers must pass, by name: they pass whatever score they get."
    )
    scores: dict[str, nested("arbiter")] = Field(  # type: ignore[valid-type]
        description="Arbiters whose scores are combined, by name; one at least."
    )
    combine: Literal["weighted", "lexicographic"] = Field("weighted", description="How scores become one.")
    weights: dict[str, float] = Field(
        default={}, description="Weights of the scores by name, where they are not 1; for `weighted`."
    )
    normalise: Literal["none", "language"] = Field(
        "none",
        description="language: each score counts as (score - mean) / standard deviation among the answers in its "
        "language, so that weights mean the same everywhere; for `weighted`.",
    )
    # The order of a mapping is lost in fingerprints, and here it decides verdicts: it is kept as a setting of its own.
    order: tuple[str, ...] | None = Field(
        None, description="Members by name, in the order in which they judge and compare; None: as written."
    )

    @field_validator("gates", "scores")
    @classmethod
    def _names_are_whole(cls, members: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in members:
            if not name or "/" in name:
                raise ValueError(f"'{name}' cannot name a member: in details, a slash divides member and detail")
        return members

    @model_validator(mode="before")
    @classmethod
    def _keep_the_order(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and settings.get("order") is None:
            parts = [part for key in ("gates", "scores") if isinstance(part := settings.get(key), Mapping)]
            return {**settings, "order": [name for part in parts for name in part]}
        return settings

    @model_validator(mode="after")
    def _settings_agree(self) -> Ensemble:
        if not self.scores:
            raise ValueError(
                "`scores` is empty: gates only say which answers may compete, so all would be equal; add a scorer, such "
                "as {consensus: {use: consensus}}"
            )
        if both := sorted(self.gates.keys() & self.scores.keys()):
            raise ValueError(f"'{both[0]}' is both a gate and a score; rename one")
        for name, weight in self.weights.items():
            if name not in self.scores:
                raise ValueError(f"weights: no score named '{name}'; {did_you_mean(name, self.scores)}")
            if not math.isfinite(weight):
                raise ValueError(f"weights: '{name}' has weight {weight}; expected a finite number")
        if self.combine == "lexicographic" and (self.weights or self.normalise != "none"):
            what = "weights" if self.weights else "normalise"
            raise ValueError(f"`{what}` changes nothing where `combine: lexicographic` compares scores; leave it out")
        if sorted(self.order or ()) != sorted((*self.gates, *self.scores)):
            raise ValueError(f"order: expected each of {', '.join((*self.gates, *self.scores))} once")
        return self

    @property
    def pointwise(self) -> bool:
        """Whether every verdict is on an answer by itself."""
        return self.combine == "weighted" and all(map(_is_pointwise, (*self.gates.values(), *self.scores.values())))

    @property
    def orderless(self) -> bool:
        """Whether the order of the answers decides nothing, for any member."""
        members = (*self.gates.values(), *self.scores.values())
        return all(_is_pointwise(member) or bool(getattr(member, "orderless", False)) for member in members)

    def build(self) -> Arbiter:
        """Build the members."""
        order = self.order or ()
        gates = {name: self.gates[name].build() for name in order if name in self.gates}
        scorers = {name: self.scores[name].build() for name in order if name in self.scores}
        if self.normalise == "language":
            scorers = {name: ZNormalised(scorer, name) for name, scorer in scorers.items()}
        if self.combine == "weighted":
            combine = weighted({name: self.weights.get(name, 1.0) for name in scorers})
        else:
            combine = lexicographic(tuple(scorers))
        has_middle = self.combine == "lexicographic" or self.normalise == "language"
        excused = {name for name, scorer in self.scores.items() if has_middle and not _is_pointwise(scorer)}
        needs_sample = any(isinstance(member, CalibratedArbiter) for member in (*gates.values(), *scorers.values()))
        kind = CalibratedEnsemble if needs_sample else EnsembleArbiter
        return kind(gates, scorers, combine, excused)


def _is_pointwise(arbiter: Strategy[Arbiter]) -> bool:
    return bool(getattr(arbiter, "pointwise", False))
