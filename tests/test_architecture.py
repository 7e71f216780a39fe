"""The arrows of the house: kernels <- plugins -> core, and inside core each file imports only earlier ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "aya_core"
PLUGINS = ROOT / "plugins" / "aya_plugins"
KERNELS = ROOT / "kernels" / "aya_kernels"

ORDER = [
    "aya_core.errors", "aya_core.explain", "aya_core.records", "aya_core.seen", "aya_core.near_duplicates", "aya_core.artifacts",
    "aya_core.drawing", "aya_core.caps", "aya_core.strategies", "aya_core.requests",
    "aya_core.kinds", "aya_core.varying", "aya_core.merges",
    "aya_core.optimisers", "aya_core.hookspecs", "aya_core.languages", "aya_core.lines", "aya_core.verdicts", "aya_core.api",
    "aya_core.testing", "aya_core.yaml12", "aya_core.garbage",
    "aya_core.passages", "aya_core.statistics", "aya_core.bootstrap", "aya_core.winrates", "aya_core.merge_config",
    "aya_core.registry", "aya_core.searched", "aya_core.guards",
    "aya_core.stage_settings", "aya_core.recipe",
    "aya_core.schema", "aya_core.plan", "aya_core.stages", "aya_core.launched", "aya_core.worker", "aya_core.tracking", "aya_core.runner",
    "aya_core.report", "aya_core.cli", "aya_core.__main__",
]  # fmt: skip
TYPED_WITH_TENSORS = ("kinds.py", "merges.py")
"""Contracts that name torch's tensors in their types, and only there."""

HEAVY = {
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "safetensors",
    "triton",
    "vllm",
    "mergekit",
    "datasets",
    "pandas",
    "cma",
}


def imports_of(path, *, top_level_only=False):
    """Every module that a file imports, as dotted names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    if top_level_only:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node):
                skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def files(folder):
    return sorted(folder.rglob("*.py"))


def rank(module):
    """Where a core module stands in the order; sub-packages count as one."""
    for index, name in enumerate(ORDER):
        if module == name or module.startswith(name + "."):
            return index
    return -1


def test_kernels_import_neither_plugins_nor_core():
    for path in files(KERNELS):
        assert not [m for m in imports_of(path) if m.startswith(("aya_core", "aya_plugins"))], path


def test_plugins_import_only_the_api_of_core():
    for path in files(PLUGINS):
        for module in imports_of(path):
            assert not module.startswith("aya_core") or module.startswith("aya_core.api."), f"{path}: {module}"


def test_core_knows_no_plugin_and_no_kernel():
    for path in files(CORE):
        assert not [m for m in imports_of(path) if m.startswith(("aya_plugins", "aya_kernels"))], path


def test_inside_core_each_file_imports_only_earlier_ones():
    for path in files(CORE):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name == "aya_core":
            continue
        assert rank(name) >= 0, f"{name} has no place in the order"
        for module in imports_of(path):
            if module.startswith("aya_core.") and module != "aya_core.__version__":
                assert rank(module) <= rank(name), f"{name} imports {module}, which comes later"


@pytest.mark.parametrize("folder", [CORE, PLUGINS], ids=["core", "plugins"])
def test_modules_that_are_always_imported_import_nothing_heavy(folder):
    """Of the plugins these are the modules that hold strategy classes: what the entry points bring in."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys; from aya_core.registry import Registry; Registry().strategies; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not HEAVY & {module.split(".")[0] for module in loaded}
    for path in files(folder):
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        if name in loaded:
            assert not [m for m in imports_of(path, top_level_only=True) if m.split(".")[0] in HEAVY], path


def test_core_never_imports_torch():
    """Not even inside functions; `testing` makes tiny models and is the one exception."""
    for path in files(CORE):
        if "testing" not in path.parts:
            modules = {m.split(".")[0] for m in imports_of(path, top_level_only=path.name in TYPED_WITH_TENSORS)}
            assert not modules & (HEAVY - {"numpy"}), path
