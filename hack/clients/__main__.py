"""The command line: `python -m hack.clients`, from the root of the repository."""

import argparse
import contextlib
import sys

from hack.clients import served, trying
from hack.clients.matrix import CLIENTS
from hack.clients.trying import Target
from radixloom_runtime.settings import DEMO_MODEL


def main() -> None:
    """Try the clients, print the table, and exit with 1 where one does not work."""
    wanted = _arguments()
    clients = [each for each in CLIENTS if not wanted.only or each.name in wanted.only]
    with _target(wanted) as target:
        rows = [trying.ask(each, target) for each in clients]
    print(trying.table(rows))
    sys.exit(not all(row.is_good for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hack.clients", description=__doc__)
    parser.add_argument("--url", help="A server that is up. Default: one is started.")
    parser.add_argument("--model", default=DEMO_MODEL, help="The name of its model.")
    parser.add_argument(
        "--tokenizer",
        default=str(served.demo_folder()),
        help="Folder of its tokenizer. Default: the demo model's.",
    )
    names = [each.name for each in CLIENTS]
    parser.add_argument("--only", action="append", choices=names, help="Not the others.")
    return parser.parse_args()


def _target(wanted: argparse.Namespace) -> contextlib.AbstractContextManager[Target]:
    if wanted.url is None:
        return served.serving()
    return contextlib.nullcontext(Target(wanted.url, wanted.model, wanted.tokenizer))


if __name__ == "__main__":
    main()
