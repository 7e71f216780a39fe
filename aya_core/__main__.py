"""`python -m aya_core` is `aya`."""

from aya_core.cli import main

main()
