"""Small word problems with one right answer each, the same problems in every language of the lexicon.

| task | prompt | answer |
|---|---|---|
| write | write 3 1 | three one |
| reverse | reverse red two Friday | Friday two red |
| sort | sort nine two five | two five nine |
| next | next Sunday twelve red | Monday one yellow |
| largest | largest four nine two | nine |

A problem is a task and a list of concepts. A hash of the two puts each problem into one of six classes: one
is held out, one is for tuning, and four are for training. The hash does not see the language, so a held-out
problem is absent from the training splits of every language.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aya_plugins.datasets.micro_world.lexicon import COLORS, DIGITS, LEXICONS, NUMBERS, WEEKDAYS
from aya_plugins.splitmix import scatter

Integers: TypeAlias = NDArray[np.int64]

HASH_CLASSES = {
    "teach": (2, 3, 4, 5),
    "reward": (2, 3, 4, 5),
    "arbitrage": (2, 3, 4, 5),
    "online": (2, 3, 4, 5),
    "dev": (1,),
    "heldout": (0,),
}
"""The classes, of six, from which each split draws. Splits that share classes may share problems."""

TASKS = ("write", "reverse", "sort", "next", "largest")
MOST_ROWS = 20_000  # per language of a split; well below the 70,000 problems of a class, so drawing always ends

_CONCEPTS = len(NUMBERS) + len(WEEKDAYS) + len(COLORS)
_POOL = np.array([12, _CONCEPTS, 12, _CONCEPTS, 12])  # concepts that a task draws from: the numbers, or all
_SHORTEST = np.array([2, 2, 2, 2, 3])  # words of a problem, by task
_LONGEST = np.array([4, 4, 4, 3, 4])
_WIDTH = 4
_EMPTY = _CONCEPTS  # fills rows up to _WIDTH; larger than any concept, so it sorts last
_SUCCESSOR = np.array([kind[(i + 1) % len(kind)] for kind in (NUMBERS, WEEKDAYS, COLORS) for i in range(len(kind))])
_BLOCK = 1024  # problems drawn at once; fixed, so that asking for more rows keeps the earlier ones


@dataclass(frozen=True, slots=True)
class Example:
    """One problem in one language: what a user asks and what a perfect model answers."""

    id: str
    language: str
    task: str
    prompt: str
    answer: str


def examples(
    split: str, *, per_language: int, languages: Sequence[str], seed: int, corrupt: float = 0.0
) -> Iterator[Example]:
    """Yield problems language by language, equally often for each, no prompt twice within a language.

    A row depends on split, seed, language and place alone: more rows or other languages leave it as it is.

    split: a key of HASH_CLASSES.
    per_language: at most MOST_ROWS.
    corrupt: share of answers, in [0, 1], that come in one of the other languages; prompts stay as they are.
    """
    if split not in HASH_CLASSES:
        raise ValueError(f"no split named {split!r} in the micro-world; expected one of {', '.join(HASH_CLASSES)}")
    if not 0 <= per_language <= MOST_ROWS:
        raise ValueError(f"per_language is {per_language}; the micro-world gives 0 to {MOST_ROWS} rows of a language")
    if not 0 <= corrupt <= 1:
        raise ValueError(f"corrupt is {corrupt}; it is a share, from 0 to 1")
    for language in languages:
        if language not in LEXICONS:
            raise ValueError(f"no language {language!r} in the micro-world; expected one of {', '.join(LEXICONS)}")
    for language in languages:
        yield from _of_language(split, per_language, language, seed, corrupt)


def score(answer: str, reference: str, language: str) -> float:
    """Say how right an answer is: the share of words in place, times the share in the right language.

    Both shares are in [0, 1]; words in place count against the longer of the two texts. An empty answer
    scores 0.
    """
    words, expected = answer.split(), reference.split()
    if not words:
        return 0.0
    in_place = sum(word == right for word, right in zip(words, expected, strict=False))
    return in_place / max(len(words), len(expected)) * share_in(language, answer)


def share_in(language: str, answer: str) -> float:
    """Say which share of an answer's words is in a language, in [0, 1]. An empty answer has none."""
    words = answer.split()
    return sum(word in _words_of(language) for word in words) / max(len(words), 1)


def vocabulary() -> list[str]:
    """List every word that a prompt or an answer may hold, once, in a fixed order."""
    words = dict.fromkeys(DIGITS)
    for concepts, *instructions in LEXICONS.values():
        words |= dict.fromkeys((*instructions, *concepts))
    return list(words)


@cache
def _words_of(language: str) -> frozenset[str]:
    concepts, *instructions = LEXICONS[language]
    return frozenset((*concepts, *instructions))


def _of_language(split: str, rows: int, language: str, seed: int, corrupt: float) -> Iterator[Example]:
    concepts, *instructions = LEXICONS[language]
    asked_as = [DIGITS if task == "write" else concepts for task in TASKS]
    tongues = [concepts, *[lexicon.concepts for other, lexicon in LEXICONS.items() if other != language]]
    stream = zlib.crc32(f"{split}/{language}".encode())
    draws, noise = np.random.default_rng([seed, stream, 0]), np.random.default_rng([seed, stream, 1])
    seen: set[int] = set()
    while len(seen) < rows:
        task, problem = _draw(draws, HASH_CLASSES[split])
        answer = _solve(task, problem)
        tongue = noise.integers(1, len(tongues), size=len(task)) * (noise.random(len(task)) < corrupt)
        columns = (_keys(task, problem), task, tongue, _lengths(problem), problem, _lengths(answer), answer)
        for key, kind, voice, asked, question, replied, reply in zip(*map(np.ndarray.tolist, columns), strict=True):
            if key in seen:
                continue
            words = asked_as[kind]
            yield Example(
                id=f"{split}-{seed}-{language}-{len(seen)}",
                language=language,
                task=TASKS[kind],
                prompt=" ".join([instructions[kind], *[words[concept] for concept in question[:asked]]]),
                answer=" ".join([tongues[voice][concept] for concept in reply[:replied]]),
            )
            seen.add(key)
            if len(seen) == rows:
                return


def _draw(rng: np.random.Generator, classes: Sequence[int]) -> tuple[Integers, Integers]:
    """Draw one block of tasks and concept rows, and keep those in the given hash classes."""
    task = rng.integers(len(TASKS), size=_BLOCK)
    length = rng.integers(_SHORTEST[task], _LONGEST[task] + 1)
    problem = rng.integers(_POOL[task, None], size=(_BLOCK, _WIDTH))  # (block, width)
    problem[np.arange(_WIDTH) >= length[:, None]] = _EMPTY
    kept = np.isin(scatter(_keys(task, problem)) % np.uint64(6), classes)
    return task[kept], problem[kept]


def _solve(task: Integers, problem: Integers) -> Integers:
    """Give the concepts of the right answers, (rows, width)."""
    place = np.arange(_WIDTH)
    backwards = np.take_along_axis(problem, (_lengths(problem)[:, None] - 1 - place) % _WIDTH, axis=1)
    successor = np.append(_SUCCESSOR, _EMPTY)[problem]
    largest = np.where(problem == _EMPTY, -1, problem).max(axis=1, keepdims=True)
    largest = np.where(place == 0, largest, _EMPTY)
    answers = np.stack([problem, backwards, np.sort(problem, axis=1), successor, largest])  # (tasks, rows, width)
    right: Integers = answers[task, np.arange(len(task))]
    return right


def _lengths(rows: Integers) -> Integers:
    lengths: Integers = np.count_nonzero(rows != _EMPTY, axis=1)
    return lengths


def _keys(task: Integers, problem: Integers) -> Integers:
    """Number the problems: equal keys mean the same task and concepts."""
    code: Integers = problem @ (_CONCEPTS + 1) ** np.arange(_WIDTH)
    return task + len(TASKS) * code
