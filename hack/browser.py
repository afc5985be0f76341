"""Bring the browser that tests of the console run in: `python -m hack.browser` prints its path.

A Chromium of the machine's, else Debian's package by apt-get if we are root; else this says what to
do. What drives it is the package playwright, whose own browsers are not asked for.
"""

import os
import shutil
import subprocess
import sys

PACKAGE = "chromium-headless-shell"
PROGRAMS = (PACKAGE, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APT_SECONDS = 600


class BrowserError(Exception):
    """No browser is here, and none can be brought."""


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def ensure() -> str:
    """Return the path of a Chromium, which is installed if need be. Raises: `BrowserError`."""
    return find() or _installed()


def _installed() -> str:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BrowserError(
            f"wanted one of {', '.join(PROGRAMS)}, found none; install one"
            f" (Debian: apt-get install {PACKAGE})"
        )
    print(f"→ installing {PACKAGE} with apt-get", file=sys.stderr)
    _apt("update", "-qq")
    _apt("install", "-y", "-qq", "--no-install-recommends", PACKAGE)
    found = find()
    if found is None:
        raise BrowserError(f"{PACKAGE} was installed, and brought none of {', '.join(PROGRAMS)}")
    return found


def _apt(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=APT_SECONDS,
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise BrowserError(f"apt-get {' '.join(arguments)} failed: {said}; install a Chromium")


def main() -> int:
    """Bring the browser and print its path."""
    try:
        print(ensure())
    except BrowserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
