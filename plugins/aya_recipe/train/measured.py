"""Measures of training in words: those that say how it goes, in their order, each in its unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

VALIDATION = "validation/"
"""Begins the names of measures of held-out rows; those of one language end in `/LANGUAGE`."""


def quantity(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1."""
    return f"{100 * share:.0f}%"


def speed(per_second: float) -> str:
    """Something per second, in thousands where there are many."""
    return f"{per_second / 1000:.1f}k" if per_second >= 10_000 else f"{per_second:.0f}"


LEARNT: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", quantity),
    "rewards/margins": ("margin", quantity),
    "rewards/accuracies": ("accuracy", percent),
    "accuracy": ("accuracy", percent),
    "reward": ("reward", quantity),
    "kl": ("KL", quantity),
}
"""What a trainer learns by: the word for each measure, and how its value is written."""


def learnt(measures: Mapping[str, float], prefix: str = "") -> Mapping[str, str]:
    """The measures by which a trainer learns: values as text by word. prefix: before their names."""
    return {
        word: written(measures[prefix + name])
        for name, (word, written) in LEARNT.items()
        if measures.get(prefix + name) is not None
    }


def words(measures: Mapping[str, float]) -> list[str]:
    """How a training run goes, as phrases for one line."""
    told = [f"{word} {value}" for word, value in learnt(measures).items()]
    held_out = next(iter(learnt(measures, VALIDATION).items()), None)
    if held_out is not None:
        told.append(f"held-out {held_out[0]} {held_out[1]}")
    if "tokens_per_second" in measures:
        told.append(f"{speed(measures['tokens_per_second'])} tokens/s")
    if "memory_mib" in measures:
        told.append(f"{measures['memory_mib'] / 1024:.1f} GiB")
    return told
