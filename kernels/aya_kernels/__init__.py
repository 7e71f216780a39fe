"""Fast exact operations for training, scoring and merging language models.

`token_logps` gives the log-probability of chosen tokens without ever holding (tokens x vocabulary) logits.
`weighted_sum` gives a weighted sum of tensors in one pass, rounded once.
`merge_task_vectors` trims what models changed in a base, lets it elect signs, and adds it, in one pass.
`draws` gives random words that do not depend on how work is cut.
`gram` gives the inner products of all pairs of tensors.
`census` and `kth_magnitude` find a k-th largest magnitude by selection, in pieces or at once.

Each op is a folder: its `__init__.py` is the public function, `reference.py` defines the result in plain
torch, and `kernel.py` computes it with Triton. `shared` holds what several ops use. Importing this package
imports torch; Triton starts with the first op that uses it.

The Triton kernels have so far been run in Triton's interpreter only, not on a GPU: their values and gradients
are tested, their speed on hardware is not measured.
"""

from aya_kernels.census import census
from aya_kernels.draws import draws
from aya_kernels.gram import gram
from aya_kernels.kth_magnitude import kth_magnitude
from aya_kernels.merge_task_vectors import Keep, merge_task_vectors
from aya_kernels.token_logps import token_logps
from aya_kernels.weighted_sum import weighted_sum

__all__ = [
    "Keep",
    "census",
    "draws",
    "gram",
    "kth_magnitude",
    "merge_task_vectors",
    "token_logps",
    "weighted_sum",
]
