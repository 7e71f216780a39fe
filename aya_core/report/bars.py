"""Stacked bars as SVG: a bar for each row, a part of it for each of what it is shared among."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, BAR, GAP, KEY = 640, 16, 6, 22
"""Pixels: longest bar, its height, the space between two, height of a line of the key."""

BESIDE = 64
"""Pixels to the right of the bars."""

LETTER = 7
"""Pixels that a letter of a name takes, about."""


class Bar(NamedTuple):
    """A bar. parts: of it by name, in any unit. told: what each part is called when it is pointed at. beside: stands behind it."""

    name: str
    parts: Mapping[str, float]
    told: Mapping[str, str]
    beside: str
    is_labelled: bool = False


def picture(title: str, colours: Mapping[str, str], bars: Sequence[Bar]) -> str:
    """Draw bars of one length as SVG. colours: of each part by name, in their order."""
    left = 16 + LETTER * max([5, *(len(bar.name) for bar in bars)])
    top = 30 + KEY * len(colours)
    height = top + (BAR + GAP) * len(bars) + 8
    body = "\n".join([*_key(colours, left), *_bars(bars, colours, left, top)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + WIDTH + BESIDE}" height="{height}" '
        f'viewBox="0 0 {left + WIDTH + BESIDE} {height}" role="img" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="currentColor"><title>{escape(title)}</title>\n'
        f'<text x="{left}" y="18" font-size="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _key(colours: Mapping[str, str], left: int) -> Iterator[str]:
    for line, (name, colour) in enumerate(colours.items()):
        y = 32 + KEY * line
        yield f'<rect x="{left}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{left + 18}" y="{y + 10}">{escape(name)}</text>'


def _bars(bars: Sequence[Bar], colours: Mapping[str, str], left: int, top: int) -> Iterator[str]:
    for line, bar in enumerate(bars):
        y, x, total = top + (BAR + GAP) * line, float(left), sum(bar.parts.values())
        yield f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>'
        for name, colour in colours.items():
            if width := WIDTH * bar.parts.get(name, 0) / (total or 1):
                yield (
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}">'
                    f"<title>{escape(name)}: {escape(bar.told[name])}</title></rect>"
                )
                if bar.is_labelled and width > LETTER * len(bar.told[name]):
                    yield (
                        f'<text x="{x + width / 2:.1f}" y="{y + 12}" text-anchor="middle" fill="#000">'
                        f"{escape(bar.told[name])}</text>"
                    )
                x += width
        yield f'<text x="{left + WIDTH + 8}" y="{y + 12}">{escape(bar.beside)}</text>'
