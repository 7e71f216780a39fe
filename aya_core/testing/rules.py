"""How a broken rule of the contract is reported."""

from __future__ import annotations


def expect(holds: bool, who: object, rule: str) -> None:
    """Raise AssertionError with the name of whose rule it is, unless the rule holds."""
    if not holds:
        name = who if isinstance(who, str) else type(who).__name__
        raise AssertionError(f"{name}: {rule}")
