"""Fast exact operations for training, scoring and merging language models.

`token_logps` gives the log-probability of chosen tokens without ever holding (tokens x vocabulary) logits.
`weighted_sum` gives a weighted sum of tensors in one pass, rounded once.

Each op is a folder: its `__init__.py` is the public function, `reference.py` defines the result in plain
torch, and `kernel.py` computes it with Triton. Importing this package imports torch; Triton starts with the
first op that uses it.

The Triton kernels have so far been run in Triton's interpreter only, not on a GPU: their values and gradients
are tested, their speed on hardware is not measured.
"""

from aya_kernels.token_logps import token_logps
from aya_kernels.weighted_sum import weighted_sum

__all__ = ["token_logps", "weighted_sum"]
