"""Rows to try a strategy on: several scripts, conversations, missing references, equal and empty answers."""

from __future__ import annotations

from collections.abc import Sequence

from aya_core.contract.kinds import EvaluatedModel
from aya_core.contract.records import Case, Completion, Demonstration, Judged, Preference, Prompt, Verdict, user_prompt
from aya_core.contract.requests import LogLikelihood


def sample_prompts() -> list[Prompt]:
    """Make seven prompts in five languages; the last two have no reference, and the last is a conversation."""
    turns = (("system", "Be brief."), ("user", "1 + 1?"), ("assistant", "2"), ("user", "And 3 more?"))
    return [
        user_prompt("en-1", "en", "How many legs has a spider?", "8", {"task": "count"}),
        user_prompt("en-2", "en", "What is 7 + 8?", "15", {"task": "add"}),
        user_prompt("ar-1", "ar", "كم عدد أيام الأسبوع؟", "7"),
        user_prompt("hi-1", "hi", "एक दर्जन में कितने होते हैं?", "12"),
        user_prompt("zh-1", "zh", "一年有几个月？", "12"),
        user_prompt("tr-1", "tr", "Kedi nedir?"),
        Prompt("en-3", "en", tuple({"role": role, "content": content} for role, content in turns)),
    ]


def sample_cases() -> list[Case]:
    """Make a case of each prompt: three unlike answers, equal ones, an empty one, a single one, two samples each."""
    answers: Sequence[Sequence[tuple[str, int, str]]] = [
        (("ana", 0, "8"), ("bo", 0, "A spider has eight legs."), ("cem", 0, "I do not know.")),
        (("ana", 0, "15"), ("bo", 0, "15"), ("cem", 0, "15")),
        (("ana", 0, "7"), ("bo", 0, ""), ("cem", 0, "سبعة أيام")),
        (("ana", 0, "बारह"),),
        (("ana", 0, "12"), ("ana", 1, "十二个月"), ("bo", 0, "Twelve."), ("bo", 1, "13")),
        (("ana", 0, "Bir hayvan. " * 40), ("bo", 0, "Kedi, evcil bir hayvandır."), ("cem", 0, "A cat.")),
        (("ana", 0, "5"), ("bo", 0, "5 \U0001f600\n\n```python\n2 + 3\n```")),
    ]
    return [
        Case(prompt, tuple(Completion(prompt.id, teacher, index, text) for teacher, index, text in candidates))
        for prompt, candidates in zip(sample_prompts(), answers, strict=True)
    ]


def sample_demonstrations() -> list[Demonstration]:
    """Make a demonstration of each prompt."""
    return [Demonstration(case.prompt, case.candidates[0].text, "ana") for case in sample_cases()]


def sample_preferences() -> list[Preference]:
    """Make a preference of each prompt; the rejected answer is longer, as it says something after the chosen one."""
    return [
        Preference(row.prompt, row.completion, f"{row.completion} perhaps", "ana", "bo", 1.0, 0.0)
        for row in sample_demonstrations()
    ]


def sample_groups() -> list[Demonstration]:
    """Make a group of the candidates of each case: shorter ones score higher, all of one are equal, one has a single answer."""
    return [
        Demonstration(case.prompt, answer.text, answer.teacher, 1 / (1 + len(answer.text)))
        for case in sample_cases()
        for answer in case.candidates
    ]


def sample_judged() -> list[Judged]:
    """Make a verdict on each candidate of the sample cases: shorter answers score higher, an empty one fails."""
    return [
        Judged(answer, Verdict(1 / len(answer.text)) if answer.text else Verdict.fail("no answer"))
        for case in sample_cases()
        for answer in case.candidates
    ]


def sample_evaluated_model() -> EvaluatedModel:
    """Make a model under evaluation that answers like `ana`, against a rival that answers every prompt alike.

    Its log-likelihood of an answer is -1.5 nats for each word and for the end of the turn.
    """
    prompts = sample_prompts()
    return EvaluatedModel(
        name="sample",
        prompts=prompts,
        answers=[Completion(case.prompt.id, "sample", 0, case.candidates[0].text) for case in sample_cases()],
        rival=[Completion(prompt.id, "rival", 0, "7") for prompt in prompts],
        log_likelihoods=_likelihoods,
    )


def _likelihoods(pairs: Sequence[tuple[Prompt, str]]) -> Sequence[LogLikelihood]:
    counts = [len(answer.split()) + 1 for _, answer in pairs]
    return [LogLikelihood(-1.5 * tokens, tokens) for tokens in counts]
