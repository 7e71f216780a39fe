"""A judge whose replies are a function: it reads the answers out of the question, as a model would."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aya_core.api import (
    Arbiter,
    Case,
    Completion,
    Field,
    Prompt,
    Sampling,
    Teacher,
    TeacherStrategy,
    Verdict,
    user_prompt,
)
from aya_plugins.arbiters.judge import Judge

Script = Callable[[str, str], str | None]
"""From the answer shown first and the one shown second ("" when one is scored) to a reply, or None for none."""

FIRST, SECOND, TIE = (f"Comparison: They differ.\nPreferred: {which}" for which in ("Answer (A)", "Answer (B)", "TIE"))


class Scripted(TeacherStrategy):
    """Reply by a script. asked: the questions of each call, with their sampling and seed."""

    script: Any = Field(description="The script.")
    asked: Any = Field(description="Where calls are written down.")

    def build(self) -> Teacher:
        return self  # type: ignore[return-value]

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
        self.asked.append((list(prompts), sampling, seed))
        for prompt in reversed(prompts):  # any order will do
            reply = self.script(*answers_in(prompt.text))
            if reply is not None:
                yield Completion(prompt.id, "", 0, reply)


def answers_in(question: str) -> tuple[str, str]:
    """The texts between the tags."""
    found = re.findall(r"<answer(?:-a|-b)? (\w{8})>\n(.*?)\n</answer(?:-a|-b)? \1>", question, re.DOTALL)
    return found[0][1], found[1][1] if len(found) > 1 else ""


def judge(script: Script, asked: list[Any] | None = None, **settings: Any) -> Arbiter:
    """Build the arbiter with a scripted judge."""
    return Judge(teacher=Scripted(script=script, asked=[] if asked is None else asked), **settings).build()


def case(*texts: str, id: str = "p", language: str = "en") -> Case:
    """Answers of teachers a, b, c, ... to one prompt."""
    prompt = user_prompt(id, language, "What is it?")
    return Case(prompt, tuple(Completion(id, chr(97 + n), 0, text) for n, text in enumerate(texts)))


def verdicts(script: Script, *texts: str, **settings: Any) -> list[Verdict]:
    """Judge the answers to one prompt."""
    (found,) = judge(script, **settings).judge([case(*texts)])
    return list(found)


def scores(script: Script, *texts: str, **settings: Any) -> list[float | None]:
    """The scores of the answers to one prompt."""
    return [verdict.score for verdict in verdicts(script, *texts, **settings)]
