"""Every Triton kernel compiles for a GPU, with none present: the interpreter runs code that would not."""

import os
import subprocess
import sys
from pathlib import Path

# In a child process, because the interpreter, once on, replaces the compiler.
COMPILE_ALL = """
import importlib

from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

census = importlib.import_module("aya_kernels.census.kernel")
draws = importlib.import_module("aya_kernels.draws.kernel")
gram = importlib.import_module("aya_kernels.gram.kernel")
kth_magnitude = importlib.import_module("aya_kernels.kth_magnitude.kernel")
merge_task_vectors = importlib.import_module("aya_kernels.merge_task_vectors.kernel")
token_logps = importlib.import_module("aya_kernels.token_logps.kernel")
weighted_sum = importlib.import_module("aya_kernels.weighted_sum.kernel")


def check(kernel, pointers, floats, constants, **special):
    types = {name: "i32" for name in kernel.arg_names} | pointers | special
    types |= {name: "fp32" for name in floats} | {name: "constexpr" for name in constants}
    constexprs = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, types, constexprs=constexprs)
    compiled = compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert compiled.metadata.shared <= 227 * 1024, (kernel.__name__, compiled.metadata.shared)


head = {"hidden": "*bf16", "weight": "*bf16", "bias": "*bf16", "targets": "*i64"}
floats = ["scale", "softcap", "temperature"]
tile = {"HAS_BIAS": True, "HAS_SOFTCAP": True, "PRECISION": "ieee", "BLOCK_TOKENS": token_logps._BLOCK_TOKENS,
        "BLOCK_VOCAB": token_logps._BLOCK_VOCAB, "BLOCK_DIM": token_logps._BLOCK_DIM}
softmax = {name: "*fp32" for name in ("tops", "masses", "heats", "target_logits")}
check(token_logps._softmax_kernel, head | softmax, floats, tile | {"HAS_ENTROPY": True, "BLOCKS": 16})
gradient = {name: "*fp32" for name in ("top_logits", "log_masses", "factors", "out")}
check(token_logps._logit_gradient_kernel, head | gradient | {"live": "*i8"}, [*floats, "negligible"], tile)
blocks = {"BLOCK_ROWS": token_logps._BLOCK_TOKENS, "BLOCK_COLUMNS": token_logps._BLOCK_VOCAB,
          "BLOCK_K": token_logps._BLOCK_K}
product = {"left": "*fp32", "right": "*bf16", "total": "*fp32", "live": "*i8"}
live = {"LIVE_ROWS": token_logps._BLOCK_VOCAB, "LIVE_K": token_logps._BLOCK_TOKENS}
check(token_logps._product_kernel, product, [], blocks | live | {"CONTINUES": True, "PRECISION": "tf32"})
check(weighted_sum._weighted_sum_kernel, {"total": "*fp32", "out": "*bf16"}, [],
      {"CONTINUES": True, "BLOCK": weighted_sum._BLOCK}, inputs=("*bf16", "*fp32"), weights=("fp32", "fp32"))
check(draws._draws_kernel, {"key": "*i64", "start": "*i64", "out": "*i64"}, [], {"BLOCK": draws._BLOCK})
models = {name: ("*fp32", "*fp32") for name in ("tensors", "masks")}
numbers = {name: ("fp32", "fp32") for name in ("weights", "lows", "highs", "scales")}
for elects in (True, False):
    check(merge_task_vectors._merge_kernel, {"base": "*fp32", "streams": "*i64", "out": "*fp32"}, ["factor"],
          {"DRAWS": 2, "MASKED": 1, "ELECTS": elects, "WEIGH_VOTES": True, "NORMALIZE": True,
           "BLOCK": merge_task_vectors._BLOCK}, **models, **numbers)
check(gram._gram_kernel, {"base": "*fp32", "out": "*fp64"}, [], {"HAS_BASE": True, "BLOCK": gram._BLOCK},
      tensors=("*fp32", "*fp32"))
picked = {"tensor": "*fp32", "base": "*fp32"}
shape = {"HAS_BASE": True, "BLOCK": census._BLOCK}
check(census._count_kernel, picked | {"counts": "*i64"}, ["low", "high"], shape)
check(census._write_kernel, picked | {"ends": "*i64", "out": "*fp32"}, ["low", "high"], shape)
check(kth_magnitude._histogram_kernel, {"tensor": "*fp32", "counts": "*i64"}, [],
      {"LOWER": True, "BLOCK": kth_magnitude._BLOCK})
"""


def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(
        [sys.executable, "-c", COMPILE_ALL], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
