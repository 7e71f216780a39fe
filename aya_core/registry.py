"""The registry: which plugins are installed, and which strategies they offer.

A fresh registry loads every entry point of the group `aya` in name order, then the files that a recipe lists. Nothing
is swallowed: a plugin that does not import, a misspelt hook and a name offered twice are errors that name who and
where. `AYA_DISABLE_PLUGINS` (names, comma-separated) blocks entry points.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from pydantic import ValidationError

from aya_core import hookspecs
from aya_core.artifacts import file_hash, stable_hash
from aya_core.errors import PluginError, did_you_mean
from aya_core.explain import SettingsError, explain
from aya_core.kinds import KINDS
from aya_core.strategies import Strategy

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Plugin:
    """Where strategies came from. version: of the distribution, or a hash of the file for a plugin that is one file."""

    name: str
    distribution: str
    version: str
    source: str


class Registry:
    """The plugins of one run. files: plugins that are Python files, as a recipe's `plugins:` lists them."""

    def __init__(self, files: Sequence[Path] = (), *, disabled: Iterable[str] | None = None) -> None:
        if disabled is None:
            disabled = os.environ.get("AYA_DISABLE_PLUGINS", "").split(",")
        self.disabled = frozenset(name.strip() for name in disabled if name.strip())
        self.files = tuple(files)
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}
        self._load_entry_points()
        for path in self.files:
            self._load_file(path)
        self._check_hooks()

    @cached_property
    def strategies(self) -> Mapping[str, Mapping[str, type[Strategy[Any]]]]:
        """Every strategy class by kind and name, in name order."""
        offered: dict[str, dict[str, type[Strategy[Any]]]] = {kind: {} for kind in KINDS}
        owners: dict[tuple[str, str], str] = {}
        for kind, hook in KINDS.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                plugin = implementation.plugin_name
                for name, strategy in self._offer(plugin, hook, implementation.function).items():
                    if (kind, name) in owners:
                        raise PluginError(
                            f"{kind} '{name}' is offered twice: by {self._describe(owners[kind, name])} and by "
                            f"{self._describe(plugin)}; rename one, or block one with AYA_DISABLE_PLUGINS"
                        )
                    if kind == "teacher" and (taken := {"languages", "sampling", "limit"} & set(strategy.model_fields)):
                        raise PluginError(
                            f"{self._describe(plugin)}: teacher '{name}' has a setting '{min(taken)}', which an arbitrage "
                            "stage sets beside every teacher; rename it"
                        )
                    owners[kind, name] = plugin
                    offered[kind][name] = strategy
        self._owners = owners
        return {kind: dict(sorted(found.items())) for kind, found in offered.items()}

    def origin(self, kind: str, name: str) -> Plugin:
        """The plugin that offers a strategy."""
        self.strategies  # noqa: B018  (fills the owners)
        return self.plugins[self._owners[kind, name]]

    def find(self, kind: str, name: str) -> type[Strategy[Any]]:
        """Look a strategy class up by name. Raises SettingsError with the nearest name."""
        try:
            return self.strategies[kind][name]
        except KeyError:
            raise SettingsError(f"no {kind} named '{name}'; {did_you_mean(name, self.strategies[kind])}") from None

    def validate(self, kind: str, spec: Mapping[str, Any]) -> Strategy[Any]:
        """Make a strategy of `{use: name, ...}`. Raises SettingsError, which knows the path to what is wrong."""
        settings = dict(spec)
        name = settings.pop("use", None)
        if not isinstance(name, str):
            raise SettingsError(f"expected a {kind} as {{use: name, ...}}; {did_you_mean('', self.strategies[kind])}")
        strategy = self.find(kind, name)
        try:
            return strategy.model_validate(settings, context={"registry": self})
        except ValidationError as error:
            raise SettingsError(explain(error, strategy)) from None

    def dump(self, kind: str, strategy: Strategy[Any], *, essential: bool = False) -> dict[str, Any]:
        """Write a strategy as `{use: name, ...}`, every setting spelled out, as JSON can hold it.

        essential: leave out what is `incidental`, here and in strategies inside.
        """
        left_out = set(strategy.incidental) if essential else None
        context = {"registry": self, "essential": essential}
        return {
            "use": self.name_of(kind, strategy),
            **strategy.model_dump(mode="json", context=context, exclude=left_out),
        }

    def name_of(self, kind: str, strategy: Strategy[Any]) -> str:
        """The name under which a strategy's class is offered."""
        for name, offered in self.strategies[kind].items():
            if offered is type(strategy):
                return name
        raise PluginError(f"{type(strategy).__name__} is offered by no plugin as a {kind}")

    def origin_of(self, strategy: Strategy[Any]) -> Plugin:
        """The plugin that offers a strategy's class."""
        for kind, offered in self.strategies.items():
            for name, candidate in offered.items():
                if candidate is type(strategy):
                    return self.origin(kind, name)
        raise PluginError(f"{type(strategy).__name__} is offered by no plugin")

    def _load_entry_points(self) -> None:
        found = sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: (point.name, point.value))
        seen: dict[str, EntryPoint] = {}
        for point in found:
            if point.name in seen:
                if _origin(point) == _origin(seen[point.name]) and point.value == seen[point.name].value:
                    continue  # the same distribution listed twice, as an editable install beside its source tree is
                raise PluginError(
                    f"two plugins are named '{point.name}': {_origin(seen[point.name])} and {_origin(point)}; "
                    "uninstall one or rename its entry point"
                )
            seen[point.name] = point
            if point.name in self.disabled:
                continue
            try:
                module = point.load()
            except Exception as error:
                raise PluginError(
                    f"plugin '{point.name}' of {_origin(point)} does not import: {type(error).__name__}: {error}; "
                    f"mend or uninstall it, or block it with AYA_DISABLE_PLUGINS={point.name}"
                ) from error
            distribution = point.dist.name if point.dist else "unknown"
            self._register(module, Plugin(point.name, distribution, _version(point, module), point.value))
        if unknown := self.disabled - set(seen):
            name = min(unknown)
            raise PluginError(f"AYA_DISABLE_PLUGINS: no plugin named '{name}'; {did_you_mean(name, seen)}")

    def _load_file(self, path: Path) -> None:
        if not path.is_file():
            raise PluginError(f"plugins: no file {path}; expected a Python file with hooks, relative to the recipe")
        name = f"aya_plugin_file_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"plugins: {path} is not a Python file; expected a name that ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic looks annotations up there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise PluginError(f"plugin {path} does not import: {type(error).__name__}: {error}") from error
        self._register(module, Plugin(path.name, "file", file_hash(path)[:12], str(path)))

    def _register(self, module: ModuleType, plugin: Plugin) -> None:
        if plugin.name in self.plugins:
            raise PluginError(f"two plugins are named '{plugin.name}'; rename one file")
        self.plugins[plugin.name] = plugin
        try:
            self.manager.register(module, plugin.name)
        except pluggy.PluginValidationError as error:
            raise PluginError(f"{self._describe(plugin.name)}: {' '.join(str(error).split())}") from None

    def _check_hooks(self) -> None:
        known = {name for name in vars(hookspecs) if name.startswith("aya_")}
        for name, module in self.manager.list_name_plugin():
            for attribute, value in vars(module).items():
                if hasattr(value, f"{hookspecs.PROJECT}_impl") and attribute not in known:
                    raise PluginError(
                        f"{self._describe(name)}: no hook named '{attribute}'; {did_you_mean(attribute, known)}"
                    )
        self.manager.check_pending()

    def _offer(self, plugin: str, hook: str, function: Any) -> Mapping[str, type[Strategy[Any]]]:
        where = f"{self._describe(plugin)}: {hook}"
        try:
            offered = function()
        except Exception as error:
            raise PluginError(f"{where} failed: {type(error).__name__}: {error}") from error
        if not isinstance(offered, Mapping):
            raise PluginError(
                f"{where} returned {type(offered).__name__}; expected a mapping of names to strategy classes"
            )
        for name, strategy in offered.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise PluginError(f"{where}: the name {name!r} is not lower case words joined by hyphens")
            if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
                raise PluginError(f"{where}: '{name}' is {strategy!r}; expected a subclass of Strategy")
        return offered

    def _describe(self, name: str) -> str:
        plugin = self.plugins.get(name)
        return f"plugin '{name}' ({plugin.distribution} {plugin.version})" if plugin else f"plugin '{name}'"


def _version(point: EntryPoint, module: ModuleType) -> str:
    """The distribution's version; for an editable install, whose code changes under one version, with a hash of its code."""
    if point.dist is None:
        return "0"
    origin = json.loads(point.dist.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return point.dist.version
    return f"{point.dist.version}+{source_hash(module.__name__.split('.')[0])}"


@cache
def source_hash(package: str) -> str:
    """Hash the Python sources of a top-level package or module, eight hexadecimal digits. Imports nothing."""
    spec = find_module(package)
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    files = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.py"))]
    if not folders and spec is not None and spec.origin is not None and Path(spec.origin).is_file():
        files = [(Path(spec.origin).parent, Path(spec.origin))]
    if not files:
        return "unknown"
    return stable_hash([[file.relative_to(folder).as_posix(), file_hash(file)] for folder, file in files])[:8]


def find_module(package: str) -> ModuleSpec | None:
    """Find a top-level package or module as the process that does the work will: last in the current folder."""
    try:
        return importlib.util.find_spec(package) or PathFinder.find_spec(package, [os.getcwd()])
    except ValueError:  # a module without a specification, such as __main__
        return None


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
