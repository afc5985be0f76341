"""The command line: `python -m hack.images COMMAND`, from the root of the repository."""

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
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
        images = named() if options.command == "names" else build()
        if options.command == "load":
            load(images)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    for image in images:
        print(image.reference)
    return 0


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its full name, and the tar that holds it or will hold it."""

    recipe: Recipe
    reference: str
    archive: Path


def named() -> list[Image]:
    """Return every image as the present sources name it."""
    folder = shared_folder().absolute() / "images"
    images: list[Image] = []
    for recipe in RECIPES:
        reference = recipe.reference()
        tag = reference.rsplit(":", maxsplit=1)[-1]
        images.append(Image(recipe, reference, folder / f"{recipe.name}-{tag}.tar"))
    return images


def build() -> list[Image]:
    """Return all images, having built those whose inputs changed.

    Raises:
        ClusterError: a build fails.
    """
    images = named()
    folder = images[0].archive.parent
    with _exclusive(folder):
        for image in images:
            if not image.archive.exists():
                _build(image, folder)
    return images


def load(images: list[Image]) -> None:
    """Import images into every node of the local cluster.

    Raises:
        ClusterError: the cluster refuses them.
    """
    command = [
        sys.executable,
        "-m",
        "hack.cluster",
        "load",
        *(str(image.archive) for image in images),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        raise ClusterError("the images could not be loaded; see above")


def _build(image: Image, folder: Path) -> None:
    partial = image.archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # neither docker nor buildah appends to a tar
    choose(folder).build(image.recipe, image.reference, partial)
    for earlier in folder.glob(f"{image.recipe.name}-*.tar"):
        earlier.unlink()
    partial.replace(image.archive)


@contextmanager
def _exclusive(folder: Path) -> Generator[None, None, None]:
    """Let one build at a time use the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
