"""Send every prompt to every teacher."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.api import Pool, Prompt, Router, RouterStrategy


class AllTeachers(RouterStrategy):
    """Send every prompt to every teacher, and leave the choice to the arbiter.

    Source: the reward-based routing of Odumakinde et al. 2024 (multilingual arbitrage), arXiv 2408.14960.
    """

    def build(self) -> Router:
        """Make the router."""
        return _AllTeachers()


class _AllTeachers:
    def route(self, prompts: Sequence[Prompt], teachers: Pool, seed: int) -> Sequence[Sequence[str]]:
        return [teachers] * len(prompts)
