"""Picking: the best answer of each prompt, to be imitated, and pairs of a better and a worse one, to train preferences on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aya_core.api import (
    Builder,
    Completion,
    DataError,
    Demonstration,
    Field,
    Judged,
    Language,
    Lookahead,
    Preference,
    Prompt,
    Settings,
    Work,
    normalize,
    read_rows,
    says_the_same,
    stable_hash,
    write_rows,
)
from aya_recipe.arbitrage.account import Account, Drops
from aya_recipe.arbitrage.drawing import Caps
from aya_recipe.arbitrage.near_duplicates import NearDuplicates, similarity
from aya_recipe.arbitrage.routing import read_prompts


class Pick(Settings):
    """Which judged answers become data. Chosen and rejected answers always differ, by more than white space."""

    rejected: Literal["worst", "runner-up", "random", "all"] = Field(
        "worst",
        description="Which answer the best is paired with; `random` is any other with a lower score, `all` pairs every "
        "answer with every lower one.",
    )
    min_margin: float = Field(
        0.0, ge=0, description="Pairs whose margin is not above this are dropped; at 0, that drops ties."
    )
    min_margins: dict[Language, Annotated[float, Field(ge=0)]] = Field(
        {}, description="`min_margin` of a language, by code."
    )
    ties: Literal["draw", "drop"] = Field(
        "draw",
        description="What happens where unlike answers share the best score: one is drawn by a hash of prompt, teacher and "
        "index, or the prompt is dropped.",
    )
    allow: tuple[Literal["length", "filtered", "refused"], ...] = Field(
        (),
        description="Answers that may be taken although they are not whole, in best answers and in pairs, by how they ended: cut at the "
        "longest `length`, `filtered` by a content filter, `refused` by the model. Empty answers are never taken.",
    )
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Drop prompts this much like an earlier one of their language, and pairs of answers this much alike: "
        "shared character 4-grams over all of them (Jaccard), such as 0.8.",
    )
    most_per_language: int | None = Field(None, ge=1, description="Rows of a language at the most, drawn by hash.")
    teacher_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a language's rows that one teacher may have (as the chosen one, in pairs), drawn by hash.",
    )


NOT_WHOLE = frozenset({"length", "filtered", "refused"})
"""How an answer ends that is not taken unless `pick.allow` names it. Answers of files often do not say how they ended."""

FOR_PAIRS = ("rejected", "min_margin", "min_margins")
"""What of `pick` concerns pairs alone."""


def add(
    build: Builder, name: str, prompts: str, verdicts: str, pick: Pick, *, round: int = 0, split: tuple[int, int] | None = None
) -> tuple[str, str]:  # fmt: skip
    """Add the nodes that pick, and return the ids of best answers and pairs."""
    inputs = {"prompts": prompts, "verdicts": verdicts}
    settings = {**pick.model_dump(mode="json"), "split": split}
    if round:  # the model answers that is trained on its answers
        settings["is_own"] = True
    for_best = {key: value for key, value in settings.items() if key not in FOR_PAIRS}
    best = build.add(f"{name}.best", "pick-best", "demonstrations", for_best, inputs)
    pairs = build.add(f"{name}.pairs", "pick-pairs", "preferences", {**settings, "round": round}, inputs)
    return best, pairs


def add_groups(
    build: Builder, name: str, prompts: str, verdicts: str, pick: Pick, split: tuple[int, int] | None
) -> str:
    """Add the node that keeps all scored answers of each prompt, and return its id."""
    settings = {**pick.model_dump(mode="json", exclude={*FOR_PAIRS, "allow", "ties", "teacher_share"}), "split": split}
    settings["is_own"] = True
    inputs = {"prompts": prompts, "verdicts": verdicts}
    return build.add(f"{name}.groups", "pick-groups", "groups", settings, inputs)


def pick_best(work: Work) -> Mapping[str, Any]:
    """Keep the best-scored answer of each prompt."""
    ties, refused, is_own = work.setting("ties"), _refused(work), _is_own(work)
    account = Account()

    def best(prompt: Prompt, judged: Sequence[Judged], drops: Drops) -> Iterator[_Picked]:
        ranked = eligible(prompt, judged, refused)
        if not ranked:
            drops.count(_why_none(judged, refused), prompt.language)
        elif ties == "drop" and _is_tied(ranked):
            drops.count("tied for best", prompt.language, ranked[0].completion.teacher)
        else:
            yield _Picked(prompt, ranked[0], ranked, prompt.id)

    def rows(drops: Drops) -> Iterator[Demonstration]:
        for pick, is_kept in _picked(work, best, drops, account.judged):
            won = pick.best
            account.won(pick.prompt, won.completion.teacher, _margin_over_others(pick.ranked))
            if is_kept:
                yield _demonstration(pick.prompt, won, is_own=is_own)

    drops = Drops()
    count = write_rows(work.out, Demonstration, rows(drops))
    return {"rows": count, "dropped": drops.rows(), "account": account.measures()}


def pick_pairs(work: Work) -> Mapping[str, Any]:
    """Pair better answers with worse ones; where that cannot be done, count the reason."""
    rule, round, ties = work.setting("rejected"), work.setting("round"), work.setting("ties")
    margins, least = work.setting("min_margins"), work.setting("min_margin")
    alike, refused, is_own = work.setting("near_duplicates"), _refused(work), _is_own(work)

    def pairs(prompt: Prompt, judged: Sequence[Judged], drops: Drops) -> Iterator[_Picked]:
        ranked = eligible(prompt, judged, refused)
        found = [] if len(ranked) < 2 else pair(
            ranked, rule, margins.get(prompt.language, least), [work.node.seed, prompt.id], alike=alike, ties=ties
        )  # fmt: skip
        if isinstance(found, str):
            drops.count(found, prompt.language, ranked[0].completion.teacher)
        elif not found:
            drops.count(_why_not_two(judged, refused), prompt.language)
        else:
            for better, worse in found:
                id = prompt.id if len(found) == 1 else stable_hash([prompt.id, _which(better), _which(worse)])
                yield _Picked(prompt, better, ranked, id, worse)

    def rows(drops: Drops) -> Iterator[Preference]:
        for pick, is_kept in _picked(work, pairs, drops):
            if is_kept and pick.worse is not None:
                yield Preference(
                    pick.prompt, pick.best.completion.text, pick.worse.completion.text, pick.best.completion.teacher,
                    pick.worse.completion.teacher, pick.best.verdict.score, pick.worse.verdict.score, round,
                    pick.best.completion.finish_reason, pick.worse.completion.finish_reason,
                    prompt_tokens=(pick.best.completion.prompt_tokens or None) if is_own else None,
                )  # fmt: skip

    drops = Drops()
    count = write_rows(work.out, Preference, rows(drops))
    return {"rows": count, "dropped": drops.rows()}


def pick_groups(work: Work) -> Mapping[str, Any]:
    """Keep the scored answers of each prompt that has two or more, in the order they were sampled in: cut and empty ones, too, for
    training has to see what it punishes.

    A group in which all scores are equal teaches nothing; it is kept and counted as `tied`.
    """
    groups = tied = 0
    is_own = _is_own(work)

    def whole(prompt: Prompt, judged: Sequence[Judged], drops: Drops) -> Iterator[_Picked]:
        scored = [row for row in judged if row.verdict.status == "scored"]
        if len(scored) < 2:
            drops.count(
                _why_none(judged, frozenset()) if not scored else "fewer than two scored answers", prompt.language
            )
        else:
            yield _Picked(prompt, scored[0], scored, prompt.id)

    def rows(drops: Drops) -> Iterator[Demonstration]:
        nonlocal groups, tied
        for pick, is_kept in _picked(work, whole, drops):
            if is_kept:
                groups += 1
                tied += len(set(map(_score, pick.ranked))) == 1
                for row in pick.ranked:
                    yield _demonstration(pick.prompt, row, is_own=is_own)

    drops = Drops()
    count = write_rows(work.out, Demonstration, rows(drops))
    return {"rows": count, "groups": groups, "tied": tied, "dropped": drops.rows()}


@dataclass(frozen=True, slots=True)
class _Picked:
    """A row to be, or a group of them. id: by which a cap draws it."""

    prompt: Prompt
    best: Judged
    ranked: Sequence[Judged]
    id: str
    worse: Judged | None = None


Chooser = Callable[[Prompt, Sequence[Judged], Drops], Iterator[_Picked]]
Look = Callable[[Prompt, Sequence[Judged]], None]


def _picked(
    work: Work, choose: Chooser, drops: Drops, look: Look = lambda prompt, judged: None
) -> Iterator[tuple[_Picked, bool]]:  # fmt: skip
    """Choose from every prompt, and say whether a cap keeps what was chosen; two passes, where there are caps.

    look: is shown all verdicts, once.
    """
    most, share = work.setting("most_per_language"), work.node.settings.get("teacher_share")
    caps = Caps(most, share, work.node.seed) if most is not None or share is not None else None
    if caps is not None:
        for pick in _chosen(work, choose, Drops()):
            caps.show(pick.prompt.language, pick.best.completion.teacher, pick.id)
    for pick in _chosen(work, choose, drops, look):
        language, teacher = pick.prompt.language, pick.best.completion.teacher
        is_kept = caps is None or caps.keeps(language, teacher, pick.id)
        if not is_kept:
            drops.count("over the cap of its language or teacher", language, teacher)
        yield pick, is_kept


def _chosen(
    work: Work, choose: Chooser, drops: Drops, look: Look = lambda prompt, judged: None
) -> Iterator[_Picked]:  # fmt: skip
    alike = work.setting("near_duplicates")
    seen = NearDuplicates(alike) if alike is not None else None
    verdicts = Lookahead(read_rows(work.inputs["verdicts"], Judged), lambda judged: judged.completion.prompt_id)
    for prompt in read_prompts(work):
        judged = verdicts.take(prompt.id)
        look(prompt, judged)
        if seen is not None and seen.has(prompt.language, prompt.text):
            drops.count("near-duplicate of an earlier prompt", prompt.language)
            continue
        chosen = list(choose(prompt, judged, drops))
        if chosen and seen is not None:  # a prompt that gave nothing stands in nobody's way
            seen.remember(prompt.language, prompt.text)
        yield from chosen
    verdicts.check_done()


def _demonstration(prompt: Prompt, row: Judged, *, is_own: bool) -> Demonstration:
    answer = row.completion
    tokens = (answer.prompt_tokens or None) if is_own else None
    return Demonstration(prompt, answer.text, answer.teacher, _score(row), answer.finish_reason, prompt_tokens=tokens)


def _is_own(work: Work) -> bool:
    """Whether the answers are of the model that will be trained on them: then training can compare its prompts with what it read."""
    return bool(work.node.settings.get("is_own"))


def _refused(work: Work) -> frozenset[str]:
    """How answers end that are not taken."""
    return NOT_WHOLE - set(work.setting("allow"))


def _fault(answer: Completion, refused: frozenset[str]) -> str | None:
    """Why an answer is not taken whatever its score; None for one that may be."""
    if answer.finish_reason in refused:
        return "cut" if answer.finish_reason == "length" else answer.finish_reason
    return "empty" if answer.is_empty else None


def _why_not_two(judged: Sequence[Judged], refused: frozenset[str]) -> str:
    """Why a prompt has no two eligible answers."""
    scored = [row for row in judged if row.verdict.status == "scored"]
    faults = {fault for row in scored if (fault := _fault(row.completion, refused)) is not None}
    if len(scored) < 2 or not faults:
        return "fewer than two scored answers"
    return f"fewer than two answers that are not {' or '.join(sorted(faults))}"


def _why_none(judged: Sequence[Judged], refused: frozenset[str]) -> str:
    """Why a prompt has no eligible answer."""
    statuses = {row.verdict.status for row in judged}
    if not judged:
        return "no answer"
    faults = [_fault(row.completion, refused) for row in judged]
    if all(faults):
        return f"every answer is {' or '.join(sorted({fault for fault in faults if fault}))}"
    if statuses == {"abstained"}:
        return "the arbiter abstained on every answer"
    if statuses == {"failed"}:
        return "no answer could be judged"
    return "no scored answer"


def eligible(prompt: Prompt, judged: Sequence[Judged], refused: frozenset[str] = NOT_WHOLE) -> list[Judged]:
    """The scored answers that may be taken, best first; ties in an order that favors no teacher. refused: how those ended that may not."""
    scored = [row for row in judged if row.verdict.status == "scored" and _fault(row.completion, refused) is None]
    scores = [_score(row) for row in scored]
    if len(set(scores)) == len(scored):
        return sorted(scored, key=_score, reverse=True)
    counts = Counter(scores)

    def lot(row: Judged) -> str:
        return stable_hash([prompt.id, *_which(row)]) if counts[_score(row)] > 1 else ""

    return sorted(scored, key=lambda row: (-_score(row), lot(row)))


def pair(
    ranked: Sequence[Judged], rule: str, min_margin: float, seed: Any, *, alike: float | None = None, ties: str = "draw"
) -> list[tuple[Judged, Judged]] | str:  # fmt: skip
    """Pair the answers of a prompt by a rule of `pick.rejected`, or say why that cannot be done. ranked: best first."""
    texts = [row.completion.text for row in ranked]
    if all(says_the_same(text, texts[0]) for text in texts):
        return "all answers equal"
    if ties == "drop" and _is_tied(ranked):
        return "tied for best"
    scores = [_score(row) for row in ranked]
    found = [
        (ranked[better], ranked[worse])
        for better in range(len(ranked) - 1 if rule == "all" else 1)
        for worse in range(better + 1, len(ranked))
        if scores[better] - scores[worse] > min_margin and not says_the_same(texts[better], texts[worse])
    ]
    if not found:
        return "margin too small"
    if alike is not None:
        found = [one for one in found if similarity(one[0].completion.text, one[1].completion.text) < alike]
        if not found:
            return "answers are near-duplicates"
    if rule == "all":
        return found
    if rule == "random":
        return [found[int(stable_hash(seed)[:8], 16) % len(found)]]
    return [found[-1 if rule == "worst" else 0]]


def _is_tied(ranked: Sequence[Judged]) -> bool:
    """Whether another answer scores as much as the best one."""
    best = [row.completion.text for row in ranked if _score(row) == _score(ranked[0])]
    return len(set(map(normalize, best))) > 1


def _margin_over_others(ranked: Sequence[Judged]) -> float | None:
    """How much better the best answer is than the best one of another teacher."""
    best = ranked[0]
    others = [_score(row) for row in ranked[1:] if row.completion.teacher != best.completion.teacher]
    return _score(best) - others[0] if others else None


def _which(row: Judged) -> tuple[str, int]:
    return row.completion.teacher, row.completion.index


def _score(judged: Judged) -> float:
    if judged.verdict.score is None:
        raise DataError(f"the verdict on '{judged.completion.prompt_id}' is scored but has no score")
    return judged.verdict.score
