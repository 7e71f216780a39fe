"""Verdicts read from what a judge wrote: exactly, or not at all.

The last line that begins with the label asked for counts (`Preferred:`, `Score:`), for a judge may name other verdicts while it thinks.
Without such a line, the forms count that judges are known to use (see `reply_forms.py`): all of them in a reply must say the same.
Two different verdicts, or one that is none of those asked for, are refused, and nothing is guessed.

docs/arbitrage.md has a table of the forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, TypeVar

from aya_plugins.arbiters.reply_forms import Form, UnreadableError, cut, ends, labelled, marked, plain, short_lines

Place: TypeAlias = Literal["first", "second", "tie"]
Value = TypeVar("Value")

PREFERENCE_KEYS = (
    "preferred", "preferred answer", "preferred response", "preference", "winner", "verdict", "final verdict", "choice", "final choice",
    "better", "better answer", "better response", "best", "best answer", "best response", "answer", "final answer", "decision",
    "final decision", "judgment", "judgement", "final judgment", "final judgement", "result",
)  # fmt: skip
"""Labels of lines, keys in JSON and tags that name the better answer."""

COMMON_WORDS = frozenset({"better", "best", "answer", "final answer", "result", "overall", "choice"})
"""Keys that also stand before other things: what cannot be read there is no verdict, and the reply may hold one elsewhere."""

SCORE_KEYS = (
    "score", "rating", "grade", "overall", "final score", "final rating", "final grade", "overall score", "overall rating", "total score",
)  # fmt: skip
"""The same of a score."""

_NAME = r"(?:the )?(?:(?:answer|response|assistant|model|option|output|candidate)[ _-]?)?(?:\((?P<{0}p>[ab])\)|(?P<{0}>[ab]))"
_ONE, _TWO = _NAME.format("one"), _NAME.format("two")
_TIE = r"\(?(?:(?:it(?:'s| is) )?a )?tie\)?|tied|draw|equal|both (?:answers )?are equal(?:ly good)?"
_CHOICE = re.compile(_ONE)
_TIED = re.compile(_TIE)
_ORDER = re.compile(rf"{_ONE} ?(>{{1,3}}|<{{1,3}}|={{1,2}}|~|≈|≫|≪) ?{_TWO}")
_BETTER = r"(?:(?:clearly|slightly|much|significantly|far) )?(?:the )?(?:better|best|superior|preferred|preferable|stronger|winner)"
_SENTENCE = re.compile(
    rf"{_ONE} (?:is|was) {_BETTER}(?: (?:answer|response|one|choice|option))?(?: than {_TWO}| of the two| overall)?"
    rf"|(?:i|we) (?:prefer|choose|pick|select) {_NAME.format('three')}"
    rf"|(?:so |thus |therefore |overall )?(?:the|my) (?:final )?(?:preferred|better|best|preference|winner|verdict|choice|answer)"
    rf"(?: answer| response)? is {_NAME.format('four')}"
    rf"|preferred (?:answer )?{_NAME.format('five')}"
)
_PLACES: dict[str, Place] = {"a": "first", "b": "second"}
_WHOLE = re.compile(r"([-−+]?\d{1,9})(?:\.0{1,3})?(?:\s{0,3}(?:/|out of)\s{0,3}(\d{1,9}))?")


def read_preference(reply: str) -> Place:
    """Read which answer a judge prefers. Raises UnreadableError."""
    return _read(reply, "preferred", PREFERENCE_KEYS, _place, _place_alone)


def read_score(reply: str, lowest: int, highest: int) -> int:
    """Read a whole number from a scale, alone or as a share of its best (7/10). Raises UnreadableError."""

    def score(value: Any) -> int:
        return _score(value, lowest, highest)

    def alone(line: str) -> int | None:
        return score(line) if _WHOLE.fullmatch(line) else None

    return _read(reply, "score", SCORE_KEYS, score, alone)


def _read(
    reply: str, asked: str, keys: tuple[str, ...], value: Callable[[Any], Value], alone: Callable[[str], Value | None]
) -> Value:
    """Read the verdict of a reply, by the label asked for or by all other forms together.

    value: reads what a form holds. alone: reads a line that may be a verdict by itself; None where it is prose.
    """
    text = plain(reply)
    lines = labelled(text, (asked,))
    if lines:
        line = lines[-1]
        later = [one for one in marked(text, keys) if one.end > line.end]
        return _agreed([*_values([line], keys, value), *_values(later, keys, value)])
    found = _values([*marked(text, keys), *labelled(text, keys)], keys, value)
    if not found:
        said = {line: alone(line) for line in short_lines(text)}
        if any(said.get(line) is not None for line in ends(text)):
            found = [one for one in said.values() if one is not None]
    if not found:
        raise UnreadableError(
            f"no line '{asked.capitalize()}: ...' and no other verdict in the judge's reply '{cut(reply)}'"
        )
    return _agreed(found)


def _values(forms: Iterable[Form], keys: tuple[str, ...], value: Callable[[Any], Value]) -> list[Value]:
    """Read what forms hold: a value, or other forms around it. A common word before something else is none."""
    found = []
    for form in forms:
        inner = list(marked(form.value, keys)) if form.key and isinstance(form.value, str) else []
        try:
            found += [value(one.value) for one in inner or (form,)]
        except UnreadableError:
            if form.key not in COMMON_WORDS:
                raise
    return found


def _agreed(found: list[Value]) -> Value:
    if len(set(found)) > 1:
        raise UnreadableError(f"the judge gives different verdicts: {', '.join(map(str, dict.fromkeys(found)))}")
    return found[0]


def _place(value: Any) -> Place:
    """Read a value that names an answer: A, (B), Answer (A), model_b, A>B, [[C]] or TIE."""
    place = _named(value) if isinstance(value, str) else None
    if place is None:
        raise UnreadableError(f"the judge prefers '{value!s:.60}'; expected Answer (A), Answer (B) or TIE")
    return place


def _named(said: str) -> Place | None:
    if said == "[[c]]":  # the sign of a tie in MT-Bench
        return "tie"
    said = _bare(said)
    if _TIED.fullmatch(said):
        return "tie"
    if found := _CHOICE.fullmatch(said):
        return _PLACES[found["onep"] or found["one"]]
    if found := _ORDER.fullmatch(said):
        one, two = (found[f"{name}p"] or found[name] for name in ("one", "two"))
        if one == two:
            return None
        sign = found[3][0]
        if sign in "=~≈":
            return "tie"
        return _PLACES[one if sign in ">≫" else two]
    return None


def _place_alone(line: str) -> Place | None:
    """Read a line that names an answer, or says in a sentence which is better; None for any other."""
    place = _named(line)
    if place is not None:
        return place
    found = _SENTENCE.fullmatch(line)
    if found is None:
        return None
    groups = found.groupdict()
    named = next(groups[key] for name in ("one", "three", "four", "five") for key in (f"{name}p", name) if groups[key])
    other = groups["twop"] or groups["two"]
    return None if named == other else _PLACES[named]


def _score(value: Any, lowest: int, highest: int) -> int:
    said = _bare(str(value)) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    found = _WHOLE.fullmatch(said)
    if found is None or (found[2] is not None and int(found[2]) != highest):
        raise UnreadableError(
            f"the judge's score is '{value!s:.60}'; expected a whole number from {lowest} to {highest}"
        )
    score = int(found[1].replace("−", "-"))
    if not lowest <= score <= highest:
        raise UnreadableError(f"the judge's score is {score}; expected {lowest} to {highest}")
    return score


def _bare(said: str) -> str:
    return said.removeprefix("[[").removesuffix("]]")
