"""What each image is made of, and the name that follows from it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = REPOSITORY / "docker" / "requirements"
BUILD_REQUIREMENTS = REQUIREMENTS / "build.txt"
_PACKAGE_FILES = ("pyproject.toml", "README.md", "LICENSE")
_SOURCE_ROOTS = ("operator", "runtime")
_TAG_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: its Dockerfile and what it installs."""

    name: str

    @property
    def repository(self) -> str:
        """The image's name without its tag; `localhost` is no registry, so nobody pulls it."""
        return f"localhost/radixloom-{self.name}"

    @property
    def dockerfile(self) -> Path:
        """How it is built."""
        return REPOSITORY / "docker" / f"{self.name}.Dockerfile"

    @property
    def requirements(self) -> Path:
        """What it installs beside our own package."""
        return REQUIREMENTS / f"{self.name}.txt"

    def reference(self) -> str:
        """Return the full name; the tag changes when and only when an input does."""
        return f"{self.repository}:{digest(self.inputs())}"

    def inputs(self) -> Iterator[Path]:
        """Yield every file that the image depends on."""
        yield self.dockerfile
        yield self.requirements
        yield BUILD_REQUIREMENTS
        for name in _PACKAGE_FILES:
            yield REPOSITORY / name
        for root in _SOURCE_ROOTS:
            yield from _source_files(REPOSITORY / root)


OPERATOR = Recipe("operator")
RUNTIME = Recipe("runtime")
RECIPES = (OPERATOR, RUNTIME)


def _source_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def digest(paths: Iterator[Path]) -> str:
    """Return a short digest of files, their names included."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(REPOSITORY)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:_TAG_DIGITS]
