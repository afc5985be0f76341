"""Serve a model over the OpenAI API.

The flags are generated from `RuntimeSettings` (see `flags`); the work is `server.main`.
"""

import argparse

from radixloom_runtime.commands import flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting."""
    flags.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM, SIGINT or the engine's end."""
    settings = flags.settings_from(arguments)

    from radixloom_runtime.engine import launch
    from radixloom_runtime.server import main

    return main.serve(settings, launch.engine_command)
