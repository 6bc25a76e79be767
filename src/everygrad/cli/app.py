"""The group of commands: each is loaded when it is asked for, and no error ends in a traceback."""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, final

import click

import everygrad
from everygrad.cli import exits
from everygrad.cli.screen import tell
from everygrad.errors import UnknownNameError, unknown_name

COMMANDS = ("report", "train", "check", "paths", "derive", "shapes", "doctor")

EPILOG = f"""\b
Examples:
  everygrad report --data digits --network 64,32,16,10
  everygrad train --data wine --hidden 32,16 --out wine.safetensors
  everygrad check --network wine.safetensors --data wine
  everygrad paths "y1 = x**2; y2 = x**3; z = log(y1*y2)" --at x=2
  everygrad derive --network 4,3,2 "h1[2]"
  everygrad shapes --network 64,32,16,10 --batch 32
  everygrad doctor

Results go to stdout, progress and errors to stderr; every command has --json. NO_COLOR is honoured.

{exits.HELP}"""


@final
class Commands(click.Group):
    """The commands by name; an unknown one is answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return import_module(f"everygrad.cli.{cmd_name}").command if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            try:
                raise unknown_name("command", args[0], COMMANDS)
            except UnknownNameError as error:
                ctx.fail(str(error))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("EVERYGRAD_TRACEBACK"):
                raise
            tell(f"Error: {exits.message_of(error)}", "red")
            raise click.exceptions.Exit(exits.code_of(error)) from None


@click.command(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(everygrad.__version__, "--version", prog_name="everygrad", message="%(prog)s %(version)s")
def everygrad_command() -> None:
    """Every gradient inside a neural network: exact, in closed form, checked."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for ∂
    with contextlib.suppress(BrokenPipeError):
        everygrad_command.main(args=args, prog_name="everygrad")
