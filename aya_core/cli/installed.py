"""`aya plugins`, `aya strategies`, `aya recipes` and `aya schema`: what is installed, and what a recipe can say by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from aya_core.cli.tables import print_table
from aya_core.cli.terminal import TextConsole, say
from aya_core.contract.errors import PluginError, did_you_mean
from aya_core.contract.kinds import KINDS
from aya_core.contract.merge_parameters import MergeParameter
from aya_core.contract.strategies import Settings, Strategy
from aya_core.planning import yaml12
from aya_core.planning.registry import Registry
from aya_core.planning.schema import recipe_schema

SHOWN = (*KINDS, "stage")
"""What has settings."""


@click.command(name="strategies")
@click.argument("words", nargs=-1, metavar="[KIND | show KIND NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def strategies(words: tuple[str, ...], as_json: bool) -> None:
    """List strategies and stages, of one KIND or of all; or show the settings of one."""
    registry = Registry()
    if words[:1] == ("show",):
        if len(words) != 3:
            raise click.UsageError("expected: aya strategies show KIND NAME, both as `aya strategies` lists them")
        _show_strategy(registry, _kind(words[1]), words[2], as_json)
    elif len(words) > 1:
        raise click.UsageError("expected: aya strategies [KIND], or: aya strategies show KIND NAME")
    else:
        _list_strategies(registry, [_kind(words[0])] if words else list(SHOWN), as_json)


def _kind(word: str) -> str:
    kind = word.removesuffix("s")
    if kind not in SHOWN:
        raise PluginError(f"no kind of strategy '{word}'; {did_you_mean(kind, SHOWN)}")
    return kind


def _list_strategies(registry: Registry, kinds: list[str], as_json: bool) -> None:
    rows = [
        {
            "kind": kind,
            "name": name,
            "about": (strategy.__doc__ or "").strip().split("\n")[0],
            "plugin": registry.origin(kind, name).distribution,
        }
        for kind in kinds
        for name, strategy in registry.offers[kind].items()
    ]
    if as_json:
        say(json.dumps(rows))
        return
    table = Table("kind", "name", "what it does", "from")
    last = ""
    for row in rows:
        if last and row["kind"] != last:
            table.add_section()
        table.add_row(row["kind"] if row["kind"] != last else "", row["name"], row["about"], row["plugin"])
        last = row["kind"]
    print_table(table, TextConsole())


def _show_strategy(registry: Registry, kind: str, name: str, as_json: bool) -> None:
    if name not in registry.offers[kind]:
        raise PluginError(f"no {kind} named '{name}'; {did_you_mean(name, registry.offers[kind])}")
    strategy = registry.offers[kind][name]
    if as_json:
        say(json.dumps(strategy.model_json_schema()))
        return
    console = TextConsole()
    origin = registry.origin(kind, name)
    made_by = f" from {origin.distribution} {origin.version} ({origin.source})\n"
    console.print(Text.assemble((f"{kind} {name}", "bold"), made_by))
    console.print((strategy.__doc__ or "").strip())
    if strategy.model_fields:
        table = Table("setting", "default", "what it is")
        for setting, field in strategy.model_fields.items():
            table.add_row(setting, shown_default(field), field.description or "")
        print_table(table, console)


def shown_default(field: FieldInfo) -> str:
    """The default of a setting; of one that holds settings, each of them that is neither None nor empty."""
    if field.is_required():
        return "required"
    return _written(field.get_default(call_default_factory=True))


def _written(value: Any) -> str:
    if isinstance(value, MergeParameter):
        return repr(value.written)
    if isinstance(value, Settings) and not isinstance(value, Strategy):
        return f"{{{', '.join(f'{name}: {_written(one)}' for name, one in value if one not in (None, (), {}))}}}"
    return repr(value)


@click.command(name="plugins")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), help="Also load this plugin file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def plugins(files: tuple[Path, ...], as_json: bool) -> None:
    """List the installed plugins: where each comes from and what it offers."""
    registry = Registry(files)
    offered: dict[str, list[str]] = {name: [] for name in registry.plugins}
    for kind, names in registry.offers.items():
        for name in names:
            offered[registry.origin(kind, name).name].append(f"{kind} {name}")
    rows = [
        {"plugin": p.name, "distribution": p.distribution, "version": p.version, "source": p.source, "offers": offered[p.name]}
        for p in registry.plugins.values()
    ]  # fmt: skip
    if as_json:
        say(json.dumps(rows))
        return
    table = Table("plugin", "from", "source", "offers")
    for row in rows:
        table.add_row(
            str(row["plugin"]), f"{row['distribution']} {row['version']}", str(row["source"]), "\n".join(row["offers"])
        )
    print_table(table, TextConsole())
    if registry.disabled:
        say(f"blocked by AYA_DISABLE_PLUGINS: {', '.join(sorted(registry.disabled))}")


@click.command(name="recipes")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def recipes(as_json: bool) -> None:
    """List the recipes that plugins bring; `aya run NAME` runs one."""
    about = {
        name: {"file": str(path), "about": yaml12.read(path).get("about", "")}
        for name, path in Registry().recipes.items()
    }
    if as_json:
        say(json.dumps(about))
        return
    for name, recipe in about.items():
        say(f"{name}: {recipe['about']}\n    {recipe['file']}")


@click.command(name="schema")
def schema() -> None:
    """Print the JSON Schema of recipes, the strategies of installed plugins included."""
    say(json.dumps(recipe_schema(Registry()), indent=1, ensure_ascii=False))
