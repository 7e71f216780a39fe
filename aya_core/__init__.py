"""The contract of Aya Core and the order of the recipe.

Read `api.py` first (all that a plugin author imports), then `hookspecs.py` (what a plugin can offer).
"""

__version__ = "0.1.0"
"""The version of the distribution aya-core."""
