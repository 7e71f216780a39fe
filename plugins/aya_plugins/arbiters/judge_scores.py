"""Judging answers one by one, on a scale of whole numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aya_core.api import Case, Prompt, Verdict, stable_hash
from aya_plugins.arbiters.judge_asking import Reply
from aya_plugins.arbiters.judge_prompts import Wording
from aya_plugins.arbiters.judge_replies import read_score


@dataclass(frozen=True)
class Scores:
    """See `Judge`. Satisfies `Way`. Details of a verdict: `unparsable`, the replies that could not be read."""

    wording: Wording
    lowest: int
    highest: int

    def questions(self, case: Case) -> Iterator[Prompt]:
        """Ask about every answer; about equal ones once."""
        for candidate in case.candidates:
            if candidate.text.strip():
                asked = self.wording.rate(case.prompt, candidate.text, self.lowest, self.highest)
                yield Prompt(
                    _id(case.prompt, candidate.text), case.prompt.language, ({"role": "user", "content": asked},)
                )

    def read(self, reply: str) -> int:
        """Read the score."""
        return read_score(reply, self.lowest, self.highest)

    def verdicts(self, case: Case, replies: Mapping[str, Reply[int]]) -> Sequence[Verdict]:
        """Give each answer its score."""
        return [self._verdict(case.prompt, candidate.text, replies) for candidate in case.candidates]

    def _verdict(self, prompt: Prompt, text: str, replies: Mapping[str, Reply[int]]) -> Verdict:
        if not text.strip():
            return Verdict.abstain("the answer is empty")
        reply = replies[_id(prompt, text)]
        details = {"unparsable": float(reply.unparsable)}
        return (
            Verdict.fail(reply.problem, details) if reply.read is None else Verdict(float(reply.read), details=details)
        )


def _id(prompt: Prompt, text: str) -> str:
    return f"{prompt.id}/{stable_hash(text)[:16]}"
