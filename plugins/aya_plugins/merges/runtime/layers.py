"""Which layer a tensor belongs to, told from the names of all tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_SENSES = re.compile(r"(^|[._])(vision|visual|vit|image|audio|speech)", re.IGNORECASE)

_NUMBERED = re.compile(r"^((?:[^.]+\.)*?)(\d+)\.(.+)$")


class Layer(NamedTuple):
    """A tensor's place in a stack of layers: `model.layers.` `3` `.mlp.weight`."""

    stack: str
    number: int
    rest: str

    @property
    def name(self) -> str:
        """The tensor's name."""
        return f"{self.stack}{self.number}.{self.rest}"


def layer_of(name: str) -> Layer | None:
    """Read the first number that stands alone in a name; None without one."""
    found = _NUMBERED.match(name)
    return Layer(found[1], int(found[2]), found[3]) if found else None


def stacks(names: Iterable[str]) -> dict[str, int]:
    """Find the stacks of layers, and how many layers each has.

    A stack is a prefix whose numbers run from 0 without a gap. (`classifier.0` and `classifier.2` are none.)
    """
    numbers: dict[str, set[int]] = {}
    for name in names:
        if layer := layer_of(name):
            numbers.setdefault(layer.stack, set()).add(layer.number)
    return {stack: len(found) for stack, found in numbers.items() if found == set(range(len(found)))}


def depth(layer: Layer | None, lengths: dict[str, int]) -> float:
    """Say how deep a layer lies: 0 is the first, 1 the last, or the only one; 0 outside the layers. mergekit has the same."""
    if layer is None or layer.stack not in lengths:
        return 0.0
    last = lengths[layer.stack] - 1
    return layer.number / last if last else 1.0


def is_before_layers(name: str) -> bool:
    """Whether a tensor outside the layers is used before them: embeddings are, norms and heads are not."""
    return "emb" in name or "wte" in name or "wpe" in name


def main_stacks(stacks: Iterable[str]) -> list[str]:
    """Leave out the stacks that read pictures and sound, of a model that has a language model beside them."""
    every = list(stacks)
    return [stack for stack in every if not _SENSES.search(stack)] or every
