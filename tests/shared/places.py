"""Where the project lies, and the recipes and plugins that tests of several folders run."""

from pathlib import Path

SHARED = Path(__file__).parent
ROOT = SHARED.parent.parent
