"""Bring the browser that tests of the console run in: `python -m hack.browser` prints its path.

A Chromium of the machine's, else Debian's package. What drives it is the package playwright, whose
own browsers are not asked for.
"""

import sys

from hack import programs

PACKAGE = "chromium-headless-shell"
PROGRAMS = (PACKAGE, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return programs.find(PROGRAMS)


if __name__ == "__main__":
    sys.exit(programs.main(PROGRAMS, PACKAGE))
