"""Import image tars into the containerd of each local node."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hack.cluster import images
from hack.cluster.console import elapsed, long_step, say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout, Node
from hack.cluster.shell import Argument, run, succeeds

_IMPORT_TIMEOUT_SECONDS = 900


def load(layout: Layout, nodes: tuple[Node, ...], archives: list[Path]) -> None:
    """Import each archive into all nodes at once, unless its images are there already.

    Raises:
        ClusterError: a tar cannot be read, or containerd refuses it.
    """
    for archive in archives:
        _load_one(layout, nodes, archive)


def _load_one(layout: Layout, nodes: tuple[Node, ...], archive: Path) -> None:
    names = ", ".join(image.name for image in images.read(archive))
    size = archive.stat().st_size / 1e6
    step = f"loading {names} ({size:.0f} MB) into {len(nodes)} nodes"
    started = time.monotonic()
    with long_step(lambda: step), ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        imported = list(pool.map(partial(load_into, layout, archive=archive), nodes))
    skipped = [node.name for node, done in zip(nodes, imported, strict=True) if not done]
    if skipped:
        say(f"skipped {', '.join(skipped)}: the same image is there")
    if any(imported):
        say(f"loaded {names}, {elapsed(time.monotonic() - started)}")


def load_into(layout: Layout, node: Node, archive: Path) -> bool:
    """Import one archive into one node; return False if its images were there."""
    wanted = images.read(archive)
    if all(present_digest(layout, node, image.name) == image.config_digest for image in wanted):
        return False
    options = ("--platform", f"linux/{images.machine_arch()}", "--local")
    ctr(layout, node, "images", "import", *options, archive.absolute())
    for image in wanted:
        found = present_digest(layout, node, image.name)
        if found != image.config_digest:
            raise ClusterError(
                f"{node.name} has {found or 'nothing'} as {image.name} after the import of"
                f" {archive}, wanted {image.config_digest}"
            )
    return True


def present_digest(layout: Layout, node: Node, name: str) -> str:
    """Return the digest of the config behind an image's name on a node, or ""."""
    listed = ctr(layout, node, "images", "list", f"name=={name}")
    rows = [line.split() for line in listed.splitlines()[1:]]
    if not rows:
        return ""

    def blob(digest: str) -> object:
        return json.loads(ctr(layout, node, "content", "get", digest))

    try:
        return images.config_digest(blob(rows[0][2]), blob)
    except ClusterError:
        return ""  # the name is there and its content is not: import again


def answers(layout: Layout, node: Node) -> bool:
    """Say whether the node's containerd answers."""
    return succeeds([*_ctr(layout, node), "version"])


def ctr(layout: Layout, node: Node, *argv: Argument) -> str:
    """Run containerd's client in the namespace that the kubelet looks at."""
    return run([*_ctr(layout, node), *argv], timeout_seconds=_IMPORT_TIMEOUT_SECONDS)


def _ctr(layout: Layout, node: Node) -> list[Argument]:
    address = ("--address", node.containerd_socket)
    return [layout.binaries / "ctr", *address, "--namespace", "k8s.io"]
