"""The command line of `kubectl llm`."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.errors import OperatorError
from radixloom_operator.naming import (
    COMPONENT_LABEL,
    REVISION_COMPONENT,
    SERVICE_LABEL,
    pod_name,
)
from radixloom_operator.plugin.kubectl import Kubectl, KubectlError
from radixloom_operator.plugin.report import report
from radixloom_operator.plugin.undo import target

_CLIENT_PORT = 8000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parsed = _parser().parse_args(arguments)
    names = ("namespace", "context", "kubeconfig")
    given = ((name, getattr(parsed, name)) for name in names)
    kubectl = Kubectl(tuple(f"--{name}={value}" for name, value in given if value))
    try:
        return parsed.command(kubectl, parsed)
    except OperatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValidationError:
        print(
            f"error: {parsed.name} has a status of another version of the operator; install"
            " `kubectl llm` of that version",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl llm", description="Look after the LLMServices of a cluster."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("name", metavar="NAME", help="Name of the LLMService.")
    common.add_argument("-n", "--namespace", help="Default: that of kubectl's context.")
    common.add_argument("--context", help="As kubectl's.")
    common.add_argument("--kubeconfig", help="As kubectl's.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", parents=[common], help="how it is, and what is wrong")
    status.set_defaults(command=_status)
    logs = commands.add_parser("logs", parents=[common], help="the log of a slice's leader")
    logs.add_argument("--slice", type=int, default=0, metavar="N", help="Default: %(default)s.")
    logs.add_argument("--host", type=int, default=0, metavar="N", help="Default: the leader, 0.")
    logs.add_argument("-f", "--follow", action="store_true", help="Go on as it is written.")
    logs.add_argument("-p", "--previous", action="store_true", help="That before the last restart.")
    logs.set_defaults(command=_logs)
    chat = commands.add_parser("chat", parents=[common], help="talk to it (needs radixloom)")
    chat.set_defaults(command=_chat)
    undo = commands.add_parser("undo", parents=[common], help="serve an earlier revision again")
    choice = undo.add_mutually_exclusive_group()
    choice.add_argument("--to", metavar="REVISION", help="Default: the one before.")
    choice.add_argument("--end", action="store_true", help="Serve what the spec says again.")
    undo.set_defaults(command=_undo)
    return parser


def _status(kubectl: Kubectl, parsed: argparse.Namespace) -> int:
    print(report(kubectl.service(parsed.name)))
    return 0


def _logs(kubectl: Kubectl, parsed: argparse.Namespace) -> int:
    pod = pod_name(parsed.name, parsed.slice, parsed.host)
    options = [f"--{name}" for name in ("follow", "previous") if getattr(parsed, name)]
    return kubectl.pass_through("logs", pod, "--container=engine", *options)


def _chat(kubectl: Kubectl, parsed: argparse.Namespace) -> int:
    program = shutil.which("radixloom")
    if program is None:
        raise KubectlError("no `radixloom` on the PATH; install radixloom[runtime] to chat")
    with kubectl.forwarded(parsed.name, _CLIENT_PORT) as port:
        url = f"http://127.0.0.1:{port}/v1"
        return subprocess.run([program, "chat", "--url", url], check=False).returncode


def _undo(kubectl: Kubectl, parsed: argparse.Namespace) -> int:
    revision = None if parsed.end else _earlier(kubectl, parsed)
    print(kubectl.patch(parsed.name, {"spec": {"rollout": {"revision": revision}}}))
    if revision is not None:
        print(
            f"revision {revision} is served until the pin goes: mend the spec, then"
            f" `kubectl llm undo {parsed.name} --end`"
        )
    return 0


def _earlier(kubectl: Kubectl, parsed: argparse.Namespace) -> str:
    status = LLMServiceStatus.model_validate(kubectl.service(parsed.name).get("status") or {})
    labels = (f"{SERVICE_LABEL}={parsed.name}", f"{COMPONENT_LABEL}={REVISION_COMPONENT}")
    return target(status, kubectl.listed("controllerrevisions", labels), parsed.to)


if __name__ == "__main__":
    sys.exit(main())
