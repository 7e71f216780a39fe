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
check(token_logps._logit_gradient_kernel, head | gradient, floats, tile)
blocks = {"BLOCK_ROWS": token_logps._BLOCK_TOKENS, "BLOCK_COLUMNS": token_logps._BLOCK_VOCAB,
          "BLOCK_K": token_logps._BLOCK_K}
product = {"left": "*fp32", "right": "*bf16", "total": "*fp32"}
check(token_logps._product_kernel, product, [], blocks | {"CONTINUES": True, "PRECISION": "tf32"})
check(weighted_sum._weighted_sum_kernel, {"total": "*fp32", "out": "*bf16"}, [],
      {"CONTINUES": True, "BLOCK": weighted_sum._BLOCK}, inputs=("*bf16", "*fp32"), weights=("fp32", "fp32"))
"""


def test_every_kernel_compiles_for_hopper(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(
        [sys.executable, "-c", COMPILE_ALL], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
