"""Answers of any teacher and verdicts of any arbiter, checked as they come: by the steps that ask, and by whatever asks itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aya_core.contract.errors import PluginError
from aya_core.contract.kinds import Arbiter, Teacher
from aya_core.contract.records import Case, Completion, Prompt, Unanswered, Verdict
from aya_core.contract.requests import Sampling

UNEXPLAINED = "the teacher does not say why"
"""The reason of a prompt that a teacher leaves out without a word."""

FEWER = "fewer samples than asked for"
"""The reason of a prompt that has some answers, about the others of which a teacher says nothing."""


def checked_answers(
    teacher: Teacher, prompts: Sequence[Prompt], sampling: Sampling, seed: int, name: str,
    left_out: Callable[[Prompt, str], None] = lambda prompt, reason: None,
) -> Iterator[tuple[int, Sequence[Completion]]]:  # fmt: skip
    """Have a teacher answer, and yield the place of each prompt with its samples once it has all of them.

    A prompt with too few samples comes last, with those it has; one without any does not come. name: of the teacher, which its
    answers bear from now on. left_out: is told in the end of each prompt that lacks answers, and why. Raises PluginError for what was
    not asked, what comes twice, and what is neither Completion nor Unanswered.
    """
    order = {prompt.id: place for place, prompt in enumerate(prompts)}
    coming: dict[int, dict[int, Completion]] = {}
    complete: set[int] = set()
    reasons: dict[str, str] = {}
    for answer in teacher.answer(prompts, sampling, seed):
        if isinstance(answer, Unanswered):
            if answer.prompt_id not in order:
                raise PluginError(f"teacher '{name}' left out '{answer.prompt_id}', which it was not asked")
            reasons[answer.prompt_id] = str(answer.reason)
            continue
        _check_answer(answer, name)
        if answer.prompt_id not in order:
            raise PluginError(f"teacher '{name}' answered '{answer.prompt_id}', which it was not asked")
        if not 0 <= answer.index < sampling.n:
            raise PluginError(f"teacher '{name}' numbered a sample {answer.index}; expected 0 to {sampling.n - 1}")
        place = order[answer.prompt_id]
        samples = coming.setdefault(place, {})
        if place in complete or answer.index in samples:
            raise PluginError(f"teacher '{name}' gave sample {answer.index} of '{answer.prompt_id}' twice")
        samples[answer.index] = _named(answer, name)
        if len(samples) == sampling.n:
            complete.add(place)
            yield place, [samples[index] for index in range(sampling.n)] if sampling.n > 1 else [*samples.values()]
            coming[place] = {}
    for place, samples in coming.items():
        if samples:
            yield place, [samples[index] for index in sorted(samples)]
    for prompt in prompts:
        if (place := order[prompt.id]) not in complete:
            left_out(prompt, reasons.get(prompt.id) or (FEWER if coming.get(place) else UNEXPLAINED))


def _check_answer(answer: Any, name: str) -> None:
    if not isinstance(answer, Completion) or not isinstance(answer.text, str):
        raise PluginError(f"teacher '{name}' yielded {answer!r:.200}; expected a Completion with a text, or Unanswered")
    counts = (answer.index, answer.prompt_tokens, answer.completion_tokens)
    if not all(isinstance(count, int) for count in counts) or not isinstance(answer.finish_reason, str):
        raise PluginError(
            f"teacher '{name}' yielded {answer!r:.200}; expected whole numbers of tokens (0 where unknown) and a "
            "finish_reason"
        )
    if not isinstance(answer.reasoning, str):
        raise PluginError(f"teacher '{name}' yielded {answer!r:.200}; expected its reasoning as a text")


def _named(answer: Completion, name: str) -> Completion:
    """The answer under the teacher's name in the recipe; halves of characters, which no file can hold, are replaced."""
    return Completion(
        answer.prompt_id, name, answer.index, _whole(answer.text), answer.prompt_tokens, answer.completion_tokens,
        _whole(answer.finish_reason), _whole(answer.reasoning),
    )  # fmt: skip


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def checked_verdicts(arbiter: Arbiter, cases: Sequence[Case], who: str = "the arbiter") -> Iterator[list[Verdict]]:
    """Have an arbiter judge, and yield the verdicts on each case, in order. Without a case it is not asked.

    A score that is no finite number becomes a failure. who: it is, for messages. Raises PluginError unless there is one
    verdict on each candidate.
    """
    given = iter(arbiter.judge(cases) if cases else ())
    for number, case in enumerate(cases):
        verdicts = next(given, None)
        if verdicts is None:
            raise PluginError(f"{who} judged {number} of {len(cases)} cases; expected verdicts for each, in order")
        if len(verdicts) != len(case.candidates):
            raise PluginError(
                f"{who} gave {len(verdicts)} verdicts on the {len(case.candidates)} candidates of '{case.prompt.id}'"
            )
        yield [_checked_verdict(verdict, case, who) for verdict in verdicts]
    if next(given, None) is not None:
        raise PluginError(f"{who} judged more than {len(cases)} cases; expected verdicts for each, in order")


def _checked_verdict(verdict: Verdict, case: Case, who: str) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise PluginError(f"{who} gave {verdict!r} on '{case.prompt.id}'; expected a Verdict")
    if (
        type(verdict.score) is float
        and verdict.status == "scored"
        and not verdict.details
        and math.isfinite(verdict.score)
    ):
        return verdict  # most are like this, and they are many
    try:
        details = {name: float(value) for name, value in verdict.details.items()} if verdict.details else {}
        score = None if verdict.score is None else float(verdict.score)
    except (TypeError, ValueError, OverflowError):
        raise PluginError(
            f"{who} gave {verdict!r:.300} on '{case.prompt.id}'; expected numbers as score and details"
        ) from None
    if not all(map(math.isfinite, details.values())):
        raise PluginError(f"{who} gave the details {details} on '{case.prompt.id}'; expected finite numbers")
    if verdict.status != "scored":
        return Verdict(None, verdict.status, str(verdict.reason), details)
    if score is None or not math.isfinite(score):
        return Verdict.fail(f"the score is {verdict.score}", details)
    return Verdict(score, "scored", str(verdict.reason), details)
