"""`radixloom-operator`: the command line, and where the operator is put together."""

import argparse
import asyncio
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic import ValidationError

from radixloom_operator import logs
from radixloom_operator.api.schema import chart_template, crd_yaml, to_yaml
from radixloom_operator.api.validation import Problem, accept
from radixloom_operator.desired import desired_objects
from radixloom_operator.naming import API_VERSION, KIND
from radixloom_operator.settings import ENV_PREFIX, OperatorSettings

if TYPE_CHECKING:
    from radixloom_operator.connection import Connection
    from radixloom_operator.election import Election, Unopposed

_DESCRIPTION = "Turns every LLMService into TPU slices that serve it, and tells how they are."
_EXIT_USER = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.command(parsed)
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            name = ENV_PREFIX + "_".join(str(part) for part in mistake["loc"]).upper()
            print(f"{name}: {mistake['msg']}", file=sys.stderr)
        return _EXIT_USER


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="radixloom-operator",
        description=_DESCRIPTION,
        epilog=_environment_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="watch LLMServices and serve them, in a cluster or against the kubeconfig",
        epilog=_environment_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.set_defaults(command=_run)
    crd = commands.add_parser("crd", help="print the CustomResourceDefinition")
    crd.add_argument("--chart", action="store_true", help="as the Helm template of the chart")
    crd.set_defaults(command=_crd)
    render = commands.add_parser(
        "render",
        help="print the objects that an LLMService becomes, without a cluster",
        description="Print as YAML what the operator would make of each LLMService in FILE."
        " Exit code 2 and the reason on stderr when one would be refused.",
    )
    render.add_argument("file", type=Path, metavar="FILE", help="LLMService manifest; - for stdin")
    render.set_defaults(command=_render)
    return parser


def _environment_help() -> str:
    lines = ["Settings are environment variables:"]
    for name, field in OperatorSettings.model_fields.items():
        default = (
            f" Default: {field.default}." if "Default" not in (field.description or "") else ""
        )
        lines.append(f"  {ENV_PREFIX}{name.upper()}\n      {field.description}{default}")
    return "\n".join(lines)


def _run(_: argparse.Namespace) -> int:
    from radixloom_operator.cluster import Cluster
    from radixloom_operator.connection import Connection
    from radixloom_operator.handlers import Operator

    settings = OperatorSettings()
    logs.configure(settings)
    connection = Connection.open(connections=settings.workers + 2)
    election = _election(settings, connection)
    cluster = Cluster(connection, fence=election.fence)
    asyncio.run(Operator(settings, cluster, election).run())
    return 0


def _election(settings: OperatorSettings, connection: "Connection") -> "Election | Unopposed":
    from radixloom_operator.election import Election, Unopposed
    from radixloom_operator.lease import Pace

    if not settings.lease_namespace:
        return Unopposed()
    return Election(
        connection,
        namespace=settings.lease_namespace,
        name=settings.lease_name,
        identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
        pace=Pace(settings.lease_seconds),
    )


def _crd(parsed: argparse.Namespace) -> int:
    print(chart_template() if parsed.chart else crd_yaml(), end="")
    return 0


def _render(parsed: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if str(parsed.file) == "-" else parsed.file.read_text()
        documents = [document for document in yaml.safe_load_all(text) if document]
    except (OSError, yaml.YAMLError) as error:
        print(f"{parsed.file}: {error}", file=sys.stderr)
        return _EXIT_USER
    settings = OperatorSettings()
    codes = [_render_one(document, settings, str(parsed.file)) for document in documents]
    return max(codes, default=0)


def _render_one(document: object, settings: OperatorSettings, origin: str) -> int:
    manifest = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if (manifest.get("apiVersion"), manifest.get("kind")) != (API_VERSION, KIND):
        print(f"{origin}: wanted {API_VERSION} {KIND}, found another object", file=sys.stderr)
        return _EXIT_USER
    service = accept(manifest)
    if isinstance(service, Problem):
        print(f"{origin}: {service.reason}: {service.message}", file=sys.stderr)
        return _EXIT_USER
    desired = desired_objects(service, settings)
    for one in (*desired.shared, *desired.slices):
        print("---")
        print(to_yaml(one), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
