"""What a client needs, in an environment of its own under the cache folder.

Made once for each set of packages; of two processes that want it, one makes it and one waits.
"""

import fcntl
import hashlib
import shutil
import sys
import time
from pathlib import Path

from hack.clients.matrix import Client
from hack.cluster.shell import run
from radixloom_runtime.settings import cache_folder

MAKE_SECONDS = 900.0
"""For an environment as a whole: the largest is 800 MB of downloads."""
SCRIPTS = Path(__file__).parents[2] / "tests" / "clients"
_BARE_FOR_PYTHON = "3.13"
"""What is had without what it asks for may ask for a newer Python than runs it, too."""


def command(client: Client) -> list[str]:
    """Return how a client's script is run, once all is there that it needs.

    Raises: `ClusterError` where an index has not what is wanted, or is not reached.
    """
    if not client.packages:
        return [sys.executable, str(SCRIPTS / client.script)]
    folder = _made(client)
    if not client.node_packages:
        return [str(folder / "bin" / "python"), str(SCRIPTS / client.script)]
    # Node looks for packages beside the script.
    script = shutil.copy(SCRIPTS / client.script, folder / client.script)
    return [str(folder / "bin" / "node"), str(script)]


def _made(client: Client) -> Path:
    packages = (*client.packages, *client.bare_packages, *client.node_packages)
    wanted = "\n".join((sys.base_prefix, *packages))  # another Python makes another environment
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    folder = cache_folder() / "clients" / f"{Path(client.script).stem}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            _make(client, folder)
            (folder / ".complete").touch()
    return folder


def _make(client: Client, folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", f"--python={folder}"]
    print(f"→ making the environment of {client.name} in {folder}", file=sys.stderr)
    deadline = time.monotonic() + MAKE_SECONDS

    def within(*command: str) -> None:
        run(command, timeout_seconds=round(max(0.1, deadline - time.monotonic()), 1))

    within(uv, "venv", "--quiet", "--clear", f"--python={sys.executable}", str(folder))
    within(*install, *client.packages)
    if client.bare_packages:
        bare = ("--no-deps", f"--python-version={_BARE_FOR_PYTHON}", *client.bare_packages)
        within(*install, *bare)
    if client.node_packages:
        npm = (str(folder / "bin" / "npm"), "install", "--no-audit", "--no-fund")
        within(*npm, "--loglevel=error", f"--prefix={folder}", *client.node_packages)
