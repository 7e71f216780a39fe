"""Templates of a benchmark of one's own, in the language of Jinja: `{{ question }} Answer:`. They run in a sandbox, and guess nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from aya_core.api import DataError
from aya_plugins.benchmarks.tables import Row

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_printed)


def _printed(value: Any) -> Any:
    """Return what a template prints. Raises ValueError for nothing, and for what is no number: Jinja would write None, or nan."""
    if value is None or value != value:
        raise ValueError(f"what it prints is {'null' if value is None else 'not a number (NaN)'}")
    return value


def check_template(text: str) -> str:
    """Return a template as it is. Raises ValueError for one that is not in the language; where Jinja is absent, the run says so."""
    try:
        import jinja2
    except ImportError:
        return text
    try:
        _environment().parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(
            f"not a template (line {error.lineno}: {error.message}); expected text with {{{{ column }}}}"
        ) from None
    return text


Template = Annotated[str, AfterValidator(check_template)]
"""The type of a setting that is a template."""


def template(text: str, setting: str) -> Callable[[Row], str]:
    """Make the function that fills a template from a row's columns and its `language`. setting: its name, for messages.

    The function raises DataError with the row's place for a column that is missing and for anything that goes wrong.
    """
    import jinja2

    made = _environment().from_string(text)

    def fill(row: Row) -> str:
        try:
            return made.render({**row.values, "language": row.language})
        except jinja2.UndefinedError as error:
            raise DataError(f"{row.place}: {setting}: {error}; columns found: {_names(row.values)}") from None
        except Exception as error:  # whatever an expression of the user's does
            raise DataError(
                f"{row.place}: {setting}: {type(error).__name__}: {error}; mend the template or the row"
            ) from None

    return fill


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(map(str, values))
