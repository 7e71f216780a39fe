"""Amounts in words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and what it counts, which takes an s unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in the unit that fits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def megabytes(number: int) -> str:
    """Bytes in units of a million."""
    return f"{number / 1e6:,.1f} MB"
