"""Route requests to the leaders of several replicas.

The flags are generated from `RouterSettings` (see `flags`); the work is `router.main`.
"""

import argparse

from radixloom_runtime.commands import flags
from radixloom_runtime.router_settings import RouterSettings
from radixloom_runtime.settings import ENV_PREFIX

GROUPS: dict[str, tuple[str, ...]] = {
    "leaders": ("backend", "leader_ca_file", "discover", "discover_seconds", "poll_seconds"),
    "choice": (
        "policy",
        "load_factor",
        "load_slack",
        "least_gain",
        "prefix_blocks",
        "prefix_seconds",
    ),
    "HTTP": (
        "host",
        "port",
        "api_key_file",
        "requests_per_minute",
        "max_body_bytes",
        "hold_seconds",
        "hold_requests",
        "drain_seconds",
    ),
    "logs": ("log_level", "log_format"),
}
"""Heading in `--help` → settings; a test holds it equal to the settings that may have a flag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, in groups."""
    for heading, names in GROUPS.items():
        flags.add_settings(parser.add_argument_group(heading), names, RouterSettings)
    parser.epilog = (
        f"Each flag has an environment variable: --hold-seconds is {ENV_PREFIX}HOLD_SECONDS.\n"
        f"A single API key is taken from {ENV_PREFIX}API_KEY alone."
    )


def run(arguments: argparse.Namespace) -> int:
    """Route until SIGTERM or SIGINT."""
    settings = flags.read(arguments, RouterSettings)

    from radixloom_runtime.router import main

    return main.route(settings)
