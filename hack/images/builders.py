"""Turn a recipe into a tar: with a Docker engine that has buildx and the base, else with buildah.

buildah needs no daemon, no registry and no container runtime (`--isolation chroot`), but root.
Its layers live in our own folder, so removing that folder removes every trace.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Protocol

from hack.cluster.check import install
from hack.cluster.console import long_step, say
from hack.cluster.errors import ClusterError
from hack.cluster.shell import Argument, run, succeeds
from hack.images import base
from hack.images.recipe import REPOSITORY, RUNTIME, Recipe
from hack.images.wheels import wheelhouse

_PULL_TIMEOUT_SECONDS = 600
_SAVE_TIMEOUT_SECONDS = 900


class Builder(Protocol):
    """Builds an image and saves it as a tar."""

    def build(self, recipe: Recipe, reference: str, target: Path) -> None:
        """Build `recipe` and write it to `target` under the name `reference`."""
        ...


def choose(folder: Path) -> Builder:
    """Return Docker where an engine answers and gives the base image, else buildah."""
    if succeeds(["docker", "info"]) and _docker_mounts() and _docker_has_base():
        return Docker(folder)
    return Buildah(folder)


def _docker_mounts() -> bool:
    """Say whether `docker build` knows `RUN --mount`; Debian packages that part apart."""
    if succeeds(["docker", "buildx", "version"]):
        return True
    say("not building with docker: it has no buildx (Debian's package is docker-buildx)")
    return False


def _docker_has_base() -> bool:
    image = default_base(RUNTIME.dockerfile.read_text())
    if succeeds(["docker", "image", "inspect", image]):
        return True
    with long_step(lambda: f"pulling {image}"):
        return succeeds(["docker", "pull", image], timeout_seconds=_PULL_TIMEOUT_SECONDS)


def default_base(dockerfile: str) -> str:
    """Read the base image that a Dockerfile names.

    >>> default_base("ARG BASE_IMAGE=python:3.11")
    'python:3.11'
    """
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, flags=re.MULTILINE)
    assert found, "the Dockerfiles declare ARG BASE_IMAGE with a default"
    return found[1]


class Docker:
    """The engine builds with its own network; nothing of this machine is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(self, recipe: Recipe, reference: str, target: Path) -> None:
        """Build `recipe` and write it to `target` under the name `reference`.

        Raises:
            ClusterError: the build fails.
        """
        command = ("docker", "build", "--file", recipe.dockerfile, "--tag", reference, REPOSITORY)
        _logged(command, self._folder / f"{recipe.name}.log", f"building {reference} with docker")
        run(
            ("docker", "save", "--output", target, reference), timeout_seconds=_SAVE_TIMEOUT_SECONDS
        )


class Buildah:
    """Builds from a base and wheels that lie ready, without network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        storage = folder / "storage"
        self._buildah = ("buildah", "--root", str(storage), "--runroot", str(folder / "run"))

    def build(self, recipe: Recipe, reference: str, target: Path) -> None:
        """Build `recipe` and write it to `target` under the name `reference`.

        Raises:
            ClusterError: buildah is missing and cannot be installed, or fails.
        """
        self._ensure_installed()
        self._ensure_base()
        wheels = wheelhouse(recipe, self._folder)
        command = (
            *(*self._buildah, "build", "--isolation", "chroot", "--network", "host", "--layers"),
            *("--build-arg", f"BASE_IMAGE={base.REFERENCE}"),
            *("--build-context", f"wheels={wheels}"),
            *("--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels"),
            *("--file", recipe.dockerfile, "--tag", reference, REPOSITORY),
        )
        _logged(command, self._folder / f"{recipe.name}.log", f"building {reference} with buildah")
        destination = f"docker-archive:{target}:{reference}"
        run((*self._buildah, "push", reference, destination), timeout_seconds=_SAVE_TIMEOUT_SECONDS)
        self._remove_earlier(recipe, reference)

    def _ensure_installed(self) -> None:
        if succeeds(["buildah", "--version"]):
            return
        if os.geteuid() != 0:
            raise ClusterError(
                "no Docker engine answers, and buildah builds images as root only; start Docker,"
                " or run this as root",
                exit_code=2,
            )
        install(["buildah"])

    def _ensure_base(self) -> None:
        if succeeds([*self._buildah, "inspect", "--type", "image", base.REFERENCE]):
            return
        files = base.root_file_system(self._folder)
        container = run((*self._buildah, "from", "scratch")).strip()
        run((*self._buildah, "add", "--quiet", container, files, "/"), timeout_seconds=600)
        run((*self._buildah, "commit", "--quiet", "--rm", container, base.REFERENCE))

    def _remove_earlier(self, recipe: Recipe, kept: str) -> None:
        """Remove earlier builds; the layers they share with `kept` stay, as its cache."""
        listed = run((*self._buildah, "images", "--format", "{{.Name}}:{{.Tag}}"))
        for name in listed.split():
            if name.startswith(f"{recipe.repository}:") and name != kept:
                run((*self._buildah, "rmi", name))


def _logged(command: tuple[Argument, ...], log: Path, message: str) -> None:
    """Run a build with its output in a file, and show the file's end when it fails."""
    with long_step(lambda: message), log.open("w") as output:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-25:])
        raise ClusterError(f"{message} failed; the end of {log}:\n{tail}")
    say(f"built, log in {log}")
