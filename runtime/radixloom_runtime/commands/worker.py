"""Follow rank 0 of a slice of several hosts.

The flags are those of `serve`, which does the same on every rank but 0: one command line, or one
pod template, may serve all hosts of a slice. This one refuses to lead.
"""

import argparse

from radixloom_runtime.commands import flags, serve
from radixloom_runtime.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting."""
    flags.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the leader's plans until it drains the slice, or until a host of the slice is lost."""
    settings = flags.settings_from(arguments)
    if settings.rank == 0:
        raise ConfigurationError(
            f"wanted the rank of a follower, found {settings.rank} of {settings.num_hosts} hosts;"
            " set --rank to 1 or more and --num-hosts above it, or start rank 0 by"
            " `radixloom serve`"
        )
    return serve.run(arguments)
