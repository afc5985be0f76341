"""The command line: `python -m hack.cluster COMMAND`, from the root of the repository."""

import argparse
import fcntl
import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import api, binaries, check, kind, local, processes
from hack.cluster import load as loading
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import DEFAULT_NODES, MAX_NODES, Layout, shared_folder

_NODES_HELP = f"default: as many as run, else {DEFAULT_NODES}"

Command = Callable[[Layout, argparse.Namespace], None]


@contextmanager
def exclusive(layout: Layout) -> Generator[None, None, None]:
    """Let one command at a time change the cluster."""
    layout.root.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another hack.cluster command to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def current_provider(layout: Layout) -> str:
    """Return what runs now: kind, local, or "" for nothing or an unfinished start."""
    if not layout.state.exists():
        return ""
    return str(json.loads(layout.state.read_text())["provider"])


def chosen_provider(layout: Layout, wanted: str) -> str:
    """Resolve `auto`: what runs already, else kind where it can be had, else local."""
    if wanted != "auto":
        return wanted
    return current_provider(layout) or ("kind" if kind.is_available() else "local")


def up(layout: Layout, options: argparse.Namespace) -> None:
    """Start the cluster; quick if it is up."""
    with exclusive(layout):
        provider = chosen_provider(layout, options.provider)
        say(f"provider {provider}")
        running = current_provider(layout)
        if running and running != provider:
            raise ClusterError(f"a cluster of provider {running} is up; `down` first")
        if provider == "local":
            check.require(layout, check.TO_START)
            check.install_missing()
        else:
            kind.require()
        binaries.ensure(layout, provider)
        if provider == "local":
            local.up(layout, options.nodes)
        else:
            kind.up(layout, options.nodes, shared_folder().absolute())
    say(f"kubectl and helm are in {layout.binaries}; export KUBECONFIG={layout.kubeconfig}")
    print(layout.kubeconfig)


def down(layout: Layout, options: argparse.Namespace) -> None:
    """Stop the cluster and remove everything but the cache."""
    del options
    with exclusive(layout):
        if current_provider(layout) == "kind" or kind.is_left_over(layout):
            kind.down(layout)
        else:
            problem = check.linux(layout) or check.root(layout)
            if problem:
                raise ClusterError(problem.message, exit_code=2)
            local.down(layout)
        say("down")


def status(layout: Layout, options: argparse.Namespace) -> None:
    """Print components and nodes; fail unless all is well."""
    del options
    provider = current_provider(layout)
    if not provider:
        raise ClusterError("no cluster is up")
    healthy = True
    for name, process in processes.recorded(layout.processes).items():
        running = processes.is_running(process)
        healthy &= running
        print(f"{name:26} {f'pid {process.pid}' if running else 'stopped'}")
    nodes = api.nodes_ready(layout)
    for name, ready in sorted(nodes.items()):
        healthy &= ready
        print(f"{name:26} {'Ready' if ready else 'NotReady'}")
    healthy = healthy and bool(nodes)
    print(f"{provider}: {'ready' if healthy else 'not ready'}")
    if not healthy:
        raise ClusterError("the cluster is not ready; `up` repairs it")


def kubeconfig(layout: Layout, options: argparse.Namespace) -> None:
    """Print the kubeconfig's path."""
    del options
    print(layout.kubeconfig)


def logs(layout: Layout, options: argparse.Namespace) -> None:
    """Print the end of a component's log."""
    if current_provider(layout) == "kind":
        kind.export_logs(layout)
    print(local.log_tail(layout, options.component, num_lines=options.lines))


def load(layout: Layout, options: argparse.Namespace) -> None:
    """Import image tars into every node."""
    archives = [Path(archive) for archive in options.archives]
    with exclusive(layout):
        match current_provider(layout):
            case "kind":
                kind.load(layout, archives)
            case "local":
                nodes = layout.nodes(local.running_nodes(layout))
                loading.load(layout, nodes, archives)
            case _:
                raise ClusterError("no cluster is up; run `up` first")


def fetch_binaries(layout: Layout, options: argparse.Namespace) -> None:
    """Fill the cache with programs and print where they are."""
    with exclusive(layout):
        provider = chosen_provider(layout, options.provider)
        if provider == "local":
            check.require(layout, check.TO_FETCH)
            check.install_missing()
        binaries.ensure(layout, provider)
    print(layout.binaries)


def check_machine(layout: Layout, options: argparse.Namespace) -> None:
    """Say what this machine lacks."""
    del options
    check.require(layout, check.TO_START)
    packages = check.missing_packages()
    print(f"`up` will install: {', '.join(packages)}" if packages else "nothing is missing")


def host_path(layout: Layout, options: argparse.Namespace) -> None:
    """Print the folder that all nodes see at the same path."""
    del layout, options
    print(shared_folder().absolute())


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    main_parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=__doc__)
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.set_defaults(command=command)
        return added

    for name, command in (("up", up), ("binaries", fetch_binaries)):
        added = add(name, command)
        added.add_argument("--provider", choices=("auto", "kind", "local"), default="auto")
        if command is up:
            numbers = range(1, MAX_NODES + 1)
            added.add_argument("--nodes", type=int, choices=numbers, metavar="N", help=_NODES_HELP)
    add("load", load).add_argument("archives", nargs="+", metavar="IMAGE_TAR")
    log_parser = add("logs", logs)
    log_parser.add_argument("component")
    log_parser.add_argument("--lines", type=int, default=200)
    for name, command in (
        ("down", down),
        ("status", status),
        ("kubeconfig", kubeconfig),
        ("check", check_machine),
        ("host-path", host_path),
    ):
        add(name, command)
    return main_parser


def main() -> int:
    """Run one command; return the exit code."""
    options = parser().parse_args()
    try:
        options.command(Layout.default(), options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
