"""What a teacher must do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from aya_core.contract.kinds import ContinuationTeacher, LikelihoodTeacher, TeacherStrategy
from aya_core.contract.records import Completion, Prompt, Unanswered
from aya_core.contract.requests import Continuation, LogLikelihood, Sampling
from aya_core.testing.samples import sample_prompts
from aya_core.testing.strategy import Rules, check_strategy

ROUNDING = 1e-3
"""How much a log-likelihood may move with the batch it is computed in, relative."""


def check_teacher(
    strategy: TeacherStrategy, *, prompts: Sequence[Prompt] | None = None, sampling: Sampling | None = None
) -> None:
    """Check a teacher on a few prompts. Raises AssertionError that says which rule is broken.

    prompts: what to ask; a teacher that knows only certain prompts needs some of these. sampling: two short samples.
    """
    check_strategy(strategy, "teacher")
    expect = Rules(strategy)
    prompts = sample_prompts() if prompts is None else prompts
    sampling = sampling or Sampling(n=2, max_tokens=8)
    teacher = strategy.build()
    came = list(teacher.answer(prompts, sampling, 0))
    asked = {prompt.id for prompt in prompts}
    left_out = {one.prompt_id for one in came if isinstance(one, Unanswered)}
    for one in came:
        if isinstance(one, Unanswered):
            expect(one.prompt_id in asked, f"answer() left '{one.prompt_id}' out, which was not asked")
            expect(bool(one.reason.strip()), "an Unanswered must say why")
    answers = [one for one in came if not isinstance(one, Unanswered)]
    expect(bool(answers), "answer() left every prompt out")
    for answer in answers:
        expect(isinstance(answer, Completion), f"answer() yielded {type(answer).__name__}; expected Completion")
        expect(answer.prompt_id in asked, f"answer() yielded '{answer.prompt_id}', which was not asked")
        expect(isinstance(answer.text, str), "the text of a completion must be a string")
        expect(isinstance(answer.reasoning, str), "the reasoning of a completion must be a string")
        expect(bool(answer.finish_reason), "a completion must say why it ended (finish_reason)")
        expect(
            answer.prompt_tokens >= 0 and answer.completion_tokens >= 0,
            "token counts must not be negative; 0 stands for unknown",
        )
    for id in sorted({answer.prompt_id for answer in answers}):
        found = sorted(answer.index for answer in answers if answer.prompt_id == id)
        expect(
            found == list(range(sampling.n)) or (id in left_out and found == list(range(len(found)))),
            f"prompt '{id}' got samples {found}; expected one each of {list(range(sampling.n))}, or fewer and an Unanswered",
        )
        expect(
            id not in left_out or len(found) < sampling.n,
            f"prompt '{id}' got all its samples and an Unanswered as well",
        )
    expect(not list(teacher.answer([], sampling, 0)), "answer() answered although nothing was asked")
    expect(
        _by_sample(teacher.answer(prompts, sampling, 0)) == _by_sample(answers),
        "the same call must give the same answers",
    )
    if isinstance(teacher, LikelihoodTeacher):
        _check_likelihoods(expect, teacher, prompts)
    if isinstance(teacher, ContinuationTeacher):
        _check_continuations(expect, teacher, prompts)


def _check_continuations(expect: Rules, teacher: ContinuationTeacher, prompts: Sequence[Prompt]) -> None:
    asked = [
        Continuation(context, text)
        for prompt in prompts
        for context in (prompt.text, prompt.messages)
        for text in (" 7", " a much longer answer")
    ]
    found = dict(teacher.continuations(asked))
    expect(sorted(found) == list(range(len(asked))), "continuations() must score each continuation once")
    for likelihood in found.values():
        expect(
            math.isfinite(likelihood.nats) and likelihood.nats <= 0 and likelihood.tokens >= 1,
            f"a continuation has {likelihood}; expected a finite number of at most 0 nats, and its tokens",
        )
    last = len(asked) - 1
    backwards = {last - place: likelihood for place, likelihood in teacher.continuations(asked[::-1])}
    expect(
        all(_are_close(found[place], backwards[place]) for place in found),
        "continuations() must score each by itself; asked backwards it gave others",
    )
    expect(not list(teacher.continuations([])), "continuations() gave scores although nothing was asked")


def _are_close(one: LogLikelihood, other: LogLikelihood) -> bool:
    return one.tokens == other.tokens and math.isclose(one.nats, other.nats, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _check_likelihoods(expect: Rules, teacher: LikelihoodTeacher, prompts: Sequence[Prompt]) -> None:
    pairs = [(prompt, text) for prompt in prompts for text in ("7", "a much longer answer")]
    found = list(teacher.log_likelihoods(pairs))
    expect(len(found) == len(pairs), f"log_likelihoods() gave {len(found)} for {len(pairs)} pairs")
    for likelihood in found:
        expect(
            math.isfinite(likelihood.nats) and likelihood.nats <= 0,
            f"a log-likelihood of {likelihood.nats} nats; expected a finite number of at most 0",
        )
        expect(likelihood.tokens >= 1, "a log-likelihood must count its tokens, the end of turn included")
    backwards = list(teacher.log_likelihoods(pairs[::-1]))[::-1]
    expect(
        all(map(_are_close, found, backwards)),
        "log_likelihoods() must score each pair by itself, in the order asked; asked backwards it gave others",
    )


def _by_sample(answers: Iterable[Completion | Unanswered]) -> dict[tuple[str, int], str]:
    return {(one.prompt_id, one.index): one.text for one in answers if isinstance(one, Completion)}
