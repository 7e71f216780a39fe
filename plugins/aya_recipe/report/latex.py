"""Tables as LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aya_core.api import Table, visible

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "[": "{[}", "]": "{]}", "*": "{*}", "|": r"\textbar{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "→": r"$\to$",
}  # fmt: skip


def latex(table: Table) -> str:
    """Write a table, to be put into a document that says `\\usepackage{booktabs}`."""
    return "\n".join(_lines(table)) + "\n"


def escape(text: str) -> str:
    """Take their meaning from the characters that LaTeX treats as more than text, such as a bracket behind the end of a row."""
    return "".join(_ESCAPED.get(character, character) for character in visible(" ".join(text.split("\n"))))


def _lines(table: Table) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{escape(table.title)}}}"
    yield rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}"
    yield r"\toprule"
    yield _row(table.header)
    yield r"\midrule"
    for row in table.rows[:-1]:
        yield _row(row)
    if table.rows:
        if table.rows[-1][0] in ("n", "mean"):
            yield r"\midrule"
        yield _row(table.rows[-1])
    if table.controls:
        yield r"\midrule"
        yield from map(_row, table.controls)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if table.notes:
        yield r"\par\footnotesize"
        yield r" \\ ".join(map(escape, table.notes))
    yield r"\end{table}"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
