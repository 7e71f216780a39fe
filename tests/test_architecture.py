"""The arrows of the house: kernels <- plugins -> core, and inside core each file imports only earlier ones."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from places import ROOT

from aya_core.cli import COMMANDS
from aya_core.planning.reading import ACTIONS
from aya_core.planning.registry import Registry

CORE = ROOT / "aya_core"
PLUGINS = ROOT / "plugins" / "aya_plugins"
RECIPE = ROOT / "plugins" / "aya_recipe"
KERNELS = ROOT / "kernels" / "aya_kernels"
PLUGIN_PACKAGES = sorted(path.parent for path in (ROOT / "plugins").glob("*/__init__.py"))

CONTRACT = (
    "errors", "trouble", "processes", "visible", "json_text", "explain", "reasons", "texts",
    "records", "id_set", "durable", "locks", "journal",
    "hashes", "artifacts", "source_code",
    "identity", "languages", "compressed", "lines", "saved_folders",
    "surroundings",
    "strategies", "requests", "merge_parameters", "merges", "metrics", "kinds", "checked", "commands", "reports", "stage", "words",
)  # fmt: skip
RUNNING = (
    "garbage", "work", "asking", "changes", "worker", "record", "reporting", "run_folder", "tracking", "inventory", "pool", "machine",
    "runner", "unfinished", "upkeep",
)  # fmt: skip
ORDER = [
    *(f"aya_core.contract.{name}" for name in CONTRACT),
    "aya_core.hookspecs",
    *(f"aya_core.planning.{name}" for name in ("yaml12", "printing", "reading", "registry", "recipe", "schema", "hub", "plan")),
    *(f"aya_core.running.{name}" for name in RUNNING),
    "aya_core.cli", "aya_core.api", "aya_core.testing", "aya_core.__main__",
]  # fmt: skip
"""A file of the core imports only earlier ones."""

TYPED_WITH_LATER = ("aya_core.contract.stage", "aya_core.planning.reading")
"""Name what a stage and an action are handed, which stands later, in their types, and only there."""

TYPED_WITH_TENSORS = ("kinds.py", "merges.py")
"""Contracts that name torch's tensors in their types, and only there."""

LOADED = """
import sys
from aya_core.planning.registry import Registry
registry = Registry()
registry.strategies, registry.actions
print(*sys.modules)
"""

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


def import_graph(package):
    """The modules of a package by the modules of it that each imports, inside functions and for types included."""
    files_of = {}
    for path in files(package):
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        files_of[name.removesuffix(".__init__")] = path
    graph = {}
    for name, path in files_of.items():
        found = {_longest_known(module, files_of) for module in imports_of(path)}
        graph[name] = found - {name, None}
    return graph


def _longest_known(module, known):
    """The module that an import means: `package.module.name` is a name in `package.module`."""
    while module and module not in known:
        module = module.rpartition(".")[0]
    return module or None


def folder_graph(graph):
    """The same between folders: a module counts as the folder that it lies in."""
    folders = {name.rpartition(".")[0] for name in graph}
    where = {name: name if name in folders else name.rpartition(".")[0] for name in graph}
    arrows = {folder: set() for folder in where.values()}
    for name, targets in graph.items():
        arrows[where[name]] |= {where[target] for target in targets} - {where[name]}
    return arrows


def circle(graph):
    """Some circle of a graph, as the nodes along it, or None."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return None


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
        assert not [m for m in imports_of(path) if m.startswith(("aya_core", "aya_recipe", "aya_plugins"))], path


def test_plugins_import_only_the_api_of_core():
    for path in (*files(PLUGINS), *files(RECIPE)):
        for module in imports_of(path):
            assert not module.startswith("aya_core") or module.startswith("aya_core.api."), f"{path}: {module}"


def test_the_recipe_and_the_strategies_meet_in_the_registry_alone():
    for folder, other in ((PLUGINS, "aya_recipe"), (RECIPE, ("aya_plugins", "aya_kernels"))):
        for path in files(folder):
            assert not [m for m in imports_of(path) if m.startswith(other)], path


def test_a_circle_of_imports_is_found_wherever_the_imports_stand(tmp_path):
    package = tmp_path / "loop"
    (package / "heavy").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "heavy" / "__init__.py").write_text("")
    (package / "settings.py").write_text("def build():\n    from loop.heavy.engine import Engine\n")
    engine = package / "heavy" / "engine.py"
    engine.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from loop.settings import build\n")
    assert set(circle(import_graph(package))) == {"loop.settings", "loop.heavy.engine"}
    engine.write_text("from loop.words import WORDS\n")
    (package / "words.py").write_text("WORDS = ()\n")
    assert circle(import_graph(package)) is None
    assert set(circle(folder_graph(import_graph(package)))) == {"loop", "loop.heavy"}


@pytest.mark.parametrize("package", [*PLUGIN_PACKAGES, KERNELS], ids=lambda path: path.name)
def test_inside_plugins_and_kernels_no_imports_go_in_a_circle(package):
    """Neither between modules nor between folders.

    What a strategy builds, in `runtime`, is given values, not the strategy. What ops have in common lies below them, in `shared`.
    """
    graph = import_graph(package)
    assert circle(graph) is None
    assert circle(folder_graph(graph)) is None


def test_writers_of_reports_know_no_stage():
    for path in files(RECIPE / "report"):
        own = [module for module in imports_of(path) if module.startswith("aya_recipe.")]
        assert not [module for module in own if not module.startswith("aya_recipe.report.")], path


def test_core_knows_no_plugin_and_no_kernel():
    for path in files(CORE):
        assert not [m for m in imports_of(path) if m.startswith(("aya_recipe", "aya_plugins", "aya_kernels"))], path


def test_inside_core_each_file_imports_only_earlier_ones():
    for path in files(CORE):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name in ("aya_core", "aya_core.contract", "aya_core.planning", "aya_core.running"):
            continue
        assert rank(name) >= 0, f"{name} has no place in the order"
        for module in imports_of(path, top_level_only=name in TYPED_WITH_LATER):
            if module.startswith("aya_core.") and module != "aya_core.__version__":
                assert rank(module) <= rank(name), f"{name} imports {module}, which comes later"


@pytest.mark.parametrize("folder", [CORE, PLUGINS, RECIPE], ids=["core", "plugins", "recipe"])
def test_modules_that_are_always_imported_import_nothing_heavy(folder):
    """Of the plugins these are the modules that hold strategy classes: what the entry points bring in."""
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED],
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


EVERYDAY = frozenset(
    (
        *(
            "all",
            "data",
            "expanse",
            "export",
            "fixed",
            "guard",
            "hinge",
            "hub",
            "include",
            "judge",
            "keep",
            "language",
            "learned",
        ),
        *(
            "length",
            "likelihood",
            "merge",
            "online",
            "preference",
            "random",
            "recorded",
            "reply",
            "request",
            "reward",
            "robust",
        ),
        *("route", "router", "sample", "search", "select", "single", "text", "ties", "train", "verifier", "weighted"),
        *("arbitrage", "arbitrate", "compare", "consensus", "ensemble", "evaluate", "micro"),
        *("csv", "jsonl", "parquet", "transformers", "mergekit"),
    )
)
"""Names that are words of English or of the field, file formats, or libraries: most of their uses name no plugin's strategy."""

OWN_WORDS = frozenset(
    (
        *("merge", "router"),  # kinds of strategy
        *("judge", "route", "train", "evaluate"),  # what the Protocols of kinds have as methods
        *("language", "text"),  # columns of rows, and how a model is prompted
        *("length", "recorded"),  # why an answer ended
        "data",  # what a section of a report holds
        "sample",  # how the kit calls what it tries
    )
)
"""Words in quotes that mean something of the core's own."""


def names_of_plugins():
    """What the bundled plugins offer, and the actions of their stages; not what the core has too."""
    registry = Registry()
    offered = {name for names in registry.offers.values() for name in names}
    return (offered | set(registry.actions)) - set(ACTIONS) - set(COMMANDS)


def naming(text, names):
    """The names that a source of the core uses.

    A name that is no everyday word counts wherever it stands: in code, strings, docstrings and comments. An everyday word counts where
    it is a name: alone in quotes or backticks, unless the core means something of its own by it, after `use:` or `do:`, and before
    the result of a stage, as in arbitrage.pairs. A package of a plugin counts anywhere.
    """
    words = set(re.findall(r"(?<![\w-])[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?![\w-])", text))
    quoted = set(re.findall(r"""(?P<quote>["'`])(?P<name>[a-z][a-z0-9-]*)(?P=quote)""", text))
    used = set(re.findall(r"""\b(?:use|do)["']?: ?["']?([a-z][a-z0-9-]*)""", text))
    results = set(re.findall(r"\b(arbitrage|online|search)\.[a-z]", text))
    found = (words & names) - EVERYDAY
    found |= {name for _, name in quoted if name in names} - OWN_WORDS
    found |= (used | results) & names
    return found | set(re.findall(r"aya_(?:plugins|recipe|kernels)\b", text))


def test_core_names_nothing_that_a_plugin_offers():
    """Neither in code nor in docstrings, messages, defaults or YAML: whatever is blocked or added, the core need not know."""
    names = names_of_plugins()
    for path in sorted(file for file in CORE.rglob("*") if file.suffix in (".py", ".yaml", ".yml", ".json")):
        assert naming(path.read_text(encoding="utf-8"), names) == set(), path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# as slerp does", {"slerp"}),
        ("teacher = {'use': 'transformers'}", {"transformers"}),
        ("import transformers, csv", set()),
        ('"""Picks rows, as `pick-best` does."""', {"pick-best"}),
        ('DEFAULT = "micro"', {"micro"}),
        ("what all of them have in common, at random", set()),
        ("routers: `all`, {use: random}", {"all", "random"}),
        ("do: train", {"train"}),
        ('KINDS = {"merge": "aya_merges"}', set()),
        ("rows such as arbitrage.pairs", {"arbitrage"}),
        ("path: aya_plugins.datasets", {"aya_plugins"}),
    ],
)
def test_naming_is_told_from_speaking(text, found):
    assert naming(text, names_of_plugins()) == found


def test_all_that_commands_print_goes_through_what_lets_no_escape_sequence_pass():
    """Names, texts of models and words of servers are text: see `aya_core.cli.terminal`."""
    here = {CORE / "cli" / "terminal.py", CORE / "cli" / "__init__.py"}
    printing = re.compile(r"\bclick\.echo\(|(?<![A-Za-z])Console\(|\bConsole as\b|rich\.markup|\brich\.print")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in (CORE, *PLUGIN_PACKAGES)
        for path in files(package)
        if path not in here
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if printing.search(line)
    ]
    assert found == [], "expected say() or TextConsole() of aya_core.api"
