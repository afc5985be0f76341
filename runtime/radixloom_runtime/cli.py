"""The `radixloom` command: composition root of the runtime.

    radixloom serve | worker | route | fetch | plan | chat | bench

Each subcommand is a module of `commands/` that offers

    docstring's first line                                      its help
    add_arguments(parser: argparse.ArgumentParser) -> None      its flags
    run(arguments: argparse.Namespace) -> int                   its work; returns the exit code

and imports heavy things inside `run`, so that `--help` is instant. A `RadixloomError` that leaves
`run` becomes one line on stderr: exit code 2 where the user can mend it, else 1.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from radixloom_runtime import __version__
from radixloom_runtime.errors import (
    ConfigurationError,
    FetchError,
    RadixloomError,
    RequestError,
)

COMMANDS = ("serve", "worker", "route", "fetch", "plan", "chat", "bench")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


class Command(NamedTuple):
    """What a module of `commands/` offers."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def load(name: str) -> Command:
    """Import the module of the subcommand `name`."""
    module = importlib.import_module(f"radixloom_runtime.commands.{name}")
    summary = (module.__doc__ or name).splitlines()[0].rstrip(".")
    return Command(summary, module.add_arguments, module.run)


def parser() -> argparse.ArgumentParser:
    """Build the parser of all subcommands; `arguments.run` is the chosen one's work."""
    root = argparse.ArgumentParser(
        prog="radixloom", description="Serve large language models in JAX.", allow_abbrev=False
    )
    root.add_argument("--version", action="version", version=f"radixloom {__version__}")
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = load(name)
        subparser = subparsers.add_parser(
            name,
            help=command.summary,
            description=command.summary + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the process's exit code."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except RadixloomError as error:
        print(f"radixloom: {error}", file=sys.stderr)
        mendable = isinstance(error, ConfigurationError | FetchError | RequestError)
        return EXIT_USAGE if mendable else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
