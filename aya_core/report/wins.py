"""Whose answer won where, as a picture: a stacked bar for each language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
"""Colours that stay apart for most eyes, in the order of models or teachers."""

LEFT, WIDTH, BAR, GAP, KEY = 56, 640, 16, 6, 22
"""Pixels: left margin, longest bar, its height, the space between two, height of a line of the key."""


def picture(account: Mapping[str, Any], title: str) -> str:
    """Draw the wins of an account as SVG. Bars are shares of a language's prompts that were won; the number beside is n."""
    colours = {teacher: COLOURS[index % len(COLOURS)] for index, teacher in enumerate(account["teachers"])}
    top = 30 + KEY * len(colours)
    height = top + (BAR + GAP) * len(account["wins"]) + 8
    body = "\n".join([*_key(colours), *_bars(account["wins"], colours, top)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 64}" height="{height}" '
        f'viewBox="0 0 {LEFT + WIDTH + 64} {height}" role="img" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="currentColor"><title>{escape(title)}</title>\n'
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _key(colours: Mapping[str, str]) -> Iterator[str]:
    for line, (teacher, colour) in enumerate(colours.items()):
        y = 32 + KEY * line
        yield f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{LEFT + 18}" y="{y + 10}">{escape(teacher)}</text>'


def _bars(wins: Mapping[str, Mapping[str, int]], colours: Mapping[str, str], top: int) -> Iterator[str]:
    for line, (language, won) in enumerate(wins.items()):
        y, x, total = top + (BAR + GAP) * line, float(LEFT), sum(won.values())
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(language)}</text>'
        for teacher, colour in colours.items():
            if width := WIDTH * won.get(teacher, 0) / max(total, 1):
                yield (
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}">'
                    f"<title>{escape(teacher)}: {won[teacher]} of {total}</title></rect>"
                )
                x += width
        yield f'<text x="{LEFT + WIDTH + 8}" y="{y + 12}">{total}</text>'
