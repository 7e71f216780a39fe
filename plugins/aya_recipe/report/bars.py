"""Bars as SVG: shares of each row, stacked; numbers with their intervals; numbers in groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, BAR, GAP, KEY = 640, 16, 6, 22
"""Pixels: longest bar, its height, the space between two, height of a line of the key."""

BESIDE = 64
"""Pixels to the right of the bars."""

THIN, ACROSS, PANEL = 7, 3, 230
"""Of bars in groups: height in pixels, groups side by side, and the width of one."""

COLORS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
"""Colors that stay apart for most eyes, in the order of what is drawn."""

LETTER = 7
"""Pixels that a letter of a name takes, about."""


class Bar(NamedTuple):
    """A bar. parts: of it by name, in any unit. told: what each part is called when it is pointed at. beside: stands behind it."""

    name: str
    parts: Mapping[str, float]
    labels: Mapping[str, str]
    beside: str
    is_labeled: bool = False


class Scored(NamedTuple):
    """A number as a bar. low, high: its interval, where it is known."""

    name: str
    value: float
    color: str
    low: float | None = None
    high: float | None = None


def shares(title: str, colors: Mapping[str, str], bars: Sequence[Bar]) -> str:
    """Draw bars of one length as SVG. colors: of each part by name, in their order."""
    left = 16 + LETTER * max([5, *(len(bar.name) for bar in bars)])
    top = 30 + KEY * len(colors)
    height = top + (BAR + GAP) * len(bars) + 8
    body = "\n".join([*_key(colors, left), *_bars(bars, colors, left, top)])
    return _svg(title, left, left + WIDTH + BESIDE, height, body)


def scores(title: str, rows: Sequence[Scored]) -> str:
    """Draw numbers from 0 on, each with a line for its interval. Bars end at 1, or at the largest number where that is more."""
    left = 16 + LETTER * max([5, *(len(row.name) for row in rows)])
    top, height = 30, 38 + (BAR + GAP) * len(rows)
    unit = WIDTH / _end([row.high if row.high is not None else row.value for row in rows])
    lines = []
    for line, row in enumerate(rows):
        y = top + (BAR + GAP) * line
        lines.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>')
        lines.append(_bar(row, left, y, BAR, unit))
        if row.low is not None and row.high is not None:
            start, width = max(row.low, 0) * unit, (row.high - max(row.low, 0)) * unit
            lines.append(
                f'<rect x="{left + start:.1f}" y="{y + BAR // 2 - 1}" width="{max(width, 0):.1f}" height="2">'
                f"<title>{row.low:.3f} to {row.high:.3f}</title></rect>"
            )
        lines.append(f'<text x="{left + WIDTH + 8}" y="{y + 12}">{row.value:z.3f}</text>')
    return _svg(title, left, left + WIDTH + BESIDE, height, "\n".join(lines))


def groups(title: str, colors: Mapping[str, str], rows: Mapping[str, Sequence[Scored]]) -> str:
    """Draw numbers in groups, a few groups side by side. colors: the key."""
    unit = PANEL / _end([row.value for group in rows.values() for row in group])
    y, lines = 34 + KEY * len(colors), list(_key(colors, 16))
    names = list(rows)
    for start in range(0, len(names), ACROSS):
        side_by_side = names[start : start + ACROSS]
        for place, name in enumerate(side_by_side):
            x = 16 + place * (PANEL + 32)
            lines.append(f'<text x="{x}" y="{y + 12}" font-weight="bold">{escape(name)}</text>')
            lines += [_bar(row, x, y + 18 + line * (THIN + 2), THIN, unit) for line, row in enumerate(rows[name])]
        y += 30 + (THIN + 2) * max(len(rows[name]) for name in side_by_side)
    return _svg(title, 16, 16 + ACROSS * (PANEL + 32), y, "\n".join(lines))


def _svg(title: str, left: int, width: int, height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="currentColor"><title>{escape(title)}</title>\n'
        f'<text x="{left}" y="18" font-size="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _bar(row: Scored, x: int, y: int, height: int, unit: float) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{max(row.value * unit, 0):.1f}" height="{height}" fill="{row.color}">'
        f"<title>{escape(row.name)}: {row.value:z.3f}</title></rect>"
    )


def _end(values: Sequence[float]) -> float:
    """Where bars end: 1 for shares, the largest value otherwise."""
    return max([1.0, *values])


def _key(colors: Mapping[str, str], left: int) -> Iterator[str]:
    for line, (name, color) in enumerate(colors.items()):
        y = 32 + KEY * line
        yield f'<rect x="{left}" y="{y}" width="12" height="12" fill="{color}"/>'
        yield f'<text x="{left + 18}" y="{y + 10}">{escape(name)}</text>'


def _bars(bars: Sequence[Bar], colors: Mapping[str, str], left: int, top: int) -> Iterator[str]:
    for line, bar in enumerate(bars):
        y, x, total = top + (BAR + GAP) * line, float(left), sum(bar.parts.values())
        yield f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>'
        for name, color in colors.items():
            if width := WIDTH * bar.parts.get(name, 0) / (total or 1):
                yield (
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}">'
                    f"<title>{escape(name)}: {escape(bar.labels[name])}</title></rect>"
                )
                if bar.is_labeled and width > LETTER * len(bar.labels[name]):
                    yield (
                        f'<text x="{x + width / 2:.1f}" y="{y + 12}" text-anchor="middle" fill="#000">'
                        f"{escape(bar.labels[name])}</text>"
                    )
                x += width
        yield f'<text x="{left + WIDTH + 8}" y="{y + 12}">{escape(bar.beside)}</text>'
