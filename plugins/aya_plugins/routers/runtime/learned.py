"""What the learned router runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from aya_core.api import AyaError, Pool, Prompt
from aya_plugins.modeling.checkpoint import load_model, load_router_model
from aya_plugins.modeling.prompt_classifier import classify, plain_encoder
from aya_plugins.modeling.settings import CheckpointSettings


class LearnedRouter:
    """See the strategy `learned`."""

    def __init__(self, settings: CheckpointSettings, *, k: int, max_tokens: int, refuses_newcomers: bool) -> None:
        self.settings = settings
        self.k = k
        self.refuses_newcomers = refuses_newcomers
        self.model = load_model(settings, load_router_model)
        self.encoder = plain_encoder(settings.model, self.model, max_tokens=max_tokens)
        self.labels = {str(name): label for label, name in self.model.config.id2label.items()}

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        """Name the likeliest teachers of each prompt, best first; the order of the pool breaks ties."""
        known = self._known(teachers)
        encoded = self.encoder.prompts(prompts)
        rows = numpy.arange(len(prompts))
        logits = classify(self.model, encoded, rows, self.encoder.pad_id, batch_tokens=self.settings.batch_tokens)
        if not numpy.isfinite(logits).all():
            raise AyaError(
                f"router 'learned': {self.settings.model} gives values that are no finite numbers; train it anew"
            )
        routes = []
        for prompt, row in zip(prompts, logits, strict=True):
            likely = {name: float(row[known[name]]) for name in teachers.speaking(prompt.language) if name in known}
            routes.append(sorted(likely, key=lambda name: -likely[name])[: self.k])
        return routes

    def _known(self, teachers: Pool) -> Mapping[str, int]:
        """The labels of the pool's teachers. Raises AyaError for a pool that does not suit the router."""
        known = {name: self.labels[name] for name in teachers if name in self.labels}
        strangers = [name for name in teachers if name not in known]
        where = f"router 'learned': {self.settings.model} learned of {', '.join(self.labels)}"
        if strangers and self.refuses_newcomers:
            raise AyaError(
                f"{where}, and never of {', '.join(strangers)}; train it on verdicts on their answers too, or set "
                "`newcomers: pass-over` to send them nothing"
            )
        if self.k > len(known):
            raise AyaError(f"{where}; {len(known)} of them are in this stage, and k is {self.k}, which is more")
        return known
