"""The command `aya`. A subcommand is imported when it is asked for, so that `aya --help` stays quick."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from aya_core.contract.commands import Command
from aya_core.contract.errors import STOPPED, AyaError, PluginError, StoppedError, did_you_mean
from aya_core.contract.trouble import machine_trouble, os_sentence
from aya_core.contract.visible import brief, visible
from aya_core.running.garbage import look_seldom

COMMANDS: Mapping[str, Command] = {
    name: Command(summary, f"aya_core.cli.{where}")
    for name, where, summary in (
        ("run", "run:command", "Run a recipe, or the one that comes with aya-core."),
        ("check", "check:command", "Validate a recipe without running it."),
        ("plan", "plan:command", "Show the steps of a recipe and which of them stand already."),
        ("status", "status:command", "Show how far the run in a folder has come."),
        ("report", "report:command", "Write and show the report of a run folder."),
        ("verify", "upkeep:verify", "Read all of a run folder, and list what is damaged."),
        ("prune", "upkeep:prune", "List or delete what a run folder holds beside what its recipe needs."),
        ("strategies", "installed:strategies", "List strategies by kind, or show the settings of one."),
        ("plugins", "installed:plugins", "List the installed plugins and what they offer."),
        ("recipes", "installed:recipes", "List the bundled recipes."),
        ("new", "new:command", "Write a plugin to start from: an arbiter or a stage."),
        ("schema", "installed:schema", "Print the JSON Schema of recipes, installed plugins included."),
    )
}
"""The core's own commands; plugins bring others by the hook `aya_commands`."""


def all_commands() -> Mapping[str, Command]:
    """The commands of the core, then those of plugins. Raises PluginError where a plugin offers one that the core has."""
    from aya_core.planning.registry import Registry  # here: the core's own commands need no plugin

    brought = Registry().commands
    if taken := sorted(COMMANDS.keys() & brought.keys()):
        raise PluginError(f"a plugin offers the command '{taken[0]}', which the core has; its author must rename it")
    return {**COMMANDS, **brought}


def _find(name: str) -> Command | None:
    """Find a command. Plugins are loaded for those that the core has not, and plugins of others only for their own commands."""
    from aya_core.planning.registry import Registry

    return COMMANDS.get(name) or Registry(only_own=True).commands.get(name) or all_commands().get(name)


class Aya(click.Group):
    """Finds subcommands by name, and ends user mistakes with one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands in the order in which they are met."""
        return list(all_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        found = _find(cmd_name)
        if found is None:
            return None
        module, _, attribute = found.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in all_commands().items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the subcommand, or say which one is near."""
        if args and _find(args[0]) is None:
            ctx.fail(f"no command '{args[0]}'; {did_you_mean(args[0], all_commands())}")
        return super().resolve_command(ctx, args)


@click.group(cls=Aya, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="aya-core", prog_name="aya")
def aya() -> None:
    """Make language models that are good in many languages at once: data arbitrage, preference training, merging."""


class _Terminated(BaseException):
    """A SIGTERM came while no run was at work that could save anything."""


def _terminate(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: another one would take the exit code
    raise _Terminated


def main() -> None:
    """Run the command line."""
    look_seldom()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as of a program that is started with it closed
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal cannot show is no reason to fail
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = aya.main(prog_name="aya", standalone_mode=False)  # a number where a command said with which code to exit
        sys.stdout.flush()  # here, where a full disk can still be told
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.message = visible(error.message)  # type: ignore[misc]  # it shows this one
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)
    except _Terminated:
        click.echo("told to stop (SIGTERM); the same command goes on from here", err=True)
        sys.exit(STOPPED)
    except StoppedError as stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        click.echo(visible(f"aya: {stopped}"), err=True)
        sys.exit(STOPPED)
    except BrokenPipeError:
        _close_output()
        sys.exit(1)
    except AyaError as error:
        _fail("\n".join([str(error), *getattr(error, "__notes__", ())]))
    except OSError as error:
        _fail(machine_trouble(error) or os_sentence(error))
    except Exception as error:
        if (trouble := machine_trouble(error)) is None:
            raise
        _fail(trouble)


def _fail(message: str) -> NoReturn:
    with suppress(OSError):  # there may be nowhere to say it
        click.echo(visible(brief(f"aya: {message}")), err=True)
    _close_output()
    sys.exit(2)


def _close_output() -> None:
    """Drop what cannot be written any more, so that the interpreter does not try again as it ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
