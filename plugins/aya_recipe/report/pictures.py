"""Pictures that came with a folder, and may be of anybody."""

from __future__ import annotations

from xml.etree import ElementTree

DRAWN = frozenset(
    "svg title desc text tspan g rect line circle ellipse path polyline polygon defs clipPath linearGradient stop marker".split()  # noqa: SIM905
)
"""Elements of SVG that draw, and do nothing else."""

LONGEST = 10_000_000
"""Characters of a picture."""


def only_draws(svg: str) -> bool:
    """Whether a picture runs no script, loads nothing and leads nowhere, so that a browser may open it."""
    if len(svg) > LONGEST or "<!" in svg or "<?" in svg:
        return False
    try:
        elements = list(ElementTree.fromstring(svg).iter())
    except (ElementTree.ParseError, ValueError, RecursionError):
        return False
    return all(
        str(element.tag).rpartition("}")[2] in DRAWN
        and not any(_does_more(name.rpartition("}")[2], value) for name, value in element.attrib.items())
        for element in elements
    )


def _does_more(name: str, value: str) -> bool:
    return name.lower().startswith("on") or name == "href" or "url(" in value.lower().replace("url(#", "")
