"""What a definition says and refers to, in packages of a few lines."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from aya_core.contract.errors import PluginError
from aya_core.contract.identity import Code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write the files of a package `mine`; returns a function that names the code of `mine.main:root`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(files):
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def identity(**changes):
        write({f"{name}.py": text for name, text in changes.items()})
        return named(tmp_path, "mine.main", "root")

    identity.write = write
    identity.folder = tmp_path / "mine"
    return identity


def named(folder, module, name):
    return Code([folder]).identity("action root", SimpleNamespace(__module__=module, __qualname__=name))


SAME = {
    "a comment": ("def root(x):\n    return x", "def root(x):  # why\n    return x"),
    "a docstring": ("def root(x):\n    return x", 'def root(x):\n    """Say."""\n    return x'),
    "a docstring of an attribute": ("class root:\n    x = 1", 'class root:\n    x = 1\n    """Its use."""'),
    "formatting": ("def root(x): return [x,\n 1]", "def root(x):\n    return [x, 1]"),
    "annotations": ("def root(x): return x", "def root(x: int) -> int: return x"),
    "another definition": ("def root(): return 1", "def other(): return 2\n\ndef root(): return 1"),
    "an import that is not used": ("def root(): return 1", "import json\n\ndef root(): return 1"),
    "a description": (
        "class root:\n    x: int = Field(1, description='a')",
        "class root:\n    x: int = Field(1, description='b')",
    ),
    "a local variable of another function's name": (
        "def other(): return 1\n\ndef root(other): return other",
        "def other(): return 2\n\ndef root(other): return other",
    ),
    "a variable of a comprehension": (
        "def x(): return 1\n\ndef root(y): return [x for x in y]",
        "def x(): return 2\n\ndef root(y): return [x for x in y]",
    ),
    "what is for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef root(): return 1",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\ndef root(): return 1",
    ),
}

OTHER = {
    "a constant": ("def root(): return 1", "def root(): return 2"),
    "a kind of number": ("def root(): return 1", "def root(): return 1.0"),
    "a default": ("def root(x=1): return x", "def root(x=2): return x"),
    "a decorator": ("def d(f): return f\ndef root(): return 1", "def d(f): return f\n@d\ndef root(): return 1"),
    "a function that it calls": (
        "def other(): return 1\n\ndef root(): return other()",
        "def other(): return 2\n\ndef root(): return other()",
    ),
    "a function called in a method": (
        "def other(): return 1\nclass root:\n    other = 3\n    def f(self): return other()",
        "def other(): return 2\nclass root:\n    other = 3\n    def f(self): return other()",
    ),
    "a base": (
        "class base: x = 1\nclass root(base): pass",
        "class base: x = 2\nclass root(base): pass",
    ),
    "another library under the same name": (
        "from json import dumps\ndef root(): return dumps(1)",
        "from marshal import dumps\ndef root(): return dumps(1)",
    ),
    "two names exchanged": (
        "from json import dump, dumps\ndef root(): return dump(1), dumps(1)",
        "from json import dump as dumps, dumps as dump\ndef root(): return dump(1), dumps(1)",
    ),
    "what the module does when it is imported": (
        "x = {}\nx['a'] = 1\ndef root(): return x",
        "x = {}\nx['a'] = 2\ndef root(): return x",
    ),
    "what is bound under try": (
        "try:\n    y = 1\nexcept OSError:\n    y = 2\ndef root(): return y",
        "try:\n    y = 1\nexcept OSError:\n    y = 3\ndef root(): return y",
    ),
    "what a function is handed": (
        "class Job:\n    def f(self): return 1\ndef root(job: Job): return job.f()",
        "class Job:\n    def f(self): return 2\ndef root(job: Job): return job.f()",
    ),
    "settings inside settings": (
        "from pydantic import BaseModel\nclass Inner(BaseModel):\n    def f(self): return 1\nclass root(BaseModel):\n    inner: Inner",
        "from pydantic import BaseModel\nclass Inner(BaseModel):\n    def f(self): return 2\nclass root(BaseModel):\n    inner: Inner",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_decides_no_result_does_not_count(package, case):
    before, after = SAME[case]
    assert package(main=before) == package(main=after)


@pytest.mark.parametrize("case", OTHER)
def test_what_decides_a_result_counts(package, case):
    before, after = OTHER[case]
    assert package(main=before) != package(main=after)


ROADS = {
    "by name": "from mine.other import f\ndef root(): return f()",
    "by another name": "from mine.other import f as g\ndef root(): return g()",
    "through its module": "import mine.other\ndef root(): return mine.other.f()",
    "through its module by another name": "from mine import other as o\ndef root(): return o.f()",
    "relatively": "from .other import f\ndef root(): return f()",
    "relatively through its module": "from . import other\ndef root(): return other.f()",
    "inside the function": "def root():\n    from mine.other import f\n    return f()",
    "inside a function around it": "def root():\n    from mine.other import f\n    def inner(): return f()\n    return inner()",
    "re-exported": "from mine.between import f\ndef root(): return f()",
    "all at once": "from mine.other import *\ndef root(): return f()",
    "as a value": "from mine import other\ndef root(): return getattr(other, 'f')()",
    "by the name of the module": "def root(): return ['-m', 'mine.other']",
    "by the name of the function": "def root(): return 'mine.other:f'",
    "by the name of the file": "from pathlib import Path\ndef root(): return Path(__file__).with_name('other.py')",
    "under try": "try:\n    from mine.other import f\nexcept ImportError:\n    f = None\ndef root(): return f()",
    "as a base": "from mine.other import C\nclass root(C): pass",
    "as a default": "from mine.other import f\ndef root(x=f()): return x",
}


@pytest.mark.parametrize("road", ROADS)
def test_other_modules_count_where_they_are_reached_and_for_what_is_reached(package, road):
    other = "def f(): return {}\n\nclass C:\n    x = {}\n"
    between = "from mine.other import f\n"
    before = package(main=ROADS[road], other=other.format(1, 1), between=between)
    assert package(other=other.format(1, 1) + "# said\n") == before
    assert package(other=other.format(2, 2)) != before


def test_a_neighbor_of_what_is_reached_does_not_count(package):
    other = "def f(): return 1\n\ndef g(): return {}\n"
    before = package(main=ROADS["by name"], other=other.format(1))
    assert package(other=other.format(2)) == before


def test_a_circle_of_imports_comes_to_an_end(package):
    other = "def f(): return {}\n\ndef back():\n    from mine.main import root\n    return root()\n"
    main = "from mine.other import back\ndef root(): return back()"
    assert package(main=main, other=other.format(1)) == package(other=other.format(2))  # f is not reached


def test_a_data_file_that_is_named_counts_by_its_content(package):
    main = "from pathlib import Path\ndef root(): return (Path(__file__).parent / 'table.csv').read_text()"
    package.write({"table.csv": "1"})
    before = package(main=main)
    package.write({"table.csv": "2"})
    assert package() != before


def test_a_folder_of_the_same_sources_anywhere_gives_the_same(package, tmp_path):
    before = package(main=ROADS["re-exported"], other="def f(): return 1", between="from mine.other import f")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "mine").symlink_to(package.folder)
    assert named(tmp_path / "linked", "mine.main", "root") == before


def test_a_module_that_cannot_be_read_is_named(package):
    package.write({"other.py": "def f(:"})
    with pytest.raises(PluginError, match=r"other\.py, line 1: "):
        package(main=ROADS["inside the function"])


def test_a_version_is_named_alone_where_its_code_is_sealed(package):
    def seal(version, code):
        package.write({"sealed.json": f'{{"action root": {{"version": {version}, "code": "{code}"}}}}'})

    unsealed = package(main="def root(): return 1")
    root = SimpleNamespace(__module__="mine.main", __qualname__="root")
    code = Code([package.folder.parent]).reached(root).code
    assert unsealed == f"1+{code[:8]}"
    seal(1, code)
    assert package() == "1"
    assert Code([package.folder.parent]).identity("action root", root, version=2) == f"2+{code[:8]}"
    changed = package(main="def root(): return 2")
    assert changed.startswith("1+")
    assert changed != unsealed
    seal(1, Code([package.folder.parent]).reached(root).code)
    assert package() == "1"  # what did not change results redoes nothing


@pytest.mark.parametrize("version", [0, "2", True, None])
def test_a_version_that_is_no_number_is_refused(package, version):
    package(main="def root(): return 1")
    with pytest.raises(PluginError, match="expected a whole number from 1"):
        Code([package.folder.parent]).identity(
            "action root", SimpleNamespace(__module__="mine.main", __qualname__="root"), version=version
        )


def test_what_is_remembered_of_a_source_is_forgotten_when_it_is_damaged(package, tmp_path, monkeypatch):
    before = package(main="def root(): return 'a rare text'")
    (file,) = Path(tmp_path / "cache").rglob("mine.main.pickle")
    file.write_bytes(file.read_bytes()[:-7])
    monkeypatch.setattr("aya_core.contract.source_code._known", {})
    assert package() == before
