"""The command line: `python -m hack.images COMMAND`, from the root of the repository."""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.layout import shared_folder
from hack.images.builders import choose
from hack.images.recipe import RECIPES, REPOSITORY, Recipe


def main() -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hack.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build what changed; print the images' names")
    commands.add_parser("load", help="the same, then import them into the local cluster")
    commands.add_parser("names", help="print the images' names without building")
    options = parser.parse_args()
    try:
        if options.command != "names":
            archives = build()
            if options.command == "load":
                load(archives)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    for recipe in RECIPES:
        print(recipe.reference())
    return 0


def build() -> list[Path]:
    """Return the tars of all images, building those whose inputs changed.

    Raises:
        ClusterError: a build fails.
    """
    folder = shared_folder().absolute() / "images"
    with _exclusive(folder):
        return [_archive(recipe, folder) for recipe in RECIPES]


def load(archives: list[Path]) -> None:
    """Import tars into every node of the local cluster.

    Raises:
        ClusterError: the cluster refuses them.
    """
    command = [sys.executable, "-m", "hack.cluster", "load", *map(str, archives)]
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        raise ClusterError("the images could not be loaded; see above")


def _archive(recipe: Recipe, folder: Path) -> Path:
    reference = recipe.reference()
    target = folder / f"{recipe.name}-{reference.rsplit(':', maxsplit=1)[-1]}.tar"
    if target.exists():
        return target
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # neither docker nor buildah appends to a tar
    choose(folder).build(recipe, reference, partial)
    for earlier in folder.glob(f"{recipe.name}-*.tar"):
        earlier.unlink()
    os.replace(partial, target)
    return target


@contextmanager
def _exclusive(folder: Path) -> Generator[None, None, None]:
    """Let one build at a time use the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
