"""Bring a model, or a LoRA adapter, into a folder, ready to serve.

Prints the folder on stdout and everything else on stderr, so that
`radixloom serve --model "$(radixloom fetch hf://org/name)"` works.
"""

import argparse
import inspect
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source and where it goes."""
    from radixloom_runtime.fetch import sources

    parser.add_argument("source", metavar="SOURCE", help=sources.SYNTAX)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="Folder that will hold the model. Default: models/NAME in the cache folder"
        " (XDG_CACHE_HOME, else ~/.cache, then radixloom).",
    )
    parser.epilog = "sources:\n" + inspect.cleandoc(sources.__doc__ or "").partition("\n\n")[2]


def run(arguments: argparse.Namespace) -> int:
    """Fetch, and print the model's folder."""
    from rich.console import Console

    from radixloom_runtime.errors import FetchError
    from radixloom_runtime.fetch import bring, console, sources, store
    from radixloom_runtime.fetch.local import ClaimSource

    source = sources.parse(arguments.source)
    output: Path | None = arguments.output
    if isinstance(source, ClaimSource):
        if output is not None:
            raise FetchError("pvc:// is used where it is mounted, so --output has no meaning")
        folder = source.located()
    else:
        folder = (output or store.models_folder() / source.name).absolute()
        bring.bring(source, folder, console.ConsoleReporter(Console(stderr=True)))
    sys.stdout.write(f"{folder}\n")
    return 0
