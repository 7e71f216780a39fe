"""What commands print: names, texts of models and words of servers are text, never markup, and nothing in them reaches the terminal
as a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style

from aya_core.contract.visible import visible


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line. err: to standard error."""
    click.echo(visible(text), err=err)


class TextConsole(Console):
    """A rich console for which a string is text. Styles are given beside it: `style=`, or a `rich.text.Text`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Any:
        """Make a text of a string, before its width is measured."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is to be written, with no command in it but those of rich itself, and no link."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), _without_link(segment.style))


def _without_link(style: Style | None) -> Style | None:
    return style.update_link(None) if style is not None and style.link else style
