"""A folder of wheels for a build that does not reach a package index.

The machine's own pip downloads them with the machine's own configuration (mirror, proxy,
certificates), of which nothing gets into the image. What is downloaded is what requirements/ pins,
for the images' Python and libc, whatever this machine's are.
"""

import shutil
import sys
from pathlib import Path

from hack.cluster.console import long_step
from hack.cluster.shell import run
from hack.images.recipe import BUILD_REQUIREMENTS, Recipe, digest

_PYTHON = "3.11"
_NEWEST_GLIBC = 36  # Debian bookworm's 2.36; a wheel for an older one runs there too
_OLDEST_GLIBC = 5
_TIMEOUT_SECONDS = 3600


def wheelhouse(recipe: Recipe, folder: Path) -> Path:
    """Return a folder with every wheel of `recipe`, downloaded unless it is complete.

    Raises:
        ClusterError: pip is missing or fails.
    """
    files = (recipe.requirements, BUILD_REQUIREMENTS)
    place = folder / "wheels" / f"{recipe.name}-{digest(iter(files))}"
    complete = place / ".complete"
    if complete.exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    requirements = [part for path in files for part in ("--requirement", path)]
    command = (
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", place),
        *("--implementation", "cp", "--python-version", _PYTHON, *_platforms()),
        *requirements,
    )
    with long_step(lambda: f"downloading the wheels of the {recipe.name} image"):
        run(command, timeout_seconds=_TIMEOUT_SECONDS)
    complete.touch()
    for earlier in place.parent.glob(f"{recipe.name}-*"):
        if earlier != place:
            shutil.rmtree(earlier)
    return place


def _platforms() -> list[str]:
    """Return pip's options for every platform tag that the images accept."""
    versions = range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)
    tags = [f"manylinux_2_{minor}_x86_64" for minor in versions]
    tags += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "any"]
    return [part for tag in tags for part in ("--platform", tag)]
