"""How often Python looks for garbage."""

import gc


def look_seldom() -> None:
    """Look for cycles among 100,000 new objects at a time; at Python's 700, looking takes a third of the time that rows take to make
    and a tenth of that of importing torch, and finds next to nothing."""
    gc.set_threshold(100_000, 20, 20)
