"""Tokens in colour, and what is counted over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from aya_core.api import ShownRow, ShownToken

LEARNT = ("black on green", "black on cyan")
"""Colours of learnt tokens, in turn."""

NAMED = 5
"""Rows that a warning names, at the most."""

WITHOUT_TEXT = "◌"
"""Stands for a token that is only part of a character, where another one shows it."""


class Tally:
    """Counts what is shown, and all that is not."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.texts = self.tokens = self.learnt = 0
        self.notes: Counter[str] = Counter()
        self.teach_nothing: list[str] = []
        self.do_not_end: list[str] = []

    def add(self, row: ShownRow) -> None:
        """Count a row, or one text of it."""
        learnt = sum(token.is_learnt for token in row.tokens)
        self.ids[row.prompt_id] = None
        self.texts += 1
        self.tokens += len(row.tokens)
        self.learnt += learnt
        if row.note:  # it says what is the matter
            self.notes[row.note] += 1
            return
        if not learnt:
            self.teach_nothing.append(_name(row))
        if not (row.tokens and row.tokens[-1].is_special):
            self.do_not_end.append(_name(row))

    def warnings(self) -> Iterator[str]:
        """What a wrong template leaves behind."""
        if self.texts and not self.learnt:
            yield (
                "no token is learnt: as it should be for a trainer that scores rows whole (a reward model with a head); or else "
                "the chat template loses the answers"
            )
            return
        for names, what in (
            (self.teach_nothing, "have no learnt token; does the chat template keep the answer?"),
            (self.do_not_end, "do not end in a special token; a model that learns them never ends its turn"),
        ):
            if names:
                more = ", ..." if len(names) > NAMED else ""
                yield f"{len(names):,} of {self.texts:,} texts {what} ({', '.join(names[:NAMED])}{more})"


class Shown:
    """Prints rows. many: the first so many. ids: with the id of each token. plain: with brackets in place of colours."""

    def __init__(self, many: int, *, ids: bool, plain: bool) -> None:
        self.console = Console(highlight=False)
        self.many = many
        self.ids = ids
        self.plain = plain or not self.console.is_terminal

    def show(self, place: int, row: ShownRow) -> None:
        """Print a row, or one text of it, if its place is among the first."""
        if place >= self.many:
            return
        learnt = sum(token.is_learnt for token in row.tokens)
        facts = [f"{len(row.tokens):,} tokens", f"{learnt:,} learnt", *([row.note] if row.note else [])]
        self.console.print(Text(f"{_name(row)} [{row.language}]: {', '.join(facts)}", style="bold"), soft_wrap=True)
        self.console.print(self._body(row.tokens), soft_wrap=True)
        self.console.print()

    def summarise(self, tally: Tally, what: str) -> None:
        """Print the counts, and the warnings. what: stands before the number of rows."""
        share = f" ({tally.learnt / tally.tokens:.1%})" if tally.tokens else ""
        told = f"{what}{len(tally.ids):,} rows, {tally.tokens:,} tokens, {tally.learnt:,} learnt{share}"
        self.console.print(
            Text("; ".join([told, *(f"{count:,} {note}" for note, count in tally.notes.items())])), soft_wrap=True
        )
        for warning in tally.warnings():
            self.console.print(Text.assemble(("warning", "yellow"), f": {warning}"), soft_wrap=True)

    def _body(self, tokens: Sequence[ShownToken]) -> Text:
        body = Text()
        learnt = 0
        for token in tokens:
            text = (token.text or WITHOUT_TEXT).replace("\t", "⇥").replace("\n", "⏎")
            if self.ids:
                text = f"{text}·{token.id}"
            style = "dim"
            if token.is_learnt:
                style = LEARNT[learnt % 2]
                learnt += 1
            if self.plain:
                text = f"⟨{text}⟩" if token.is_special else text
                text = f"[{text}]" if token.is_learnt else text
                style = ""
            elif token.is_special:
                style = f"{style} bold underline".replace("dim ", "")
            body.append(text, style)
            if "\n" in token.text:
                body.append("\n")
            elif self.ids:
                body.append(" ")
        return body


def _name(row: ShownRow) -> str:
    return f"{row.prompt_id} {row.part}".rstrip()
