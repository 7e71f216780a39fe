"""Send each prompt to teachers drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.api import AyaError, Field, Pool, Prompt, Router, RouterStrategy, stable_hash


class RandomTeachers(RouterStrategy):
    """Send each prompt to `k` teachers drawn without replacement, all equally likely.

    The draw is by a hash of seed, prompt id and teacher: it needs no order, and a teacher that joins the
    pool takes its share of the prompts and moves no other (rendezvous hashing, Thaler and Ravishankar
    1998).

    Only teachers that are asked in the prompt's language are drawn; where there are fewer than `k`, all of them.

    Source: the random-routing baseline of Odumakinde et al. 2024, arXiv 2408.14960.
    """

    k: int = Field(1, ge=1, description="Teachers per prompt.")

    def build(self) -> Router:
        """Make the router."""
        return _RandomTeachers(self.k)


class _RandomTeachers:
    def __init__(self, k: int) -> None:
        self._k = k

    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        if self._k > len(teachers):
            raise AyaError(f"router 'random': k is {self._k}, but there are {len(teachers)} teachers; lower k")
        return [
            sorted(teachers.speaking(prompt.language), key=lambda teacher: stable_hash([seed, prompt.id, teacher]))[
                : self._k
            ]
            for prompt in prompts
        ]
