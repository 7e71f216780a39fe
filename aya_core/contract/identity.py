"""Names for code: by what a function or class says, and all of our code that it can reach.

A step is named by its settings, its inputs and the code that decides its result: of its action, of its strategies, and
of all definitions that these can reach in modules that are *followed*. Followed are the modules of aya-core, of the
distributions that offer plugins, and of no distribution at all: a file that a recipe lists, and what it imports from beside it or from the
current folder. The libraries of others are not followed; neither is where code lies, or how it was installed.

What is read and what is not is said in `source_code.py`. An identity is the number of a version where the code is the one for which
that version is sealed (see `sealed.json`), and the number with a hash otherwise: `1`, `1+3fa94c10`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, entry_points
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from aya_core.contract.errors import PluginError
from aya_core.contract.source_code import FILE_NAME, Definition, Import, Module, Reference, read_module

GROUP = "aya"
"""The entry-point group of plugins."""

CORE = "aya-core"

SEALS = "sealed.json"
"""The file of a package that says which code its versions stand for."""

DIGITS = 16
"""Of the hash of code in a seal; an identity shows half of them."""


class Key(NamedTuple):
    """Something that is reached: a definition of a module; "" for what it does when it is imported, a path for a file beside it."""

    module: str
    name: str


class Outside(NamedTuple):
    """Something in a module that is not followed."""

    meaning: str


class Links(NamedTuple):
    """What stands under a key, as a hash, and the keys that it leads to. hooks: those that it may call."""

    digest: str
    keys: frozenset[Key]
    hooks: frozenset[str] = frozenset()


class Reached(NamedTuple):
    """All that roots reach. code: a hash of it."""

    code: str
    keys: frozenset[Key]
    hooks: frozenset[str]


class Code:
    """Tells code apart, for one process.

    first: folders in which packages are looked for first, so that two states of the same sources can be compared. last: folders
    beside the current one for what is not installed, such as those of a recipe's plugin files. also: top-level modules that are
    followed although they belong to others.
    """

    def __init__(self, first: Sequence[Path] = (), *, last: Iterable[Path] = (), also: Iterable[str] = ()) -> None:
        self._first = [str(folder) for folder in first]
        self._last = [str(folder) for folder in dict.fromkeys((*last, Path.cwd()))]
        self._also = frozenset(also)
        self._tops: dict[str, _Top | None] = {}
        self._modules: dict[str, Module | None] = {}
        self._links: dict[Key, Links] = {}
        self._models: dict[Key, bool] = {}
        self._followed: dict[str, bool] = {}
        self._seals: dict[str, Mapping[str, Any]] = {}
        self._wholes: dict[str, Reached] = {}
        self._reached: dict[tuple[Key, ...], Reached] = {}

    def identity(self, label: str, *roots: Any, version: object = 1) -> str:
        """Name the code of functions and classes. label: what their package seals them as. Raises PluginError."""
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise PluginError(f"{label}: its version is {version!r}; expected a whole number from 1")
        code = self.reached(*roots).code
        seal = self.seals(_place_of(roots[0]).module).get(label)
        if seal is not None and (seal["version"], seal["code"]) == (version, code):
            return str(version)
        return f"{version}+{code[: DIGITS // 2]}"

    def identity_of_module(self, name: str) -> str | None:
        """Name the code of a whole module, whoever it belongs to; None where its package is not to be found."""
        top = name.partition(".")[0]
        if self._top(top) is None:
            return None
        if name not in self._wholes:
            own = self._following(top)
            self._wholes[name] = own._reach(own._whole(own._load(name), name))
        return f"1+{self._wholes[name].code[: DIGITS // 2]}"

    def reached(self, *roots: Any) -> Reached:
        """Find all that functions and classes reach.

        What the annotations of a root's parameters name counts as well: it is what the root is handed.
        """
        keys = tuple(_place_of(root) for root in roots)
        if keys not in self._reached:
            own = self._following(keys[0].module.partition(".")[0])
            self._reached[keys] = own._reach(own._handed(keys))
        return self._reached[keys]

    def seals(self, module: str) -> Mapping[str, Any]:
        """The seals of the top-level package of a module, by label."""
        top = module.partition(".")[0]
        if top not in self._seals:
            found = self._top(top)
            files = [folder / SEALS for folder in (found.folders if found else ()) if (folder / SEALS).is_file()]
            self._seals[top] = json.loads(files[0].read_text(encoding="utf-8")) if files else {}
        return self._seals[top]

    def _following(self, top: str) -> Code:
        """What follows a top-level module that is asked about, whoever it belongs to; for others it goes on to be a library."""
        if self._top(top) is None or self._is_followed(top):
            return self
        return Code([Path(one) for one in self._first], last=[Path(one) for one in self._last], also=(top,))

    def _handed(self, roots: Iterable[Key]) -> Iterator[Key]:
        for key in roots:
            yield key
            module = self._load(key.module)
            if module is not None:
                for reference in module.definitions.get(key.name, Definition()).handed:
                    yield from self._resolve(module, reference)[1]

    def _reach(self, roots: Iterable[Key]) -> Reached:
        waiting, seen, hooks = list(roots), set[Key](), set[str]()
        digests: list[str] = []
        while waiting:
            key = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            links = self._links.get(key) or self._links.setdefault(key, self._look(key))
            digests.append(f"{key.module}:{key.name} {links.digest}")
            hooks |= links.hooks
            waiting += links.keys
        text = "\n".join(sorted(digests))
        return Reached(hashlib.sha256(text.encode()).hexdigest()[:DIGITS], frozenset(seen), frozenset(hooks))

    def _look(self, key: Key) -> Links:
        module = self._load(key.module)
        if module is None:  # typed in, or compiled: its name must do
            return Links("no source", frozenset())
        parent = key.module.rpartition(".")[0]
        around = {Key(key.module, ""), *([Key(parent, "")] if parent else [])}
        if FILE_NAME.fullmatch(key.name):
            return Links(hashlib.sha256((self._beside(module) / key.name).read_bytes()).hexdigest(), frozenset(around))
        if key.name not in module.definitions:
            return Links("not found", frozenset(around))
        found = module.definitions[key.name]
        names = []
        keys: set[Key] = around
        followed = found.references | found.bases
        if self._is_model(key, module, found):
            followed |= found.annotations
        for reference in followed:
            meaning, targets = self._resolve(module, reference)
            if meaning is not None:
                names.append(f"{reference} {meaning}")
                keys |= targets
        for string in found.strings:
            keys |= self._named(module, string)
        text = "\n".join((found.digest, *sorted(names)))
        return Links(hashlib.sha256(text.encode()).hexdigest(), frozenset(keys), frozenset(found.hooks))

    def _is_model(self, key: Key, module: Module, found: Definition) -> bool:
        """Whether a class is one of settings, whose annotations make objects; those of any other class are words."""
        if key not in self._models:
            self._models[key] = False
            for base in found.bases:
                meaning, targets = self._resolve(module, base)
                for target in targets:
                    other = self._load(target.module)
                    if other is not None and target.name in other.definitions:
                        self._models[key] |= self._is_model(target, other, other.definitions[target.name])
                self._models[key] |= meaning == "pydantic:BaseModel"
        return self._models[key]

    def _named(self, module: Module, string: str) -> set[Key]:
        """What a string names: a module or something in it, or a file beside the module.

        Files that are no source count in packages alone: beside a plugin that is one file lies what its user keeps there, results too.
        """
        if FILE_NAME.fullmatch(string) and (file := self._beside(module) / string).is_file():
            if file.suffix != ".py":
                return {Key(module.name, string)} if module.package else set()
            parts = [part for part in Path(string).with_suffix("").parts if part != "__init__"]
            name = ".".join(filter(None, (module.package, *parts)))
            return set(self._whole(self._load(name), name))
        name, _, inside = string.partition(":")
        if not all(part.isidentifier() for part in name.split(".")) or not self._is_installed(name.partition(".")[0]):
            return set()
        found = self._load(name)
        if found is None:
            return set()
        if inside:
            return set(self._resolve(found, Reference(inside))[1])
        return set(self._whole(found, name))

    def _whole(self, module: Module | None, name: str) -> Iterator[Key]:
        """All of a module: what it defines, and what it takes from others by name."""
        if module is None:
            yield Key(name, "")
            return
        yield Key(name, "")
        for definition in module.definitions:
            yield Key(name, definition)
        for one in module.imports.values():
            target = self._follow(one)
            if isinstance(target, Key):
                yield target

    def _resolve(self, module: Module, reference: Reference) -> tuple[str | None, set[Key]]:
        """Say what a reference means, and which keys it leads to; None for a built-in name."""
        start, attributes = reference
        target = self._follow(start) if isinstance(start, Import) else self._inside(module, start)
        while isinstance(target, Module) and attributes:
            target = self._member(target.name, attributes[0])
            attributes = attributes[1:]
        if target is None:
            return None, set()
        if isinstance(target, Outside):
            return ".".join((target.meaning, *attributes)), set()
        if isinstance(target, Module):
            return target.name, set(self._whole(target, target.name))
        return f"{target.module}:{target.name}", {target}

    def _inside(self, module: Module, name: str) -> Key | Module | Outside | None:
        """What a name means in a module; None for a built-in one."""
        if name in module.definitions:
            return Key(module.name, name)
        if name in module.imports:
            return self._follow(module.imports[name])
        if name in module.bound:
            return Key(module.name, "")
        for star in module.stars:
            target = self._member(star, name)
            if not isinstance(target, Outside):
                return target
        return None

    def _follow(self, imported: Import) -> Key | Module | Outside | None:
        if imported.name is not None:
            return self._member(imported.module, imported.name)
        if not self._is_followed(imported.module.partition(".")[0]):
            return Outside(imported.module)
        return self._load(imported.module) or Outside(imported.module)

    def _member(self, module: str, name: str) -> Key | Module | Outside | None:
        """What `from module import name` brings."""
        if not self._is_followed(module.partition(".")[0]):
            return Outside(f"{module}:{name}")
        found = self._load(module)
        if found is not None and found.imports.get(name) != Import(module, name):  # `from . import name`
            inside = self._inside(found, name)
            if inside is not None:
                return inside
        inner = self._load(f"{module}.{name}")
        if inner is not None:
            return inner
        if found is not None and "__getattr__" in found.definitions:
            return Key(module, "__getattr__")
        return Outside(f"{module}:{name}")

    def _load(self, name: str) -> Module | None:
        """The source of a module that is followed; None for any other, and where there is no source."""
        if name not in self._modules:
            path = self._file(name)
            try:
                self._modules[name] = None if path is None else read_module(name, path)
            except SyntaxError as error:
                raise PluginError(f"{path}, line {error.lineno}: {error.msg}; this Python cannot read it") from None
        return self._modules[name]

    def _beside(self, module: Module) -> Path:
        """The folder of a module's source."""
        file = self._file(module.name)
        assert file is not None  # it was read
        return file.parent

    def _file(self, name: str) -> Path | None:
        top, *inner = name.split(".")
        found = self._top(top)
        if found is None or not self._is_followed(top):
            return None
        if not inner:
            return found.file
        for folder in found.folders:
            package = folder.joinpath(*inner)
            for path in (package / "__init__.py", package.with_name(f"{package.name}.py")):
                if path.is_file():
                    return path
        return None

    def _top(self, name: str) -> _Top | None:
        """Find a top-level module as the process that does the work will: last beside a plugin file, and in the current folder."""
        if name not in self._tops:
            installed = PathFinder.find_spec(name, self._first) or _find_spec(name)
            spec = installed or PathFinder.find_spec(name, self._last)
            self._tops[name] = None if spec is None else _Top.of(spec, is_installed=installed is not None)
        return self._tops[name]

    def _is_installed(self, top: str) -> bool:
        """Whether a top-level module is followed and found without looking into the current folder."""
        found = self._top(top)
        return found is not None and found.is_installed and self._is_followed(top)

    def _is_followed(self, top: str) -> bool:
        if top not in self._followed:
            self._followed[top] = top not in sys.stdlib_module_names and self._is_ours(top)
        return self._followed[top]

    def _is_ours(self, top: str) -> bool:
        found = self._top(top)
        if found is None or found.place is None:
            return False
        if top in self._also or str(found.place.parent) in self._first or not found.is_installed:
            return True
        place = found.place.resolve()  # a checkout may be linked to
        if next(place.parent.glob("*.dist-info"), None) is not None:  # where packages are installed
            return top in self._offering.packages
        if any(place.is_relative_to(folder) for folder in self._offering.folders):
            return True
        return not any(place.is_relative_to(folder) for folder in self._editable)

    @cached_property
    def _offering(self) -> _Offering:
        """What belongs to aya-core and to the distributions that offer plugins."""
        found = {point.dist.name: point.dist for point in entry_points(group=GROUP) if point.dist is not None}
        with suppress(PackageNotFoundError):  # run from its sources
            found[CORE] = distribution(CORE)
        files = [file for one in found.values() for file in one.files or ()]
        folders = [folder for one in found.values() if (folder := _source_folder(one)) is not None]
        return _Offering(frozenset(file.parts[0].removesuffix(".py") for file in files), folders)

    @cached_property
    def _editable(self) -> list[Path]:
        """The folders of all editable installs."""
        return [folder for one in distributions() if (folder := _source_folder(one)) is not None]


class _Top(NamedTuple):
    """A top-level module. folders: of a package. file: its source. is_installed: whether it is found from anywhere."""

    folders: list[Path]
    file: Path | None
    is_installed: bool

    @classmethod
    def of(cls, spec: ModuleSpec, *, is_installed: bool) -> _Top:
        file = Path(spec.origin) if spec.origin is not None else None
        is_source = file is not None and file.suffix == ".py" and file.is_file()
        return cls(
            [Path(one) for one in spec.submodule_search_locations or ()], file if is_source else None, is_installed
        )

    @property
    def place(self) -> Path | None:
        return self.folders[0] if self.folders else self.file


class _Offering(NamedTuple):
    """packages: top-level names that distributions installed. folders: of their sources, for editable installs."""

    packages: frozenset[str]
    folders: list[Path]


def _find_spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # a module without a specification, such as __main__
        return None


def _source_folder(one: Distribution) -> Path | None:
    """Where the sources of an editable install lie."""
    origin = json.loads(one.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin["url"]).path)).resolve()


def _place_of(root: Any) -> Key:
    """Where a function or class is defined; of an object its class, of something inside a function that function."""
    while isinstance(root, partial):
        root = root.func
    if not hasattr(root, "__qualname__"):
        root = type(root)
    return Key(root.__module__, root.__qualname__.partition(".")[0])
