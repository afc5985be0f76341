"""A base image without a registry: Debian bookworm with Python 3.11, from Debian's packages.

It stands in for the Dockerfiles' default base where no registry can be reached. `essential` has
no apt: what runs in a cluster needs no package manager.
"""

from pathlib import Path

from hack.cluster.check import install
from hack.cluster.console import long_step
from hack.cluster.shell import run, succeeds

REFERENCE = (
    "localhost/radixloom-base:bookworm-1"  # raise the last number when something here changes
)
_SUITE = "bookworm"
# libstdc++ is jaxlib's, tzdata and netbase are Python's.
_PACKAGES = ("ca-certificates", "libstdc++6", "netbase", "python3", "python3-venv", "tzdata")
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian", "bug")
_TIMEOUT_SECONDS = 900


def root_file_system(folder: Path) -> Path:
    """Return the tar of the base's files in `folder`, made with mmdebstrap if it is not there.

    Raises:
        ClusterError: mmdebstrap is missing and cannot be installed, or fails.
    """
    target = folder / f"base-{REFERENCE.rsplit(':', maxsplit=1)[-1]}.tar"
    if target.exists():
        return target
    if not succeeds(["mmdebstrap", "--version"]):
        install(["mmdebstrap"])
    partial = target.with_name(f"partial-{target.name}")  # its ending tells mmdebstrap the format
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
    command = (
        *("mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(_PACKAGES)}"),
        *excluded,
        *(_SUITE, str(partial)),
    )
    with long_step(lambda: f"making a base image from Debian {_SUITE}'s packages"):
        run(command, timeout_seconds=_TIMEOUT_SECONDS)
    partial.replace(target)
    return target
