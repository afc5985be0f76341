"""Programs that tests need of the machine: found, else Debian's package if we are root.

python -m hack.programs curl        prints its path
"""

import os
import shutil
import sys
from collections.abc import Sequence

from hack.cluster.errors import ClusterError
from hack.cluster.shell import run

APT_SECONDS = 600.0
"""For each of its two commands, most of it for downloads."""
_APT_OPTIONS = (
    "-oDPkg::Lock::Timeout=120",
    "-oAcquire::Retries=3",
    "-oAcquire::http::Timeout=30",
    "-oAcquire::https::Timeout=30",
)


def find(programs: Sequence[str]) -> str | None:
    """Return the path of the first of `programs` that is here, or None."""
    return next(filter(None, map(shutil.which, programs)), None)


def ensure(programs: Sequence[str], package: str) -> str:
    """Return the path of one of `programs`; `package` is installed if need be.

    Raises: `ClusterError` saying what to do.
    """
    return find(programs) or _installed(programs, package)


def _installed(programs: Sequence[str], package: str) -> str:
    names = ", ".join(programs)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"wanted one of {names}, found none; install one (Debian: apt-get install {package})"
        )
    print(f"→ installing {package} with apt-get", file=sys.stderr)
    _apt("update")
    _apt("install", "-y", "--no-install-recommends", package)
    found = find(programs)
    if found is None:
        raise ClusterError(f"{package} was installed, and brought none of {names}")
    return found


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-qq", *_APT_OPTIONS, *arguments]
    run(command, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout_seconds=APT_SECONDS)


def main(programs: Sequence[str], package: str) -> int:
    """Bring a program and print its path; return the exit code."""
    try:
        print(ensure(programs, package))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(max(main([name], name) for name in sys.argv[1:]))
