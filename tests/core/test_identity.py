"""Which of our actions, strategies and hooks an edit of our sources concerns."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import aya_core
import aya_kernels
import aya_plugins
import aya_recipe
from aya_core.contract.identity import SEALS, Code
from aya_core.planning.registry import Registry

PACKAGES = [Path(package.__file__).parent for package in (aya_core, aya_plugins, aya_recipe, aya_kernels)]


@pytest.fixture(scope="module")
def roots():
    """All that decides results: functions and classes with their versions, by label."""
    registry = Registry()
    found = {f"action {name}": (action.run, action.version) for name, action in registry.actions.items()}
    for kind, strategies in registry.strategies.items():
        found.update({f"{kind} {name}": (one, one.version) for name, one in strategies.items() if kind != "tracker"})
    for hook in ("aya_merge_engine", "aya_optimizer"):
        (implementation,) = getattr(registry.manager.hook, hook).get_hookimpls()
        found[f"{hook} of {implementation.plugin_name}"] = (implementation.function, 1)
    return found


def identities(roots, folders=()):
    code = Code(folders)
    return {label: code.identity(label, root, version=version) for label, (root, version) in roots.items()}


@pytest.fixture
def copy(tmp_path):
    """A copy of our packages, to be edited."""
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / "copy" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def python_files(copy, *patterns):
    found = [path for pattern in patterns for path in sorted(copy.glob(pattern)) if path.suffix == ".py"]
    assert found, patterns
    return found


def rewrite(path):
    """Change every function of a file, and what the module does when it is imported."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [*node.body[:1], ast.parse("assert 'edited'").body[0], *node.body[1:]]
    path.write_text(ast.unparse(ast.fix_missing_locations(tree)))


def test_every_version_is_sealed(roots):
    changed = {label for label, identity in identities(roots).items() if "+" in identity}
    assert not changed, "run `make docs`; where results change, raise `version` first"


def test_comments_docstrings_formatting_and_the_place_do_not_count(roots, copy):
    for path in python_files(copy, "**/*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body[0].value.value = "Other words."
        path.write_text(f"# A comment.\n{ast.unparse(tree)}\n")
    assert identities(roots, [copy]) == identities(roots)


NOTHING_DECIDED = {
    "report": ["aya_recipe/report/**/*.py"],
    "command line": ["aya_core/cli/**/*.py", "aya_core/__main__.py"],
    "trackers": ["aya_core/running/tracking.py", "aya_plugins/trackers/**/*.py"],
    "conformance kit": ["aya_core/testing/**/*.py"],
    "recipes and the registry": [f"aya_core/planning/{name}.py" for name in ("recipe", "schema", "registry", "yaml12")],
    "runner": [f"aya_core/running/{name}.py" for name in ("run_folder", "inventory", "pool", "runner", "worker")],
    "identities": ["aya_core/contract/identity.py", "aya_core/contract/source_code.py"],
}  # fmt: skip


@pytest.mark.parametrize("what", NOTHING_DECIDED)
def test_code_that_decides_no_result_concerns_nobody(roots, copy, what):
    for path in python_files(copy, *NOTHING_DECIDED[what]):
        rewrite(path)
    assert identities(roots, [copy]) == identities(roots)


CONCERNED = [
    ("aya_plugins/evaluators/win_rate.py", {"evaluator win-rate"}, set()),
    ("aya_plugins/objectives/dpo.py", {"objective dpo"}, set()),
    ("aya_plugins/arbiters/length.py", {"arbiter length"}, set()),
    ("aya_plugins/teachers/runtime/openai.py", {"teacher openai"}, set()),
    ("aya_recipe/arbitrage/picking.py", {"action pick-best", "action pick-pairs", "action pick-groups"}, set()),
    ("aya_recipe/train/launched.py", {"action train"}, set()),
    ("aya_plugins/comet/worker.py", {"evaluator flores"}, set()),
    (
        "aya_kernels/draws/stream.py",
        {"merge dare-linear", "merge dare-ties", "merge della"},
        {"merge weighted", "action merge", "teacher openai", "objective dpo"},
    ),
    (
        "aya_kernels/token_logps/chunked.py",
        {"trainer sft", "trainer preference", "teacher transformers", "arbiter likelihood"},
        {"merge weighted", "merge ties", "action train", "objective dpo", "evaluator win-rate", "arbiter length"},
    ),
    (
        "aya_kernels/weighted_sum/blocked.py",
        {"merge weighted"},
        {"trainer sft", "merge nearswap", "action merge", "teacher transformers"},
    ),
]


@pytest.mark.parametrize(("file", "concerned", "others"), CONCERNED, ids=[file for file, *_ in CONCERNED])
def test_code_that_decides_results_concerns_what_uses_it(roots, copy, file, concerned, others):
    """Where no others are named, nothing else is concerned."""
    rewrite(copy / file)
    before, after = identities(roots), identities(roots, [copy])
    changed = {label for label in before if before[label] != after[label]}
    assert concerned <= changed
    assert not changed & others
    if not others:
        assert changed == concerned


def test_a_named_file_that_is_no_source_counts(roots, copy):
    with (copy / "aya_plugins" / "comet" / "constraints.txt").open("a") as file:
        file.write("another==1\n")
    before, after = identities(roots), identities(roots, [copy])
    assert {label for label in before if before[label] != after[label]} == {"evaluator flores"}


TELL = """
from aya_core.planning.registry import Registry
registry = Registry()
strategies = registry.strategies
for root in (registry.actions["train"].run, strategies["trainer"]["sft"], strategies["merge"]["ties"]):
    print(root.__name__, registry.code.reached(root).code)
import aya_core
print(aya_core.__file__)
"""


@pytest.mark.parametrize("how", ["sources", "symbolic links", "installed"])
def test_the_same_source_gives_the_same_identity_however_it_was_installed(copy, tmp_path, how):
    place = copy
    if how == "symbolic links":
        place = tmp_path / "links"
        place.mkdir()
        for package in copy.iterdir():
            (place / package.name).symlink_to(package)
    if how == "installed":
        install(copy)
    command = [sys.executable, "-P", "-c", TELL]
    output = subprocess.run(
        command, env={"PYTHONPATH": str(place), "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert output.returncode == 0, output.stderr
    *codes, where = output.stdout.splitlines()
    assert where.startswith(str(place))
    registry = Registry()
    found = (registry.actions["train"].run, registry.find("trainer", "sft"), registry.find("merge", "ties"))
    assert codes == [f"{root.__name__} {registry.code.reached(root).code}" for root in found]


def install(folder):
    """Make a folder of packages look as an installer leaves it, with the entry points of our own distribution."""
    metadata = folder / "aya_core-9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: aya-core\nVersion: 9\n")
    points = "\n".join(f"aya-{kind}s = aya_plugins.{kind}s" for kind in ("trainer", "merge"))
    points += "\naya-recipe = aya_recipe"
    (metadata / "entry_points.txt").write_text(f"[aya]\n{points}\n")
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_a_library_of_others_does_not_count_and_one_that_offers_plugins_does(tmp_path, monkeypatch):
    for name in ("alien", "offering"):
        (tmp_path / f"{name}_lib.py").write_text("def f(): return 1\n")
        metadata = tmp_path / f"{name}-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (metadata / "RECORD").write_text(f"{name}_lib.py,,\n")
    (tmp_path / "offering-1.dist-info" / "entry_points.txt").write_text("[aya]\noffering = offering_lib\n")
    plugin = tmp_path / "recipe" / "my_plugin.py"
    plugin.parent.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def reached(library):
        plugin.write_text(f"from {library} import f\n\ndef root(): return f()\n")
        code = Code(last=[plugin.parent])
        return {key.module for key in code._reach(code._whole(code._load("my_plugin"), "my_plugin")).keys}

    assert reached("alien_lib") == {"my_plugin"}
    assert reached("offering_lib") == {"my_plugin", "offering_lib"}


def test_a_strategy_counts_that_a_plugin_takes_from_a_library_of_others(tmp_path, monkeypatch):
    (tmp_path / "alien-1.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    root = SimpleNamespace(__module__="alien_lib", __qualname__="f")

    def identity(source):
        (tmp_path / "alien_lib.py").write_text(source)
        return Code().identity("arbiter alien", root)

    assert identity("def f(): return 1\n") != identity("def f(): return 2\n")


def test_seals_stand_in_every_package_that_offers_what_decides_results():
    assert [package.name for package in PACKAGES if (package / SEALS).is_file()] == [
        "aya_core",
        "aya_plugins",
        "aya_recipe",
    ]
