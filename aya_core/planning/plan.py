"""The plan: a recipe as a graph of nodes, each of which makes one artifact.

Stages unroll themselves into nodes through a `Builder` (see `Stage.unroll`). A node names its action, its settings as
plain data, and its inputs: earlier nodes, or files and models of the user's. Settings that will hold a path once the
inputs stand hold `$role` until then.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from aya_core import __version__
from aya_core.contract.artifacts import MANIFEST, PAYLOAD, stable_hash
from aya_core.contract.errors import PluginError, RecipeError, did_you_mean
from aya_core.contract.strategies import EACH, LocalFile, ModelRef, Reference, Strategy, find, strategies_in
from aya_core.planning.hub import HubModel, hub_model
from aya_core.planning.reading import ROW_RECORDS
from aya_core.planning.recipe import LoadedRecipe

ASKED_KINDS = ("teacher ", "arbiter ")
"""What the labels of code begin with whose answers or verdicts later runs take over."""

ROWS_KINDS = frozenset(ROW_RECORDS)
"""The kinds of artifact that hold rows."""


@dataclass(frozen=True)
class Node:
    """One step of a run.

    action: what is done, by the name under which a stage offers it. kind: of the artifact it makes. inputs: node ids by role.
    identity: the settings without execution settings; they decide whether its result stands.
    subpaths: the one file or folder of an input that it reads, by role, so that changes in others do not concern it.
    external: files, folders and models of the user's by role: whole paths, or ids on the hub. plugins: versions of what its strategies
    come from, for the record.
    code: identities of the code that decides its result (see `identity.py`). asked: where teachers or arbiters are asked whose
    answers later runs take over, the `settings`, `seed` and `code` that decide what they say (see `Asked`).
    imports: modules its strategies import, loaded before it starts; needs: those that it loads itself. remote:
    whether a server does the work, so that it takes none of `machine.jobs`.

    guard: a node whose measures have `stop`, with the `reason`, where this node is not to be done; the artifact of `fallback` stands in
    for it then. alias_of: nothing is done here, that node's artifact is this one's, unless the guard says stop.
    """

    id: str
    stage: str
    action: str
    kind: str
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    inputs: Mapping[str, str]
    external: Mapping[str, str]
    seed: int
    plugins: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    remote: bool = False
    subpaths: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    guard: str | None = None
    fallback: str | None = None
    alias_of: str | None = None

    @property
    def after(self) -> frozenset[str]:
        """The nodes whose artifacts must stand before it is this one's turn."""
        others = (self.guard, self.fallback, self.alias_of)
        return frozenset((*self.inputs.values(), *(id for id in others if id is not None)))


class Use(NamedTuple):
    """A strategy at its place in a recipe. node: the step that it works in. where: `stages.tune.trainer`. role: under which its
    models are among the inputs of the step."""

    node: str
    where: str
    role: str
    strategy: Strategy[Any]


@dataclass(frozen=True)
class Plan:
    """Nodes in an order in which they can run, and the names by which stages refer to their results.

    part_of: the plan that these are some of the nodes of. uses: the strategies of the whole recipe.
    """

    recipe: str
    nodes: Mapping[str, Node]
    names: Mapping[str, Mapping[str, str]]
    uses: Sequence[Use] = ()
    part_of: Plan | None = field(default=None, repr=False)

    @property
    def whole(self) -> Plan:
        """The plan of the whole recipe."""
        return self if self.part_of is None else self.part_of

    def until(self, stage: str) -> Plan:
        """Keep the nodes up to the end of a stage. Raises RecipeError for an unknown one."""
        stages = list(dict.fromkeys(node.stage for node in self.nodes.values()))
        if stage not in stages:
            raise RecipeError(f"--until {stage}: no stage named '{stage}'; {did_you_mean(stage, stages)}")
        kept = set(stages[: stages.index(stage) + 1])
        return self._part({id: node for id, node in self.nodes.items() if node.stage in kept})

    def only(self, *wanted: str) -> Plan:
        """Keep the nodes of some stages and those that they need. Raises RecipeError for an unknown one."""
        stages = {node.stage for node in self.nodes.values()}
        for stage in wanted:
            if stage not in stages:
                raise RecipeError(f"no stage named '{stage}'; {did_you_mean(stage, stages)}")
        needed = {id for id, node in self.nodes.items() if node.stage in wanted}
        for id in reversed(list(self.nodes)):  # nodes come after what they read
            if id in needed:
                needed |= self.nodes[id].after
        return self._part({id: node for id, node in self.nodes.items() if id in needed})

    def hub_models(self) -> Mapping[str, HubModel]:
        """The models of the hub that the nodes read, by what the recipe calls them."""
        paths = {path for node in self.nodes.values() for path in node.external.values()}
        return {path: model for path in sorted(paths) if (model := hub_model(path)) is not None}

    def _part(self, nodes: Mapping[str, Node]) -> Plan:
        return Plan(self.recipe, nodes, self.names, self.uses, self.whole)

    def readers(self, id: str) -> Iterator[Node]:
        """The nodes that read a node's artifact."""
        return (node for node in self.nodes.values() if id in node.inputs.values())


class Builder:
    """Collects the nodes of a recipe, stage by stage, and resolves references to what earlier stages make."""

    def __init__(self, loaded: LoadedRecipe) -> None:
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.registry = loaded.registry
        self.nodes: dict[str, Node] = {}
        self.names: dict[str, dict[str, str]] = {}
        self.uses: list[Use] = []
        self.stage = ""

    def add(
        self, id: str, action: str, kind: str, settings: Mapping[str, Any], inputs: Mapping[str, str | Reference] | None = None,
        strategies: Mapping[str, tuple[str, Strategy[Any]]] | None = None, *, model: str | None = None,
        subpaths: Mapping[str, str] | None = None, at: Mapping[str, str] | None = None,
        execution: Mapping[str, Any] | None = None, asked_by: Sequence[str] | None = None,
        draws: bool = True,
    ) -> str:  # fmt: skip
        """Add a node and return its id.

        inputs: node ids by role. strategies: (kind, strategy) by the setting that will hold them; the references and
        files inside them become inputs. model: node or model for the strategies that are applied to each model in
        turn. subpaths: the one file or folder of an input that is read, by role. at: where in the stage a strategy stands, for
        messages, if not under its setting. execution: settings that change how the work is done, not what comes of it.
        asked_by: the settings that decide what teachers or arbiters say; those among them, or inside them, are who is asked. None
        means strategies and `sampling`, for an action that asks. draws: whether what they say depends on the node's seed, too.
        """
        if asked_by is None:
            asks = action in self.registry.actions and self.registry.actions[action].asks
            asked_by = ("sampling", *(strategies or {})) if asks else ()
        node_inputs = {role: str(value) for role, value in (inputs or {}).items()}
        external = {role: node_inputs.pop(role) for role in list(node_inputs) if node_inputs[role] not in self.nodes}
        specs: dict[str, Any] = {}
        essential: dict[str, Any] = {}
        plugins = {"aya_core": __version__}
        code = self._code_of(action)
        asked: dict[str, Any] = {key: settings[key] for key in asked_by if key in settings}
        asked_code: dict[str, str] = {}
        imports: dict[str, None] = {}
        needs: dict[str, None] = {}
        places: set[bool] = set()
        for key, (strategy_kind, strategy) in (strategies or {}).items():
            spec = self.registry.dump(strategy_kind, strategy)
            essential[key] = self.registry.dump(strategy_kind, strategy, essential=True)
            self._take_references(
                key, strategy, (spec, essential[key]), node_inputs, external, model, (at or {}).get(key, key)
            )
            self.uses.append(Use(id, f"stages.{self.stage}.{(at or {}).get(key, key)}", key, strategy))
            specs[key] = spec
            code.update(self._code_of_strategy(strategy, (at or {}).get(key, key)))
            for path, one in self._asked_in(strategy) if key in asked_by else ():
                asked[".".join((key, *map(str, path)))] = _get(essential[key], path)
                asked_code.update(self.registry.code_of(one))
            for inner in strategies_in(strategy):
                origin = self.registry.origin_of(inner)
                plugins[origin.distribution if origin.distribution != "file" else origin.name] = origin.version
                imports.update(dict.fromkeys(inner.imports))
                needs.update(dict.fromkeys((*inner.needs, *inner.needs_of_settings)))
                if inner.remote or inner.imports or inner.needs:
                    places.add(inner.remote)
        if id in self.nodes:
            raise RecipeError(
                f"{self.loaded.source}: stages.{self.stage}: the step '{id}' exists already; rename the stage"
            )
        seed = int(stable_hash([self.recipe.seed, id])[:8], 16) >> 1
        self.nodes[id] = Node(
            id, self.stage, action, kind, {**settings, **(execution or {}), **specs}, {**settings, **essential}, node_inputs, external,
            seed, plugins, tuple(imports), tuple(needs), places == {True}, dict(subpaths or {}), code,
            {"settings": asked, "seed": seed if draws else None, "code": asked_code} if asked_code else {},
        )  # fmt: skip
        return id

    def guard(self, id: str, guard: str, fallback: str) -> None:
        """Let another node's artifact stand in for a node where a guard says stop."""
        self.nodes[id] = replace(self.nodes[id], guard=guard, fallback=fallback)

    def choose(self, id: str, alias_of: str, guard: str, fallback: str) -> str:
        """Add a node for one of two artifacts that others make: `fallback` where a guard says stop. Returns its id."""
        kind = self.nodes[alias_of].kind
        self.nodes[id] = Node(
            id, self.stage, "choose", kind, {}, {}, {}, {}, 0, guard=guard, fallback=fallback, alias_of=alias_of
        )
        return id

    def name(self, name: str, results: str | Mapping[str, str]) -> None:
        """Let later stages refer to a node, or to one node per cluster, by a name."""
        self.names[name] = {"": results} if isinstance(results, str) else dict(results)
        if not isinstance(results, str):
            for cluster, id in results.items():
                self.names[f"{name}@{cluster}"] = {"": id}

    def resolve(
        self, reference: Reference, where: str, *, cluster: str | None = None, kinds: frozenset[str] | None = None
    ) -> str:
        """Turn a reference into a node id, or into the whole path or hub id of something outside the run.

        cluster: pick this cluster's result where the name stands for one per cluster.
        """
        results = self.resolve_group(reference, where, kinds=kinds)
        if "" in results:
            return results[""]
        if cluster is not None and cluster in results:
            return results[cluster]
        known = ", ".join(f"{reference}@{name}" for name in results)
        raise self.error(
            where, f"'{reference}' stands for one result per cluster here; name one of {known}, or merge them"
        )

    def resolve_group(
        self, reference: Reference, where: str, *, kinds: frozenset[str] | None = None
    ) -> Mapping[str, str]:
        """Turn a reference into node ids by cluster; a single result has the cluster ''."""
        text = str(reference)
        kinds = kinds or reference.accepts
        if text in self.names:
            results = self.names[text]
            for id in results.values():
                if id in self.nodes and self.nodes[id].kind not in kinds:
                    raise self.error(where, f"'{text}' is {_a(self.nodes[id].kind)}; expected {_any_of(kinds)}")
            return results
        if "/" in text or text.startswith("."):
            return {"": self._outside(reference, where)}
        stage = text.split(".")[0].split("@")[0].split(":")[0]
        later = [later.name for later in self.recipe.stages]
        if stage in later and stage not in self._begun():
            raise self.error(where, f"'{text}' is made by a later stage; move '{stage}' before '{self.stage}'")
        raise self.error(
            where, f"nothing named '{text}'; {did_you_mean(text, self.names)} (a path needs a slash: ./{text})"
        )

    def file(self, text: str, where: str, published: str = "") -> str:
        """Find a file or folder of the user's, or files that match a pattern; return the whole path. published: see `Strategy`."""
        full = self._whole(text, where)
        if not full.exists() and next(glob.iglob(str(full), recursive=True), None) is None:
            wanted = "expected data there, or another path (relative to the recipe)"
            raise self.error(where, "; ".join(filter(None, (f"no file or folder {full}", wanted, published))))
        return str(full)

    def error(self, where: str, what: str) -> RecipeError:
        """Make the error for something wrong in the current stage."""
        path = f"stages.{self.stage}.{where}" if where else f"stages.{self.stage}"
        return RecipeError(f"{self.loaded.source}: {path}: {what}")

    def clusters(self, where: str) -> Sequence[str]:
        """The recipe's clusters. Raises RecipeError when it has none."""
        if not self.recipe.cluster_names:
            raise self.error(where, "the recipe names no clusters; expected `clusters:` with the languages of each")
        return self.recipe.cluster_names

    def rows(
        self, source: Reference | Strategy[Any], where: str, kind: str, id: str, *, cluster: str | None = None
    ) -> str:
        """Return the node that holds rows: an earlier one, or a new one that reads a data set."""
        if isinstance(source, Reference):
            return self.resolve(
                source, where, cluster=cluster, kinds=frozenset({kind}) if kind != "any" else ROWS_KINDS
            )
        if id in self.nodes:
            return id
        if kind not in (*ROWS_KINDS, "any"):
            raise self.error(where, f"a data set yields no {kind} rows; name what an earlier stage makes")
        kind = "demonstrations" if kind == "any" else kind
        settings = {"kind": kind, "languages": list(self.recipe.languages)}
        return self.add(id, "read", kind, settings, strategies={"dataset": ("dataset", source)}, at={"dataset": where})

    def _code_of(self, action: str) -> dict[str, str]:
        """The identities of an action's code, and of what plugins do for the hooks that it calls."""
        if action not in self.registry.actions:
            raise self.error("", f"no stage has the action '{action}'; {did_you_mean(action, self.registry.actions)}")
        done = self.registry.actions[action]
        code, label = self.registry.code, f"action {action}"
        found = {label: code.identity(label, done.run, version=done.version)}
        for hook in sorted(code.reached(done.run).hooks):
            found.update(self.registry.code_of_hook(hook))
        return found

    def _code_of_strategy(self, strategy: Strategy[Any], where: str) -> Mapping[str, str]:
        try:
            return self.registry.code_of(strategy)
        except PluginError as error:
            raise self.error(where, str(error)) from None

    def _asked_in(self, strategy: Strategy[Any]) -> Iterator[tuple[tuple[str | int, ...], Strategy[Any]]]:
        """The teachers and arbiters in a strategy, with the path to each; not those inside of them."""
        if self.registry.label_of(strategy).startswith(ASKED_KINDS):
            yield (), strategy
            return
        for name in type(strategy).model_fields:
            for path, inner in find(getattr(strategy, name), Strategy, (name,)):  # type: ignore[type-abstract]
                yield from (((*path, *rest), one) for rest, one in self._asked_in(inner))

    def _begun(self) -> list[str]:
        names = [stage.name for stage in self.recipe.stages]
        return names[: names.index(self.stage)]

    def _take_references(
        self, key: str, strategy: Strategy[Any], specs: Sequence[dict[str, Any]], inputs: dict[str, str], external: dict[str, str],
        model: str | None, at: str,
    ) -> None:  # fmt: skip
        for path, reference in find(strategy, Reference):
            role, where = (".".join((start, *map(str, path))) for start in (key, at))
            if str(reference) == EACH:
                if model is None:
                    raise self.error(where, "no model is given here; expected a stage, a folder or a hub id")
                target = model
            else:
                target = self.resolve(reference, where)
            if target in self.nodes:
                inputs[role] = target
            else:
                external[role] = target
            for spec in specs:
                _set(spec, path, f"${role}")
        for path, file in find(strategy, LocalFile):
            role, where = (".".join((start, *map(str, path))) for start in (key, at))
            external[role] = self.file(file, where, strategy.published if len(path) == 1 else "")
            for spec in specs:
                _set(spec, path, f"${role}")

    def _whole(self, text: str, where: str) -> Path:
        """A path that the recipe names, from the root on. Raises RecipeError for one that no file can have."""
        try:
            full = (self.loaded.folder / Path(text).expanduser()).resolve()
            full.exists()  # raises where a name is too long
        except (OSError, ValueError, RuntimeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise self.error(
                where, f"{text!r:.80}: no path can be this ({why.rstrip('.')}); expected that of a file or folder"
            ) from None
        return full

    def _outside(self, reference: Reference, where: str) -> str:
        text = str(reference)
        if isinstance(reference, ModelRef) and text in self.recipe.models:
            return self._stand_in(text)
        full = self._whole(text, where)
        if full.exists():
            return str(full / PAYLOAD if (full / MANIFEST).is_file() else full)
        if not isinstance(reference, ModelRef):
            raise self.error(where, f"no folder {full}; expected rows there (relative to the recipe)")
        if text.startswith((".", "~")) or hub_model(text) is None:
            raise self.error(
                where,
                f"no folder {full}; expected a model there (relative to the recipe), or a hub id: owner/name or owner/name@revision",
            )
        return text

    def _stand_in(self, model: str) -> str:
        """The folder that stands for a model of the hub here."""
        given = self.recipe.models[model]
        full = self._whole(given, "")
        if not full.is_dir():
            raise RecipeError(
                f"{self.loaded.source}: models: {model}: no folder {full}; expected the model there (relative to the recipe)"
            )
        return str(full / PAYLOAD if (full / MANIFEST).is_file() else full)


def make_plan(loaded: LoadedRecipe) -> Plan:
    """Unroll every stage of a recipe. Raises RecipeError for references that cannot be met."""
    build = Builder(loaded)
    for stage in loaded.recipe.stages:
        build.stage = stage.name
        stage.unroll(build)
    for stage in loaded.recipe.stages:
        build.stage = stage.name
        stage.review(build)
    return Plan(loaded.recipe.name, build.nodes, build.names, tuple(build.uses))


def fill_paths(settings: Any, paths: Mapping[str, str]) -> Any:
    """Replace each `$role` in settings by the path of that input."""
    if isinstance(settings, str) and settings.startswith("$") and settings[1:] in paths:
        return paths[settings[1:]]
    if isinstance(settings, Mapping):
        return {key: fill_paths(value, paths) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [fill_paths(value, paths) for value in settings]
    return settings


def _get(spec: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        spec = spec[part]
    return spec


def _set(spec: Any, path: Sequence[str | int], value: str) -> None:
    for part in path[:-1]:
        spec = spec[part]
    spec[path[-1]] = value


def _a(kind: str) -> str:
    return "a checkpoint" if kind == "checkpoint" else kind


def _any_of(kinds: frozenset[str]) -> str:
    return " or ".join(_a(kind) for kind in sorted(kinds))
