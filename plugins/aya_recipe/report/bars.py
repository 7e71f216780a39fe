"""Bars as SVG: shares of each row, stacked; numbers with their intervals; numbers in groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from aya_core.api import SHARE
from aya_recipe.report.blocks import escape, number

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


def scores(title: str, rows: Sequence[Scored], *, is_share: bool = False) -> str:
    """Draw numbers from 0 on, each with a line for its interval. Bars end at 1, or at the largest number where that is more, unless
    they are shares; negative ones go to the left."""
    left = 16 + LETTER * max([5, *(len(row.name) for row in rows)])
    top, height = 30, 38 + (BAR + GAP) * len(rows)
    ends = [end for row in rows for end in (row.value, row.high, row.low if row.value < 0 else None) if end is not None]
    scale = _Scale.of(ends, WIDTH, is_share)
    lines = []
    for line, row in enumerate(rows):
        y = top + (BAR + GAP) * line
        lines.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>')
        lines.append(_bar(row, left, y, BAR, scale))
        if row.low is not None and row.high is not None:
            start, width = scale.between(row.low, row.high)
            lines.append(
                f'<rect x="{left + start:.1f}" y="{y + BAR // 2 - 1}" width="{width:.1f}" height="2">'
                f"<title>{scale.shown(row.low)} to {scale.shown(row.high)}</title></rect>"
            )
        lines.append(f'<text x="{left + WIDTH + 8}" y="{y + 12}">{scale.shown(row.value)}</text>')
    return _svg(title, left, left + WIDTH + BESIDE, height, "\n".join(lines))


def groups(
    title: str, colors: Mapping[str, str], rows: Mapping[str, Sequence[Scored]], *, is_share: bool = False
) -> str:
    """Draw numbers in groups, a few groups side by side. colors: the key."""
    scale = _Scale.of([row.value for group in rows.values() for row in group], PANEL, is_share)
    y, lines = 34 + KEY * len(colors), list(_key(colors, 16))
    names = list(rows)
    for start in range(0, len(names), ACROSS):
        side_by_side = names[start : start + ACROSS]
        for place, name in enumerate(side_by_side):
            x = 16 + place * (PANEL + 32)
            lines.append(f'<text x="{x}" y="{y + 12}" font-weight="bold">{escape(name)}</text>')
            lines += [_bar(row, x, y + 18 + line * (THIN + 2), THIN, scale) for line, row in enumerate(rows[name])]
        y += 30 + (THIN + 2) * max(len(rows[name]) for name in side_by_side)
    return _svg(title, 16, 16 + ACROSS * (PANEL + 32), y, "\n".join(lines))


class _Scale(NamedTuple):
    """Where numbers lie: low at the left end, and how many pixels a unit takes. Nothing lies outside."""

    low: float
    high: float
    unit: float
    is_share: bool

    @classmethod
    def of(cls, values: Sequence[float], width: int, is_share: bool) -> _Scale:
        """From 0, or the least number where that is less, to 1, or the largest number where that is more."""
        if is_share:
            return cls(0.0, 1.0, float(width), is_share)
        low, high = min([0.0, *values]), max([1.0, *values])
        return cls(low, high, width / (high - low), is_share)

    def between(self, one: float, other: float) -> tuple[float, float]:
        """Where a line between two numbers begins, and how long it is, in pixels."""
        start, end = (min(max(value, self.low), self.high) for value in sorted((one, other)))
        return (start - self.low) * self.unit, (end - start) * self.unit

    def shown(self, value: float) -> str:
        """A number as text; shares in percent."""
        return f"{number(value, SHARE)}%" if self.is_share else number(value)


def _svg(title: str, left: int, width: int, height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="currentColor"><title>{escape(title)}</title>\n'
        f'<text x="{left}" y="18" font-size="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _bar(row: Scored, x: int, y: int, height: int, scale: _Scale) -> str:
    start, width = scale.between(0.0, row.value)
    return (
        f'<rect x="{x + start:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{row.color}">'
        f"<title>{escape(row.name)}: {scale.shown(row.value)}</title></rect>"
    )


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
