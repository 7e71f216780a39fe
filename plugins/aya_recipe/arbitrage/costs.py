"""What answers and verdicts cost: tokens, and the prices that teachers have in the recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

JUDGE_TOKENS = ("judge_prompt_tokens", "judge_answer_tokens")
"""Details of a verdict by which an arbiter that asks a teacher says what its questions took; in an ensemble, after the member's name."""

Cost = dict[str, float]
"""Amounts by currency."""


def cost(tokens: Mapping[str, int], price: Mapping[str, Any] | None) -> Cost | None:
    """What tokens cost; None without a price, and where there were answers of which nobody knows the tokens.

    tokens: `prompt_tokens`, and `tokens` of the answers. price: for a million of each, as a teacher's setting says.
    """
    if price is None or (tokens.get("answers") and not tokens["tokens"]):
        return None
    amount = tokens["prompt_tokens"] * price["prompt"] + tokens["tokens"] * price["answer"]
    return {price["currency"]: amount / 1e6}


def total(costs: Iterable[Cost | None]) -> Cost:
    """Add amounts up."""
    added: Counter[str] = Counter()
    for one in costs:
        added.update(one or {})
    return dict(added)


def in_words(amounts: Cost | None) -> str:
    """Amounts as they are printed, such as `1.24 USD` or `0.0047 USD`; nothing where there are none."""
    return " + ".join(f"{amount:,.{_decimals(amount)}f} {currency}" for currency, amount in (amounts or {}).items())


def _decimals(amount: float) -> int:
    """Two, or as many more as show two digits of a small amount."""
    return 2 if amount >= 0.1 or amount <= 0 else 1 - math.floor(math.log10(amount))


def judge_tokens(teachers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, int]]:
    """What arbiters asked, by the member of the ensemble ("" for an arbiter alone). teachers: tallies by teacher and language."""
    found: dict[str, Counter[str]] = {}
    for rows in teachers.values():
        for row in rows.values():
            for name, mean in row["details"].items():
                member, _, what = name.rpartition("/")
                if what in JUDGE_TOKENS:
                    kind = "prompt_tokens" if what == JUDGE_TOKENS[0] else "tokens"
                    found.setdefault(member, Counter())[kind] += round(mean * row["detailed"][name])
    return {member: {"prompt_tokens": n["prompt_tokens"], "tokens": n["tokens"]} for member, n in found.items()}


def judge_costs(tokens: Mapping[str, Mapping[str, int]], arbiter: Mapping[str, Any]) -> Iterator[Cost | None]:
    """What each member asked for. arbiter: its settings as plain data."""
    prices = list(_prices(arbiter, ()))
    for member, counts in tokens.items():
        names = [name for name in member.split("/") if name]
        of_member = [price for path, price in prices if all(name in path for name in names)]
        yield cost(counts, of_member[0]) if len(of_member) == 1 else None


def unpriced_judges(tokens: Mapping[str, Mapping[str, int]], arbiter: Mapping[str, Any]) -> Iterator[str]:
    """Say so where what was asked to judge has a price, and its cost is not known."""
    if not tokens and next(_prices(arbiter, ()), None) is not None:
        yield "the judge has a price, but no tokens of its replies are known, so its cost is in no sum"


def _prices(settings: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The prices of teachers anywhere in settings, with the path that leads there."""
    if isinstance(settings, Mapping):
        if "use" in settings and isinstance(settings.get("price"), Mapping):
            yield path, settings["price"]
        for key, value in settings.items():
            yield from _prices(value, (*path, str(key)))
    elif isinstance(settings, list):
        for index, value in enumerate(settings):
            yield from _prices(value, (*path, str(index)))
