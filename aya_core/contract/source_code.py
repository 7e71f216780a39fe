"""A module as definitions, and what each of them says and refers to. Read from its syntax tree; nothing is imported or run.

What a definition says leaves out all that decides no result: comments, formatting, docstrings, the annotations of
functions and variables, and the `description` of a setting. Names are told apart as Python does it: a local variable
that is called like a function of the module is no reference to that function.
"""

from __future__ import annotations

import ast
import hashlib
import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:[A-Za-z_]\w*)?|[A-Za-z_]\w*:[A-Za-z_]\w*")
"""A string that may name a module, `package.module`, or something in one, `module:function`."""

FILE_NAME = re.compile(r"\w[\w-]*(/\w[\w.-]*)*\.\w+")
"""A string that may name a file beside the module."""

HOOK = "aya_"
"""What the names of hooks begin with."""

LEFT_OUT = frozenset({"ctx", "kind", "returns", "type_comment", "type_params"})
"""Fields of syntax trees that decide no result, or that only some versions of Python have."""

PRELOADED = frozenset({"imports", "needs"})
"""Attributes of a strategy that name modules which are loaded beforehand. That is no use of all that these modules hold."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

IMPORTING = frozenset({ast.Import, ast.ImportFrom})
DEFINING = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef})
OWN_SCOPE = frozenset({ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
NAMING = frozenset({ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping})
"""Nodes that bind a name which they hold as text."""


class Import(NamedTuple):
    """`import module`, or `from module import name`."""

    module: str
    name: str | None = None


class Reference(NamedTuple):
    """A name of the module, or something that a function imports, and the attributes taken of it: `np.linalg.norm`."""

    start: str | Import
    attributes: tuple[str, ...] = ()


Scope: TypeAlias = dict[str, Import | None]
"""The names bound in a function or class: to what is imported, or to something that only running tells (None)."""


@dataclass
class Definition:
    """What a definition says, as a hash, and what it refers to.

    bases: of a class. annotations: what the annotations in a class body refer to. handed: what those of a function's parameters do.
    strings: those that may name a module or file. hooks: hooks that it may call.
    """

    digest: str = ""
    references: set[Reference] = field(default_factory=set)
    bases: set[Reference] = field(default_factory=set)
    annotations: set[Reference] = field(default_factory=set)
    handed: set[Reference] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    hooks: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Module:
    """A module that was read. package: by which it imports relatively.

    definitions: by name; under "" stands what else the module does when it is imported, under `if` and `try` too, and bound are
    names that this binds. imports: by the names they bind. stars: modules of which all names are imported.
    """

    name: str
    package: str
    definitions: Mapping[str, Definition]
    bound: frozenset[str]
    imports: Mapping[str, Import]
    stars: Sequence[str]


def read_module(name: str, path: Path) -> Module:
    """Read a module, or find what was read of the same source before. Raises SyntaxError."""
    source = path.read_bytes()
    is_package = path.stem == "__init__"
    return _remembered(name, is_package, hashlib.sha256(_own_source() + source).hexdigest(), source)


_known: dict[tuple[str, bool, str], Module] = {}


def _remembered(name: str, is_package: bool, digest: str, source: bytes) -> Module:
    """Read a source once for all processes of a user, for reading all that a recipe uses takes about a second."""
    key = (name, is_package, digest)
    if key not in _known:
        file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aya-core" / "code" / f"{name}.pickle"
        try:
            before, module = pickle.loads(file.read_bytes())
        except (OSError, ValueError, TypeError, EOFError, AttributeError, ImportError, pickle.UnpicklingError):
            before = None  # none yet, or of another version
        if before != key:
            module = _read(name, name if is_package else name.rpartition(".")[0], source)
            with suppress(OSError):  # where nothing can be written, it is read again next time
                file.parent.mkdir(parents=True, exist_ok=True)
                unfinished = file.with_name(f".{file.name}.{os.getpid()}")
                unfinished.write_bytes(pickle.dumps((key, module)))
                unfinished.replace(file)
        _known[key] = module
    return _known[key]


@cache
def _own_source() -> bytes:
    """This file: what it read before it was changed does not count."""
    return Path(__file__).read_bytes()


def _read(name: str, package: str, source: bytes) -> Module:
    defined: dict[str, list[ast.stmt]] = {}
    imports: dict[str, Import] = {}
    stars: list[str] = []
    rest: list[ast.stmt] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for bound, imported in _imported(statement, package):
                if bound == "*":
                    stars.append(imported.module)
                elif imported.module != "__future__":
                    imports[bound] = imported
        elif names := _defined(statement):
            for bound in names:
                defined.setdefault(bound, []).append(statement)
        elif _is_never_run(statement):
            imports |= {bound: found for bound, found in bound_in([statement], package).items() if found is not None}
        elif not _is_text(statement):
            rest.append(statement)
    scope = bound_in(rest, package)
    imports |= {bound: found for bound, found in scope.items() if found is not None}
    definitions = {bound: _Reader(package).read(statements) for bound, statements in defined.items()}
    definitions[""] = _Reader(package).read(rest)
    return Module(name, package, definitions, frozenset(scope) - set(imports), imports, stars)


def bound_in(statements: Iterable[ast.AST], package: str) -> Scope:
    """The names that statements bind in their own scope."""
    bound: Scope = {}
    elsewhere: set[str] = set()
    waiting: list[Any] = list(statements)
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Load:
                bound.setdefault(node.id)
        elif kind in DEFINING:
            bound.setdefault(node.name)
        elif kind in IMPORTING:
            bound.update(_imported(node, package))
        elif kind in (ast.Global, ast.Nonlocal):
            elsewhere.update(node.names)
        elif kind not in OWN_SCOPE:
            if kind in NAMING and (name := getattr(node, "name", None) or getattr(node, "rest", None)):
                bound.setdefault(name)
            for field in node._fields:
                value = getattr(node, field, None)
                if type(value) is list:
                    waiting += [one for one in value if isinstance(one, ast.AST)]
                elif isinstance(value, ast.AST):
                    waiting.append(value)
    return {name: found for name, found in bound.items() if name not in elsewhere}


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Import]]:
    """The names that an import binds, and to what."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or whole, Import(whole)
        return
    module = statement.module or ""
    if statement.level:
        parts = package.split(".")
        module = ".".join((*parts[: len(parts) - statement.level + 1], *filter(None, [module])))
    for alias in statement.names:
        yield alias.asname or alias.name, Import(module, alias.name)


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a definition binds; none for a statement that does something else."""
    if isinstance(statement, (Function, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
        names = [one.id for one in flat if isinstance(one, ast.Name)]
        return names if len(names) == len(flat) else []
    return []


def _is_text(statement: ast.AST) -> bool:
    """Whether a statement is a docstring, of whatever stands before it."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_never_run(statement: ast.stmt) -> bool:
    """Whether a statement is for type checkers alone, or for when the module is a program."""
    if not isinstance(statement, ast.If):
        return False
    test = ast.unparse(statement.test)
    return test in ("TYPE_CHECKING", "typing.TYPE_CHECKING") or test.startswith("__name__ ==")


class _Reader:
    """Writes statements down in one pass, and notes what they refer to.

    `ast.dump` would do for the text, but it differs between versions of Python, as `ast.unparse` does.
    """

    def __init__(self, package: str) -> None:
        self.found = Definition()
        self._package = package
        self._words: list[str] = []
        self._scopes: list[tuple[Scope, bool]] = []
        self._references = self.found.references
        self._ways: Mapping[type, Callable[[Any], None]] = {
            ast.Name: self._name, ast.Attribute: self._attribute, ast.Constant: self._constant,
            ast.FunctionDef: self._function, ast.AsyncFunctionDef: self._function, ast.Lambda: self._lambda,
            ast.ClassDef: self._class, ast.AnnAssign: self._annotated, ast.arg: self._argument, ast.Call: self._call,
            ast.JoinedStr: self._joined, ast.Assign: self._assign, ast.Import: self._nothing, ast.ImportFrom: self._nothing,
            **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), self._comprehension),
        }  # fmt: skip

    def read(self, statements: Sequence[ast.stmt]) -> Definition:
        self._list(statements)
        self.found.digest = hashlib.sha256(" ".join(self._words).encode(errors="surrogatepass")).hexdigest()
        for statement in statements:
            if isinstance(statement, Function):
                arguments = statement.args
                self._references = self.found.handed
                for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                    if one.annotation is not None:
                        self._node(one.annotation)
        return self.found

    def _node(self, node: ast.AST) -> None:
        way = self._ways.get(type(node))
        if way is not None:
            way(node)
        else:
            self._fields(node)

    def _fields(self, node: ast.AST, *left_out: str) -> None:
        """Write a node field by field. What is empty is left out, so that a field which a later Python adds changes nothing."""
        self._words.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in LEFT_OUT or name in left_out:
                continue
            self._words.append(name)
            if isinstance(value, list):
                self._list(value)
            elif isinstance(value, ast.AST):
                self._node(value)
            else:
                self._words.append(repr(value))
        self._words.append(")")

    def _list(self, values: Iterable[Any]) -> None:
        self._words.append("[")
        for value in values:
            if isinstance(value, ast.AST):
                if not _is_text(value):
                    self._node(value)
            else:
                self._words.append(repr(value))
        self._words.append("]")

    def _nothing(self, node: ast.AST) -> None:
        """Imports say nothing: what is done with what they bring is a reference."""

    def _constant(self, node: ast.Constant) -> None:
        self._words.append(repr(node.value))
        if isinstance(node.value, str) and (MODULE_NAME.fullmatch(node.value) or FILE_NAME.fullmatch(node.value)):
            self.found.strings.add(node.value)

    def _joined(self, node: ast.JoinedStr) -> None:
        parts = [one for one in node.values if not (isinstance(one, ast.Constant) and one.value == "")]
        self._fields(ast.JoinedStr(parts))  # Python 3.12 adds an empty text behind {a:{b}}

    def _name(self, node: ast.Name) -> None:
        self._words.append(node.id)
        self._refer(node.id)

    def _attribute(self, node: ast.Attribute) -> None:
        attributes = [node.attr]
        start = node.value
        while isinstance(start, ast.Attribute):
            attributes.append(start.attr)
            start = start.value
        self.found.hooks.update(name for name in attributes if name.startswith(HOOK))
        if isinstance(start, ast.Name):
            self._words.append(start.id)
            self._refer(start.id, tuple(reversed(attributes)))
        else:
            self._node(start)
        self._words += [f".{name}" for name in reversed(attributes)]

    def _refer(self, name: str, attributes: tuple[str, ...] = ()) -> None:
        for depth, (scope, is_class) in enumerate(reversed(self._scopes)):
            if name in scope and (
                depth == 0 or not is_class
            ):  # functions do not see the names of the class around them
                found = scope[name]
                if found is not None:
                    self._references.add(Reference(found, attributes))
                return
        self._references.add(Reference(name, attributes))

    def _function(self, node: Function) -> None:
        self._words.append(f"{type(node).__name__}( {node.name}")
        self._list(node.decorator_list)
        self._node(node.args)
        self._inside(node.args, node.body)

    def _lambda(self, node: ast.Lambda) -> None:
        self._words.append("Lambda(")
        self._node(node.args)
        self._inside(node.args, [node.body])

    def _inside(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        several = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        scope: Scope = {one.arg: None for one in several if one is not None}
        self._scopes.append((scope | bound_in(body, self._package), False))
        self._list(body)
        self._scopes.pop()
        self._words.append(")")

    def _argument(self, node: ast.arg) -> None:
        self._words.append(node.arg)

    def _comprehension(self, node: Comprehension) -> None:
        targets = [generator.target for generator in node.generators]
        self._scopes.append((bound_in(targets, self._package), False))
        self._fields(node)
        self._scopes.pop()

    def _class(self, node: ast.ClassDef) -> None:
        self._words.append(f"ClassDef( {node.name}")
        self._list(node.decorator_list)
        before = self._references
        self._references = self.found.bases
        self._list([base.value if isinstance(base, ast.Subscript) else base for base in node.bases])
        self._references = before
        self._list(node.keywords)
        self._scopes.append((bound_in(node.body, self._package), True))
        self._list(node.body)
        self._scopes.pop()
        self._words.append(")")

    def _annotated(self, node: ast.AnnAssign) -> None:
        in_class = bool(self._scopes) and self._scopes[-1][1]
        if not in_class:  # annotations of variables say nothing that runs
            self._fields(node, "annotation", "simple")
            return
        before = self._references
        self._references = self.found.annotations
        self._words.append("annotation")
        self._node(node.annotation)
        self._references = before
        self._assign(node, "annotation", "simple")

    def _assign(self, node: ast.Assign | ast.AnnAssign, *left_out: str) -> None:
        in_class = bool(self._scopes) and self._scopes[-1][1]
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        strings = self.found.strings
        if in_class and any(isinstance(target, ast.Name) and target.id in PRELOADED for target in targets):
            self.found.strings = set()
        self._fields(node, *left_out)
        self.found.strings = strings

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            kept = [keyword for keyword in node.keywords if keyword.arg != "description"]
            node = ast.Call(node.func, node.args, kept)
        self._fields(node)
