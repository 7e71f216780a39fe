"""YAML as people mean it: 1.2 booleans and numbers (`no` is Norwegian, 1e-3 is a number), no key twice.

What a file says is bounded before it is believed: how long it is, how deep it nests, how long its numbers are, and what its aliases
and merge keys stand for. A few lines of aliases of aliases would otherwise fill all memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from aya_core.contract.errors import RecipeError

LONGEST_TEXT = 500_000
"""Characters of a file; PyYAML reads 150,000 in a second."""

DEEPEST = 50
"""Mappings and lists inside one another."""

MOST_VALUES = 100_000
"""Values, keys included, where what an alias stands for counts each time."""

LARGEST = 2**63 - 1
"""The largest whole number: what other programs can hold as well."""

CORE = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """The safe loader with the resolvers and the tags of the YAML 1.2 core schema, which counts what it is asked to make."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Compose a node that does not lie too deep."""
        self.depth += 1
        if self.depth > DEEPEST + 1:
            raise yaml.composer.ComposerError(
                None,
                None,
                f"nested more than {DEEPEST} deep",
                self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_data(self) -> Any:
        """Make what the file holds, unless that is too much."""
        node = self.get_single_node()
        if node is None:
            return None
        _count(node, {}, set())
        return self.construct_document(node)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
    ("merge", r"<<", "<"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"{CORE}{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _count(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """How many values a node stands for. Raises ConstructorError for too many, or for a node that holds itself.

    known: counts by node. above: the nodes that hold this one.
    """
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise _error("an alias in here stands for the whole of it", node)
    above.add(id(node))
    count = 1 + sum(_count(inner, known, above) for inner in _inside(node))
    above.discard(id(node))
    if count > MOST_VALUES:
        raise _error(
            f"it holds more than {MOST_VALUES:,} values, those that aliases and merge keys stand for included", node
        )
    known[id(node)] = count
    return count


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    digits = text.lstrip("+-")
    if len(digits) > len(str(LARGEST)) + 2:
        raise _error(f"a whole number of {len(digits):,} digits; expected one up to {LARGEST}", node)
    number = int(text, 0) if digits[:2] in ("0o", "0x") else int(text)
    if abs(number) > LARGEST:
        raise _error(f"the whole number {text}; expected one up to {LARGEST}", node)
    return number


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    word = text.lstrip("+-")
    number = float(text.replace(".inf", "inf").replace(".nan", "nan") if word in (".inf", ".nan") else text)
    if math.isinf(number) and word != ".inf":
        raise _error(f"the number {_shown(text)} is too large; expected one up to 1.8e308, or .inf", node)
    return number


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _error("it holds half a character (\\ud800 to \\udfff); mend the text", node)
    return text


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return {"true": True, "false": False}[str(loader.construct_scalar(node)).lower()]


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, yaml.Mark] = {}
    for key_node, _ in node.value:
        if key_node.tag == f"{CORE}merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list)):
            raise _error("a key must be a word", key_node)
        if key in seen:
            raise _error(f"the key '{key}' stands here twice", key_node)
        seen[key] = key_node.start_mark
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _checked(make: Callable[[_Loader, Any], Any], of: type[yaml.Node]) -> Callable[[_Loader, Any], Any]:
    """Have what a tag names made, or say where it cannot be: a tag that stands in the file may not fit what follows it."""

    def checked(loader: _Loader, node: yaml.Node) -> Any:
        word = node.tag.removeprefix(CORE)
        if not isinstance(node, of):
            raise _error(f"what stands here is no {word}, as its tag !!{word} says", node)
        try:
            return make(loader, node)
        except (ValueError, KeyError):
            raise _error(f"'{_shown(str(node.value))}' is no {word}, as its tag !!{word} says", node) from None

    return checked


def _refuse_tag(loader: _Loader, node: yaml.Node) -> Any:
    tag = node.tag.replace(CORE, "!!")
    raise _error(f"the tag '{_shown(tag)}' means nothing here; leave it out", node)


for _tag, _make, _of in (
    ("null", lambda loader, node: None, yaml.ScalarNode),
    ("bool", _construct_bool, yaml.ScalarNode),
    ("int", _construct_int, yaml.ScalarNode),
    ("float", _construct_float, yaml.ScalarNode),
    ("str", _construct_text, yaml.ScalarNode),
    ("seq", lambda loader, node: loader.construct_sequence(node, deep=True), yaml.SequenceNode),
    ("map", _construct_mapping, yaml.MappingNode),
):  # fmt: skip
    _Loader.add_constructor(f"{CORE}{_tag}", _checked(_make, _of))
_Loader.add_constructor(f"{CORE}merge", _checked(_construct_text, yaml.ScalarNode))
_Loader.add_constructor(None, _refuse_tag)


def parse(text: str, source: str) -> Any:
    """Read YAML. Raises RecipeError with file, line and column."""
    if len(text) > LONGEST_TEXT:
        raise RecipeError(f"{source}: {len(text):,} characters of YAML; expected at most {LONGEST_TEXT:,}")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        if "found another document" in str(error.problem):
            raise RecipeError(f"{where}: another document begins here; expected one in a file") from None
        raise RecipeError(f"{where}: not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise RecipeError(
            f"{source}:{line}: not YAML: it holds the character U+{ord(text[error.position]):04X}, which YAML does not allow"
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{source}: not YAML: {error}") from None
    except (ValueError, OverflowError) as error:  # numbers of characters that are none: "\UFFFFFFFF"
        raise RecipeError(f"{source}: not YAML: {error}") from None


def read(file: Path) -> Any:
    """Read a file of YAML. Raises RecipeError for one that is not text in UTF-8, that may not be read, or that is not YAML."""
    try:
        with file.open("rb") as opened:
            held = opened.read(4 * LONGEST_TEXT + 4)
        text = held.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start}); {_encoding(held)}") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read ({error.strerror}); expected a YAML file") from None
    except ValueError as error:  # a name that no file can have
        raise RecipeError(f"{str(file)!r}: cannot be read ({error}); expected a YAML file") from None
    return parse(text, str(file))


def _encoding(held: bytes) -> str:
    if held[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16; save the file as UTF-8"
    return "save the file as UTF-8"


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which quotes what readers of either YAML version would take for something other than text."""


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def dump(value: Any) -> str:
    """Write plain data as YAML that `parse` reads back as the same data."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
