"""`aya strategies`: what can stand after `use:`, and after `do:`."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from aya_core.contract.errors import PluginError, did_you_mean
from aya_core.contract.kinds import KINDS
from aya_core.contract.strategies import Settings
from aya_core.planning.registry import Registry

SHOWN = (*KINDS, "stage")
"""What has settings."""


@click.command(name="strategies")
@click.argument("words", nargs=-1, metavar="[KIND | show KIND NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """List strategies and stages, of one KIND or of all; or show the settings of one."""
    registry = Registry()
    if words[:1] == ("show",):
        if len(words) != 3:
            raise click.UsageError("expected: aya strategies show KIND NAME, both as `aya strategies` lists them")
        _show(registry, _kind(words[1]), words[2], as_json)
    elif len(words) > 1:
        raise click.UsageError("expected: aya strategies [KIND], or: aya strategies show KIND NAME")
    else:
        _list(registry, [_kind(words[0])] if words else list(SHOWN), as_json)


def _kind(word: str) -> str:
    kind = word.removesuffix("s")
    if kind not in SHOWN:
        raise PluginError(f"no kind of strategy '{word}'; {did_you_mean(kind, SHOWN)}")
    return kind


def _list(registry: Registry, kinds: list[str], as_json: bool) -> None:
    rows = [
        {"kind": kind, "name": name, "about": first_line(strategy), "plugin": registry.origin(kind, name).distribution}
        for kind in kinds
        for name, strategy in registry.offers[kind].items()
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("kind", "name", "what it does", "from")
    last = ""
    for row in rows:
        if last and row["kind"] != last:
            table.add_section()
        table.add_row(row["kind"] if row["kind"] != last else "", row["name"], row["about"], row["plugin"])
        last = row["kind"]
    Console().print(table)


def _show(registry: Registry, kind: str, name: str, as_json: bool) -> None:
    if name not in registry.offers[kind]:
        raise PluginError(f"no {kind} named '{name}'; {did_you_mean(name, registry.offers[kind])}")
    strategy = registry.offers[kind][name]
    if as_json:
        click.echo(json.dumps(strategy.model_json_schema()))
        return
    console = Console()
    origin = registry.origin(kind, name)
    console.print(f"[bold]{kind} {name}[/bold] from {origin.distribution} {origin.version} ({origin.source})\n")
    console.print((strategy.__doc__ or "").strip(), markup=False)
    if strategy.model_fields:
        table = Table("setting", "default", "what it is")
        for setting, default, description in describe_fields(strategy):
            table.add_row(setting, default, description)
        console.print(table)


def first_line(strategy: type[Settings]) -> str:
    """What a strategy does, in a line."""
    return (strategy.__doc__ or "").strip().split("\n")[0]


def describe_fields(strategy: type[Settings]) -> list[tuple[str, str, str]]:
    """Name, default and description of every setting."""
    return [
        (name, "required" if field.is_required() else str(field.get_default(call_default_factory=True)), field.description or "")
        for name, field in strategy.model_fields.items()
    ]  # fmt: skip
