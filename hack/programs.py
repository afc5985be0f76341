"""Programs that tests need of the machine: found, else Debian's package if we are root.

python -m hack.programs curl        prints its path
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

APT_SECONDS = 600.0
"""For each of its two commands, most of it for downloads."""
_APT_OPTIONS = (
    "DPkg::Lock::Timeout=120",
    "Acquire::Retries=3",
    "Acquire::http::Timeout=30",
    "Acquire::https::Timeout=30",
)


class MissingError(Exception):
    """A program is not here, and cannot be brought."""


def find(programs: Sequence[str]) -> str | None:
    """Return the path of the first of `programs` that is here, or None."""
    return next(filter(None, map(shutil.which, programs)), None)


def ensure(programs: Sequence[str], package: str) -> str:
    """Return the path of one of `programs`; `package` is installed if need be.

    Raises: `MissingError` saying what to do.
    """
    return find(programs) or _installed(programs, package)


def _installed(programs: Sequence[str], package: str) -> str:
    names = ", ".join(programs)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(
            f"wanted one of {names}, found none; install one (Debian: apt-get install {package})"
        )
    print(f"→ installing {package} with apt-get", file=sys.stderr)
    _apt("update", "-qq")
    _apt("install", "-y", "-qq", "--no-install-recommends", package)
    found = find(programs)
    if found is None:
        raise MissingError(f"{package} was installed, and brought none of {names}")
    return found


def _apt(*arguments: str) -> None:
    options = [f"-o{option}" for option in _APT_OPTIONS]
    told = f"apt-get {' '.join(arguments)}"
    try:
        done = subprocess.run(
            ["apt-get", *options, *arguments],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(
            f"{told} had not ended after {APT_SECONDS:g} s; is the mirror reached? Run it by hand"
        ) from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise MissingError(f"{told} failed: {said}; run it by hand")


def main(programs: Sequence[str], package: str) -> int:
    """Bring a program and print its path; return the exit code."""
    try:
        print(ensure(programs, package))
    except MissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(max(main([name], name) for name in sys.argv[1:]))
