"""The forms in which rows lie around: which columns hold the prompt and the answers, and how each was read.

| columns | read as |
|---|---|
| chosen, rejected | a preference; each a text or messages, the whole conversation or the answer alone |
| completion | a demonstration; a text or messages |
| completion, label | an unpaired preference: an answer that is good or bad |
| messages, conversations, conversation | a demonstration of the last turn, or a prompt where the last turn is the user's |
| instruction, output (Alpaca, with input) | a demonstration |
| instruction, response (Dolly, with context) | a demonstration |
| inputs, targets (Aya) | a demonstration |
| question, response (OpenOrca, with system_prompt) | a demonstration |
| instruction, completions with scores (UltraFeedback) | a preference: the best answer and the worst |
| prompt, instruction or inputs alone | a prompt |
| text alone | a demonstration without a prompt: a text to learn as it is |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from aya_core.api import DataError, Line, Message, assistant_turn, did_you_mean, is_number
from aya_plugins.datasets.conversations import is_turns, listed, transcript, turns
from aya_plugins.datasets.names import Columns

CONVERSATIONS = ("messages", "conversations", "conversation")
INSTRUCTIONS = (
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
    ("inputs", None, "targets"),
    ("question", None, "response"),
)
"""Column of the task, of what it is about, and of its answer."""

SYSTEMS = ("system", "system_prompt")
SCORES = (
    ("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
)  # fmt: skip
RATINGS = ("overall_score", "score", "rating")
"""Where the scores of UltraFeedback's completions are, and of sets made like it."""

MORE_THAN_PROMPTS = frozenset(
    ("chosen", "rejected", "completion", "completions", *CONVERSATIONS, *filter(None, sum(INSTRUCTIONS, ())))
)
"""Columns of which a row that is a prompt in a column of its own has none."""

Messages = tuple[Message, ...]


class Found(NamedTuple):
    """What a row says. how: which columns it was read from. answers: the completion, or the chosen and the rejected one. scores: of
    these two. without: why there is no pair, for a row that yields none. label: whether the completion is good, where a row says so.
    """

    how: str
    prompt: Messages
    answers: tuple[Message, ...] = ()
    scores: tuple[float, float] | None = None
    without: str = ""
    label: bool | None = None


class Asked(NamedTuple):
    """A prompt, and where it was found."""

    messages: Messages
    how: str


def read_row(line: Line, names: Columns) -> Found:
    """Read a row in the form that its columns say. Raises DataError that names the columns found."""
    is_usual = not (names.prompt or names.chosen or names.rejected or names.completion)
    if is_usual and isinstance(text := line.row.get("prompt"), str) and MORE_THAN_PROMPTS.isdisjoint(line.row):
        return Found("prompt from 'prompt'", ({"role": "user", "content": text},))  # as most rows are
    chosen = look_up(line, names.chosen, ("chosen",))
    rejected = look_up(line, names.rejected, ("rejected",))
    if (chosen is None) != (rejected is None):
        absent = "rejected" if rejected is None else "chosen"
        raise DataError(f"{line.place}: no {absent} answer; expected chosen and rejected together")
    if chosen is not None:
        return _preference(line, names, chosen, rejected)
    completion = look_up(line, names.completion, ("completion",))
    if completion is not None:
        return _demonstration(line, names, completion)
    if names.prompt is None and names.completion is None:
        rated: Any = line.row.get("completions")
        if is_turns(rated) and all(isinstance(one, Mapping) for one in rated):
            return _rated(line, names, rated)
        for name in CONVERSATIONS:
            if is_turns(conversation := listed(line, line.row.get(name))):
                return _conversation(line, names, name, turns(line, conversation))
        for task, about, answer in INSTRUCTIONS:
            if isinstance(line.row.get(task), str) and isinstance(text := line.row.get(answer), str):
                asked = _instruction(line, task, (about,) if about else ())
                found = Found(f"{asked.how}, completion from '{answer}'", asked.messages, (assistant_turn(text),))
                return _labeled(line, names, found)
        if is_turns(rated) and is_turns(line.row.get("labels")):
            raise DataError(
                f"{line.place}: 'completions' with 'labels' are steps for a reward model of steps, which no trainer here learns from; "
                "expected chosen and rejected, or a completion with a label"
            )
    question = _asked(line, names)
    if question is None and names.prompt is None and isinstance(text := line.row.get("text"), str) and text.strip():
        return Found("text from 'text', without a prompt", (), (assistant_turn(text),))
    asked = question or _no_prompt(line, names)
    return Found(asked.how, asked.messages)


def look_up(line: Line, named: str | None, usual: Sequence[str]) -> Any:
    """Return what the column named holds, or else the first usual one that is filled; None for nothing."""
    if named is None:
        for name in usual:
            if (found := line.row.get(name)) is not None:
                return found
        return None
    if named not in line.row:
        raise DataError(f"{line.place}: no column '{named}'; {did_you_mean(named, line.row)}")
    return line.row[named]


def _asked(line: Line, names: Columns) -> Asked | None:
    """The prompt in a column of its own, or None where there is none."""
    column = names.prompt or "prompt"
    if (found := look_up(line, names.prompt, ("prompt",))) is not None:
        return Asked(_messages(line, found), f"prompt from '{column}'")
    if names.prompt is not None:
        return None
    for task, about in (("instruction", ("input", "context")), ("inputs", ()), ("question", ())):
        is_usual = task != "question" or line.row.get("chosen") is not None  # a question with an answer may be a test
        if isinstance(line.row.get(task), str) and is_usual:
            return _instruction(line, task, about)
    return None


def _no_prompt(line: Line, names: Columns) -> Asked:
    found = f"columns found: {_some_names(line.row)}" if line.row else "the row is empty"
    if isinstance(line.row.get(names.chosen or "chosen"), str) and not names.prompt:
        found = f"where chosen and rejected are texts, their common beginning may be part of the answer; {found}"
    others = "" if names.prompt else ", or in messages, conversations, instruction or inputs"
    raise DataError(f"{line.place}: no prompt; expected it in column '{names.prompt or 'prompt'}'{others}; {found}")


def _some_names(names: Mapping[str, Any]) -> str:
    """Names of columns, as many and as much of each as a message can hold."""
    shown = [f"{name!s:.60}" for name in islice(names, 40)]
    return ", ".join([*shown, *([f"and {len(names) - 40} more"] if len(names) > 40 else [])])


def _instruction(line: Line, task: str, about: Sequence[str]) -> Asked:
    """A task with what it is about below it, where that is said."""
    more = [name for name in about if isinstance(text := line.row.get(name), str) and text.strip()]
    text = "\n\n".join(line.row[name] for name in (task, *more))
    how = " and ".join(f"'{name}'" for name in (task, *(more or [name for name in about[:1] if name in line.row])))
    asked: Messages = ({"role": "user", "content": text},)
    system = _system(line)
    return Asked((*system, *asked), f"prompt from {how}{_and_system(system)}")


def _system(line: Line) -> Messages:
    """A system prompt in a column of its own, as beside ShareGPT's conversations."""
    texts = (line.row.get(name) for name in SYSTEMS)
    return next(
        (({"role": "system", "content": text},) for text in texts if isinstance(text, str) and text.strip()), ()
    )


def _and_system(system: Messages) -> str:
    return " after 'system'" if system else ""


def _messages(line: Line, asked: Any) -> Messages:
    if isinstance(asked, str):
        return ({"role": "user", "content": asked},)
    if not is_turns(asked):
        raise DataError(f"{line.place}: the prompt is {asked!r:.80}; expected a text or a list of messages")
    return turns(line, asked)


def _answer(line: Line, name: str, value: Any) -> tuple[Messages, Message]:
    """An answer, and the turns before it where the column holds the conversation, too."""
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, str):
        return (), assistant_turn(value)
    if is_turns(value):
        *before, last = turns(line, value)
        if last["role"] == "assistant":
            return tuple(before), last
    raise DataError(
        f"{line.place}: {name} is {value!r:.80}; expected a text or a list of one assistant message, or of a conversation that ends in one"
    )


def _whole(line: Line, name: str, asked: Asked | None, before: Messages, names: Columns) -> Asked:
    """Bring a prompt in a column of its own together with the turns that stand before the answer."""
    if not before:
        return asked or _no_prompt(line, names)
    if asked is None:
        return Asked(before, f"prompt from '{name}', all turns but the last")
    if before[0]["role"] == "assistant":
        return Asked((*asked.messages, *before), f"{asked.how} and all turns of '{name}' but the last")
    if before[-len(asked.messages) :] == asked.messages:
        return Asked(
            before, f"prompt from '{name}', all turns but the last, as {asked.how.removeprefix('prompt from ')} says"
        )
    raise DataError(
        f"{line.place}: the conversation in '{name}' does not begin as the prompt does; expected the same prompt, or the answer alone"
    )


def _demonstration(line: Line, names: Columns, value: Any) -> Found:
    name = names.completion or "completion"
    before, answer = _answer(line, "completion", value)
    asked = _whole(line, name, _asked(line, names), before, names)
    how = f"{asked.how}, completion from '{name}'{', its last turn' if before else ''}"
    return _labeled(line, names, Found(how, asked.messages, (answer,)))


LABELS = {"true": True, "1": True, "1.0": True, "good": True, "desirable": True, "false": False, "0": False, "0.0": False, "bad": False,
          "undesirable": False}  # fmt: skip
"""How tables say whether an answer is good."""


def _labeled(line: Line, names: Columns, found: Found) -> Found:
    """Say of an answer whether it is good, where the row does. Raises DataError for a label that says something else."""
    value = line.row.get("label")
    if value is None or value == "" or "label" in names.meta or names.score is not None:
        return found
    label = LABELS.get(str(value).strip().lower())
    if label is None:
        raise DataError(
            f"{line.place}: the label is {value!r:.60}; expected true or false, which says whether the answer is good. A column of that "
            "name that says something else is kept beside the row with columns: {meta: [label]}"
        )
    return found._replace(how=f"{found.how}, good or bad by 'label'", label=label)


def _preference(line: Line, names: Columns, chosen: Any, rejected: Any) -> Found:
    name, other = names.chosen or "chosen", names.rejected or "rejected"
    chosen, rejected = transcript(chosen) or chosen, transcript(rejected) or rejected
    before, better = _answer(line, "chosen", chosen)
    also, worse = _answer(line, "rejected", rejected)
    if before != also:
        raise DataError(
            f"{line.place}: '{name}' and '{other}' differ before their last turn; expected two answers to the same conversation"
        )
    asked = _whole(line, name, _asked(line, names), before, names)
    of = f"'{name}' and '{other}'{', their last turns' if before else ''}"
    scored = next((pair for pair in SCORES if all(is_number(line.row.get(one)) for one in pair)), None)
    scores = None if scored is None else (float(line.row[scored[0]]), float(line.row[scored[1]]))
    more = "" if scored is None else f", scores from '{scored[0]}' and '{scored[1]}'"
    return Found(f"{asked.how}, answers from {of}{more}", asked.messages, (better, worse), scores)


def _conversation(line: Line, names: Columns, name: str, found: Messages) -> Found:
    system = _system(line)
    if system and found[0]["role"] == "system":
        if system[0]["content"].strip() != found[0]["content"].strip():
            raise DataError(
                f"{line.place}: '{name}' begins with a system turn, and a column of the system prompt says something else; leave one out"
            )
        system = ()
    found = (*system, *found)
    if found[-1]["role"] != "assistant":
        return Found(f"prompt from '{name}'{_and_system(system)}", found)
    if len(found) == 1:
        raise DataError(f"{line.place}: '{name}' holds an answer and no question before it; expected the turns of both")
    how = f"prompt from '{name}', all turns but the last{_and_system(system)}, completion from its last turn"
    return _labeled(line, names, Found(how, found[:-1], (found[-1],)))


def _rated(line: Line, names: Columns, rated: Sequence[Mapping[str, Any]]) -> Found:
    """The best and the worst of scored answers; of equals the first."""
    asked = _asked(line, names) or _no_prompt(line, names)
    rating = next((name for name in RATINGS if any(one.get(name) is not None for one in rated)), None)
    texts = [one.get("response", one.get("text")) for one in rated]
    if rating is None or not all(isinstance(text, str) for text in texts):
        held = _some_names(rated[0])
        raise DataError(
            f"{line.place}: completions hold {held}; expected a response with a score each ({', '.join(RATINGS)}), as UltraFeedback has"
        )
    how = f"{asked.how}, best and worst of 'completions' by '{rating}'"
    scores = [_rating(line, rating, one.get(rating)) for one in rated]
    if len(set(scores)) < 2:
        return Found(how, asked.messages, without="answers of equal scores" if len(scores) > 1 else "a single answer")
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    answers = (assistant_turn(str(texts[best])), assistant_turn(str(texts[worst])))
    return Found(how, asked.messages, answers, (scores[best], scores[worst]))


def _rating(line: Line, name: str, value: Any) -> float:
    if not is_number(value):
        raise DataError(f"{line.place}: '{name}' of a completion is {value!r:.60}; expected a finite number for each")
    return float(value)
