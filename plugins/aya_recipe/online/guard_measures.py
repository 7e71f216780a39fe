"""What guards measure on answers, by language and over languages, and the limits on it.

- tokens, characters: mean length of an answer; tokens as the teacher counts them
- KL, nats per token: log p_model - log p_start of the answers that the model sampled, added up over answers and divided by their
  tokens; per answer: its mean over answers. At temperature 1 and top_p 1 it estimates the divergence from the start
- mismatch: share of the answers whose language can be told that are in another one; undetermined: share of those where it cannot
- distinct-1 to distinct-4: different n-grams of words over all n-grams, of all answers of a language together (after Li et al. 2016, arXiv
  1510.03055, who divide by words throughout). A character of a script that is written without spaces counts as a word
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aya_core.api import COUNTED, FAULTS, Completion, LogLikelihood, Metric, Prompt, RowScore, Verdict
from aya_recipe.numbers import statistics
from aya_recipe.online.guards import Limits

KL = "KL, nats per token"
KL_PER_ANSWER = "KL, nats per answer"
TOKENS = "tokens"
CHARACTERS = "characters"
MISMATCH = "mismatch"
UNDETERMINED = "undetermined"
DISTINCT = {f"distinct-{n}": n for n in (1, 2, 3, 4)}
"""The words of an n-gram, by metric."""

METRICS = {
    KL: Metric(), KL_PER_ANSWER: Metric(), CHARACTERS: Metric(), TOKENS: Metric(), MISMATCH: FAULTS, UNDETERMINED: COUNTED,
    **dict.fromkeys(DISTINCT, COUNTED),
}  # fmt: skip
"""What is measured, with unit and direction; units of numbers that are no shares are in their names."""

OVERALL = "mean over languages"

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese characters."""

WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")

Measured = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Numbers by language and metric: `value`, its error and interval where known, and `n`."""

_Held = tuple[str, Mapping[str, float], bool, float | None, float | None]


class Answer(NamedTuple):
    """A sampled answer, what was said of its language, and how likely model and start find it, where that is known."""

    prompt: Prompt
    completion: Completion
    verdict: Verdict | None = None
    model: LogLikelihood | None = None
    start: LogLikelihood | None = None


def measures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Measure answers: `overall`, the mean over languages, and `languages`, each a mapping of metric to number."""
    rows: dict[str, list[RowScore]] = defaultdict(list)
    for row in row_scores(answers):
        rows[row.metric].append(row)
    overall: dict[str, dict[str, Any]] = {}
    languages: dict[str, dict[str, dict[str, Any]]] = {answer.prompt.language: {} for answer in answers}
    for metric, scored in rows.items():
        added = statistics.sums(scored)
        overall[metric] = statistics.mean(added).as_row()
        for language, estimate in statistics.by_language(added).items():
            languages[language][metric] = estimate.as_row()
    texts: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        texts[answer.prompt.language].append(answer.completion.text)
    for metric, n in DISTINCT.items():
        known = {
            language: value for language, answered in texts.items() if (value := distinct(answered, n)) is not None
        }
        for language, value in known.items():
            languages[language][metric] = {"value": value, "n": len(texts[language])}
        if known:
            count = sum(len(texts[language]) for language in known)
            overall[metric] = {"value": _mean(known.values()), "n": count}
    return {"overall": overall, "languages": dict(sorted(languages.items()))}


def row_scores(answers: Sequence[Answer]) -> Iterator[RowScore]:
    """What each answer adds to the means."""
    for prompt, completion, verdict, model, start in answers:

        def row(metric: str, value: float, weight: float = 1.0, prompt: Prompt = prompt) -> RowScore:
            return RowScore(prompt.id, prompt.language, metric, value, weight, prompt.item)

        yield row(CHARACTERS, len(completion.text.strip()))
        if completion.completion_tokens:
            yield row(TOKENS, completion.completion_tokens)
        if model is not None and start is not None and math.isfinite(nats := model.nats - start.nats):
            yield row(KL_PER_ANSWER, nats)
            yield row(KL, nats / model.tokens, model.tokens)
        if verdict is not None:
            is_other = is_mismatch(verdict)
            yield row(UNDETERMINED, is_other is None)
            if is_other is not None:
                yield row(MISMATCH, is_other)


def is_mismatch(verdict: Verdict) -> bool | None:
    """Whether an answer is in another language than it should be; None where the arbiter could not tell.

    Details say so where there are any (`wrong_language`, `wrong_script`, `undetermined`); else a score below 0.5 does, and an
    abstention or a failure tells nothing.
    """
    details = verdict.details
    if details.get("wrong_language") or details.get("wrong_script"):
        return True
    if details.get("undetermined") or verdict.score is None:
        return None
    return verdict.score < 0.5


def distinct(texts: Iterable[str], n: int) -> float | None:
    """Distinct n-grams of words over all n-grams of these texts together; None where they have none."""
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = WORD.findall(text)
        grams = list(zip(*(words[start:] for start in range(n)), strict=False))
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else None


class Crossed(NamedTuple):
    """A limit that was crossed. where: a language, or OVERALL."""

    guard: str
    where: str
    value: float
    limit: float
    is_ratio: bool = False


def broken(limits: Limits, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Crossed]:
    """The limits that are crossed. before, after: measures of the start, and of the model in question.

    A language in which something is not known on both sides is left out of its mean.
    """
    found = []
    for guard, by_language, is_ratio, low, high in _held(limits, before["languages"], after["languages"]):
        values = {OVERALL: _mean(by_language.values())} if by_language else {}
        values |= by_language if limits.each_language else {}
        for where, value in values.items():
            if low is not None and value < low:
                found.append(Crossed(guard, where, value, low, is_ratio))
            if high is not None and value > high:
                found.append(Crossed(guard, where, value, high, is_ratio))
    return found


def _held(limits: Limits, before: Measured, after: Measured) -> Iterator[_Held]:
    """What is held to limits: the guard, its values by language, whether they are ratios, and the limits."""

    def both(metric: str) -> dict[str, tuple[float, float]]:
        known = [code for code in after if metric in after[code] and metric in before.get(code, {})]
        return {code: (before[code][metric]["value"], after[code][metric]["value"]) for code in known}

    def ratios(metric: str) -> dict[str, float]:
        return {code: now / then for code, (then, now) in both(metric).items() if then}

    if limits.kl is not None:
        yield KL, {code: row[KL]["value"] for code, row in after.items() if KL in row}, False, None, limits.kl
    if limits.length is not None:
        yield CHARACTERS, ratios(CHARACTERS), True, *limits.length
    if limits.mismatch is not None:
        rises = {code: now - then for code, (then, now) in both(MISMATCH).items()}
        yield f"{MISMATCH} rise", rises, False, None, limits.mismatch
    if limits.distinct is not None:
        for metric in DISTINCT:
            yield metric, ratios(metric), True, limits.distinct, None


def why(crossed: Sequence[Crossed]) -> str:
    """Say which limits were crossed, where and by what."""
    return "; ".join(
        f"{one.guard}{' over that of the start' if one.is_ratio else ''} {one.value:.3f} ({one.where}), "
        f"{'below' if one.value < one.limit else 'above'} {one.limit:g}"
        for one in crossed
    )


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)
