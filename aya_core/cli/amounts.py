"""Amounts in words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and what it counts, which takes an s unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
