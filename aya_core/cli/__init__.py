"""The command `aya`. One file a subcommand, imported when it is asked for, so that `aya --help` stays quick."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from aya_core.errors import AyaError
from aya_core.garbage import look_seldom

COMMANDS = {
    "run": "Run a recipe, or the bundled micro recipe.",
    "check": "Validate a recipe without running it.",
    "plan": "Show the steps of a recipe and which of them stand already.",
    "status": "Show how far the run in a folder has come.",
    "report": "Write and show the report of a run folder.",
    "arbitrate": "Ask teachers, judge and pick: the arbitrage stage alone.",
    "train": "Train a model: a train stage alone.",
    "show-tokens": "Show rows as the tokens that a trainer sees, and which of them are learnt.",
    "evaluate": "Evaluate models, without a recipe or as one says, and write tables.",
    "compare": "Compare two evaluated models, prompt by prompt.",
    "winrate": "Show win rates from a file of verdicts or preferences.",
    "export": "Write rows of a run as JSONL.",
    "merge": "Merge checkpoints as a mergekit-style YAML file says.",
    "strategies": "List strategies by kind, or show the settings of one.",
    "plugins": "List the installed plugins and what they offer.",
    "recipes": "List the bundled recipes.",
    "schema": "Print the JSON Schema of recipes, installed plugins included.",
}


class Aya(click.Group):
    """Finds subcommands by name, and ends user mistakes with one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands in the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"aya_core.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the subcommand, or say which one is near."""
        from aya_core.errors import did_you_mean

        if args and args[0] not in COMMANDS:
            ctx.fail(f"no command '{args[0]}'; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Aya, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="aya-core", prog_name="aya")
def aya() -> None:
    """Make language models that are good in many languages at once: data arbitrage, preference training, merging."""


def main() -> None:
    """Run the command line."""
    look_seldom()
    try:
        aya.main(prog_name="aya", standalone_mode=False)
    except click.exceptions.Exit as exit:
        sys.exit(exit.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except AyaError as error:
        click.echo(f"aya: {error}", err=True)
        sys.exit(2)
