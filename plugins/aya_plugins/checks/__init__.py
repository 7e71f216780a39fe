"""Checks of an answer against what is known to be right, for the verifier arbiter and the verifier evaluator.

A check is a function of the answer and its prompt that returns a score, higher is better. A recipe names one of NAMED
(for each row, if it likes), writes an expression, or names a function of its own as `module:function`.
"""

from __future__ import annotations

from aya_plugins.checks.named import NAMED
from aya_plugins.checks.options import Check, Checking, CheckOptions

__all__ = ["NAMED", "Check", "CheckOptions", "Checking"]
