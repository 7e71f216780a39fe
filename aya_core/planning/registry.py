"""The registry: which plugins are installed, and which strategies they offer.

A fresh registry loads every entry point of the group `aya` in name order, then the files that a recipe lists. Nothing
is swallowed: a plugin that does not import or exits, a misspelled or unmarked hook, a name offered twice and a class that its
kind does not allow are errors that name who and where. `AYA_DISABLE_PLUGINS` (names, comma-separated) blocks entry points.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pluggy
from pydantic import PydanticUserError, ValidationError

from aya_core import hookspecs
from aya_core.contract.commands import Command
from aya_core.contract.errors import PluginError, did_you_mean
from aya_core.contract.explain import SettingsError, explain
from aya_core.contract.hashes import file_hash
from aya_core.contract.identity import Code
from aya_core.contract.kinds import KINDS
from aya_core.contract.stage import NAME, Action, Stage
from aya_core.contract.strategies import Strategy, strategies_in
from aya_core.contract.trouble import is_file
from aya_core.contract.words import fault_without_type, faults_of_class
from aya_core.planning.printing import prints_named
from aya_core.planning.reading import ACTIONS

OWN = "aya-core"
"""The distribution that the core is a part of."""


@dataclass(frozen=True)
class Plugin:
    """Where strategies came from. version: of the distribution, or a hash of the file for a plugin that is one file."""

    name: str
    distribution: str
    version: str
    source: str


class _AsItStands(SourceFileLoader):
    """Loads a plugin that is a file from its source, never from bytecode: that of a file which was edited twice in a second may be
    of the first edit, while results are named by the second."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile what the file says now."""
        return self.source_to_code(self.get_data(self.path), self.path)


class Registry:
    """The plugins of one run. files: plugins that are Python files, as a recipe's `plugins:` lists them.

    only_own: load no plugin but those that come with the core, in its own distribution. It is for commands that read a run which
    anyone may have made.
    """

    def __init__(
        self, files: Sequence[Path] = (), *, disabled: Iterable[str] | None = None, only_own: bool = False
    ) -> None:
        if disabled is None:
            disabled = os.environ.get("AYA_DISABLE_PLUGINS", "").split(",")
        self.disabled = frozenset(name.strip() for name in disabled if name.strip())
        self.files = tuple(files)
        for path in self.files:
            if not is_file(path):
                raise PluginError(
                    f"plugins: no file {str(path)!r}; expected a Python file with hooks, relative to the recipe"
                )
        self.only_own = only_own
        self.code = Code(last=[path.resolve().parent for path in self.files])
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._load_entry_points()
        for path in self.files:
            self._load_file(path)
        self._check_hooks()

    @cached_property
    def strategies(self) -> Mapping[str, Mapping[str, type[Strategy[Any]]]]:
        """Every strategy class by kind and name, in name order."""
        return {kind: self._offers(kind, hook, _not_of(kind, Strategy)) for kind, hook in KINDS.items()}

    @cached_property
    def stages(self) -> Mapping[str, type[Stage]]:
        """Every stage class by what a recipe says after `do:`."""
        return self._offers("stage", "aya_stages", _not_of("stage", Stage))

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        """Every action of the core and of the stages, by name."""
        actions = dict(ACTIONS)
        for name, stage in self.stages.items():
            for action, done in stage.actions.items():
                if actions.setdefault(action, done) != done:
                    raise PluginError(
                        f"{self._describe(self._owners['stage', name])}: stage '{name}': the core or another stage has an action "
                        f"named '{action}'; rename one"
                    )
        return actions

    @cached_property
    def commands(self) -> Mapping[str, Command]:
        """The commands of `aya` that plugins bring, by name."""
        return self._offers("command", "aya_commands", _no_command)

    @cached_property
    def recipes(self) -> Mapping[str, Path]:
        """The files of bundled recipes, by name."""
        return self._offers("recipe", "aya_recipes", _no_file)

    @cached_property
    def suites(self) -> Mapping[str, Path]:
        """The files of bundled suites of evaluations, by name."""
        return self._offers("suite", "aya_suites", _no_file)

    @cached_property
    def offers(self) -> Mapping[str, Mapping[str, Any]]:
        """All that plugins offer, by kind and name: strategies, then stages, commands, recipes and suites."""
        others = {"stage": self.stages, "command": self.commands, "recipe": self.recipes, "suite": self.suites}
        return {**self.strategies, **others}

    def _offers(self, kind: str, hook: str, problem: Callable[[Any], str | None]) -> Mapping[str, Any]:
        """What plugins offer through a hook, by name, in name order. problem: says what is wrong with one that is offered."""
        offered: dict[str, Any] = {}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            plugin = implementation.plugin_name
            for name, thing in self._offer(plugin, kind, hook, implementation.function, problem).items():
                if name in offered:
                    raise PluginError(
                        f"{kind} '{name}' is offered twice: by {self._describe(self._owners[kind, name])} and by "
                        f"{self._describe(plugin)}; rename one, or block one with AYA_DISABLE_PLUGINS"
                    )
                self._owners[kind, name] = plugin
                offered[name] = thing
        return dict(sorted(offered.items()))

    def origin(self, kind: str, name: str) -> Plugin:
        """The plugin that offers something. kind: as in `offers`."""
        _ = self.offers  # fills the owners
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
        except UnicodeEncodeError as error:
            raise SettingsError(
                f"{error.object!r:.80} holds half of a character (a lone surrogate); write it whole"
            ) from None

    def dump(self, kind: str, strategy: Strategy[Any], *, essential: bool = False) -> dict[str, Any]:
        """Write a strategy as `{use: name, ...}`, every setting spelled out, as JSON can hold it.

        essential: leave out `execution_settings`, and `later_settings` at their default, here and in strategies inside.
        """
        left_out = _inessential(strategy) if essential else None
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
        return self.origin(*self.label_of(strategy).split(" "))

    def label_of(self, strategy: Strategy[Any]) -> str:
        """The kind and name under which a strategy's class is offered, such as `merge mine`."""
        try:
            return self._labels[type(strategy)]
        except KeyError:
            raise PluginError(f"{type(strategy).__name__} is offered by no plugin") from None

    @cached_property
    def _labels(self) -> Mapping[type[Strategy[Any]], str]:
        """Of a class that is offered twice, the first."""
        found: dict[type[Strategy[Any]], str] = {}
        for kind, offered in self.strategies.items():
            for name, strategy in offered.items():
                found.setdefault(strategy, f"{kind} {name}")
        return found

    def code_of(self, strategy: Strategy[Any]) -> Mapping[str, str]:
        """The identities of the code behind a strategy, and those inside it: by kind and name, and by module for what settings name.

        Raises PluginError for a module that is not to be found.
        """
        found: dict[str, str] = {}
        for inner in strategies_in(strategy):
            label = self.label_of(inner)
            found[label] = self.code.identity(label, type(inner), version=inner.version)
            for module in inner.code_modules:
                identity = self.code.identity_of_module(module)
                if identity is None:
                    raise PluginError(
                        f"no module '{module.partition('.')[0]}'; expected one that is installed or stands in {Path.cwd()}"
                    )
                found[f"module {module}"] = identity
        return found

    def code_of_hook(self, hook: str) -> Mapping[str, str]:
        """The identities of what plugins do for a hook, by hook and plugin; none for a name that only looks like one of a hook."""
        found: dict[str, str] = {}
        caller: pluggy.HookCaller | None = getattr(self.manager.hook, hook, None)
        for implementation in caller.get_hookimpls() if caller is not None else ():
            label = f"{hook} of {implementation.plugin_name}"
            version = getattr(implementation.function, "version", 1)
            found[label] = self.code.identity(label, implementation.function, version=version)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the files and names that it was made with."""
        return _again, (self.files, self.disabled)

    def _load_entry_points(self) -> None:
        found = sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: (point.name, point.value))
        seen: dict[str, EntryPoint] = {}
        for point in found:
            if self.only_own and not _is_own(point):
                continue
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
            who = f"plugin '{point.name}' of {_origin(point)}"
            try:
                with prints_named(who):
                    module = point.load()
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"{who}{_failure(' does not import', error)}; "
                    f"mend or uninstall it, or block it with AYA_DISABLE_PLUGINS={point.name}"
                ) from error
            distribution, version = _named(point.dist) if point.dist else ("unknown", "0")
            self._register(module, Plugin(point.name, distribution, version, point.value))
        if (unknown := self.disabled - set(seen)) and not self.only_own:
            name = min(unknown)
            raise PluginError(f"AYA_DISABLE_PLUGINS: no plugin named '{name}'; {did_you_mean(name, seen)}")

    def _load_file(self, path: Path) -> None:
        name = f"aya_plugin_file_{path.stem}"
        if path.suffix != ".py":
            raise PluginError(f"plugins: {path} is not a Python file; expected a name that ends in .py")
        loader = _AsItStands(name, str(path))
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic looks annotations up there
        try:
            with prints_named(f"plugin {path}"):
                loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(f"plugin {path}{_failure(' does not import', error)}") from error
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
            who = self._describe(name)
            marked = [name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.PROJECT}_impl")]
            for attribute in marked:
                if attribute not in known:
                    raise PluginError(f"{who}: no hook named '{attribute}'; {did_you_mean(attribute, known)}")
            nothing = "" if marked else " offers nothing"
            for attribute in known & set(vars(module)) - set(marked):
                raise PluginError(f"{who}{nothing}: {attribute} has no @hookimpl")
            if nothing:
                raise PluginError(f"{who}{nothing}: no function in it is marked with @hookimpl")
        self.manager.check_pending()

    def _offer(
        self, plugin: str, kind: str, hook: str, function: Any, problem: Callable[[Any], str | None]
    ) -> Mapping[str, Any]:
        who = self._describe(plugin)
        where = f"{who}: {hook}"
        try:
            with prints_named(who):
                offered = function()
        except (Exception, SystemExit) as error:
            raise PluginError(f"{where}{_failure(' failed', error)}") from error
        if not isinstance(offered, Mapping):
            raise PluginError(f"{where} returned {type(offered).__name__}; expected a mapping of names")
        for name, thing in offered.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise PluginError(f"{where}: the name {name!r} is not lower case words joined by hyphens")
            if (fault := problem(thing)) is not None:
                raise PluginError(f"{who}: {kind} '{name}' {fault}")
        return offered

    def _describe(self, name: str) -> str:
        plugin = self.plugins.get(name)
        return f"plugin '{name}' ({plugin.distribution} {plugin.version})" if plugin else f"plugin '{name}'"


def _inessential(strategy: Strategy[Any]) -> set[str]:
    """The settings that do not decide what comes of a strategy."""
    bases = [base for base in type(strategy).__mro__ if issubclass(base, Strategy)]
    left_out = {name for base in bases for name in base.execution_settings}
    fields = type(strategy).model_fields
    later = {name for base in type(strategy).__mro__ for name in vars(base).get("later_settings", ())}
    return left_out | {name for name in later if getattr(strategy, name) == fields[name].default}


def _not_of(kind: str, base: type) -> Callable[[Any], str | None]:
    """Tell what is wrong with what is offered as a class of a kind."""

    def problem(thing: Any) -> str | None:
        if not (isinstance(thing, type) and issubclass(thing, base)):
            return f"is {thing!r}; expected a subclass of {base.__name__}"
        faults = faults_of_class(thing, kind)
        return f"(class {thing.__name__}) {'; it '.join(faults)}" if faults else None

    return problem


def _no_command(thing: Any) -> str | None:
    return None if isinstance(thing, Command) else f"is {thing!r}; expected a Command"


def _no_file(thing: Any) -> str | None:
    return None if isinstance(thing, Path) and thing.is_file() else f"is {thing!r}; expected the path of a file"


def _again(files: Sequence[Path], disabled: Iterable[str]) -> Registry:
    return Registry(files, disabled=disabled)


def _failure(what: str, error: BaseException) -> str:
    """Say what a plugin's code did instead of returning, or what is wrong with a class of it."""
    if isinstance(error, SystemExit):
        return f" exits as it loads (SystemExit: {error.code}); it must return or raise"
    if isinstance(error, PydanticUserError) and (untyped := fault_without_type(error)):
        return f": {untyped}"
    return f"{what}: {type(error).__name__}: {error}"


def _is_own(point: EntryPoint) -> bool:
    """Whether a plugin comes with the core."""
    return point.dist is not None and _named(point.dist)[0] == OWN


def _origin(point: EntryPoint) -> str:
    return " ".join(_named(point.dist)) if point.dist else point.value


@lru_cache(maxsize=64)
def _named(distribution: Distribution) -> tuple[str, str]:
    """Name and version of a distribution; each time that it is asked, it reads its metadata anew."""
    return distribution.name, distribution.version
