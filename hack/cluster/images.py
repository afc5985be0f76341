"""Container image tars: write one without a daemon, and read what one holds.

Two layouts are read: docker-archive (`manifest.json` lists configs and tags) and OCI
(`index.json` leads to a manifest, which leads to the config). An image's identity is the
digest of its config, whatever the layers' compression.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.errors import ClusterError

_OCI_NAME = "io.containerd.image.name"
_OCI_REFERENCE = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Image:
    """One tagged image of a tar: its full name, and `sha256:...` of its config."""

    name: str
    config_digest: str


def machine_arch() -> str:
    """Return this machine's architecture by its OCI name."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return names.get(platform.machine(), platform.machine())


def pack(
    target: Path, name: str, programs: Mapping[str, Path], *, entrypoint: Sequence[str]
) -> None:
    """Write a docker-archive of one layer that holds `programs` and nothing else.

    The same programs give the same bytes, so that a second import is recognised.
    """
    partial = target.with_suffix(".partial")
    layer = target.with_suffix(".layer")
    with tarfile.open(layer, "w") as packed:
        for path, program in sorted(programs.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = program.stat().st_size, 0o755
            with program.open("rb") as content:
                packed.addfile(entry, content)
    with layer.open("rb") as content:
        diff_id = hashlib.file_digest(content, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": machine_arch(),
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{diff_id}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
    with tarfile.open(partial, "w") as archive:
        _add(archive, config_name, config)
        archive.add(layer, layer_name)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()
    partial.replace(target)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def read(archive_path: Path) -> tuple[Image, ...]:
    """List the tagged images of a docker-archive or OCI tar.

    Raises:
        ClusterError: it is no such tar, or nothing in it has a name.
    """
    try:
        with tarfile.open(archive_path) as archive:
            names = {name.removeprefix("./"): name for name in archive.getnames()}
            if "manifest.json" in names:
                found = _docker_images(_load(archive, names["manifest.json"]))
            elif "index.json" in names:
                found = _oci_images(archive, names)
            else:
                raise ClusterError(f"{archive_path} has neither manifest.json nor index.json")
    except (OSError, tarfile.TarError) as error:
        raise ClusterError(f"{archive_path} cannot be read as an image tar: {error}") from error
    if not found:
        raise ClusterError(f"{archive_path} names no image; save it with a tag")
    return tuple(found)


def _load(archive: tarfile.TarFile, name: str) -> Any:
    content = archive.extractfile(name)
    assert content is not None, name
    return json.load(content)


def _docker_images(manifest: Any) -> list[Image]:
    found: list[Image] = []
    for entry in manifest:
        # "<hex>.json" from docker and buildah, "blobs/sha256/<hex>" from newer docker.
        digest = str(entry["Config"]).rsplit("/", maxsplit=1)[-1].removesuffix(".json")
        names = entry.get("RepoTags") or ()
        found.extend(Image(full_name(name), f"sha256:{digest}") for name in names)
    return found


def _oci_images(archive: tarfile.TarFile, names: Mapping[str, str]) -> list[Image]:
    def blob(digest: str) -> Any:
        return _load(archive, names[f"blobs/{digest.replace(':', '/')}"])

    found: list[Image] = []
    for entry in _load(archive, names["index.json"])["manifests"]:
        annotations = entry.get("annotations") or {}
        name = annotations.get(_OCI_NAME) or annotations.get(_OCI_REFERENCE)
        if name:
            found.append(Image(full_name(name), config_digest(blob(entry["digest"]), blob)))
    return found


def config_digest(manifest: Any, blob: Any) -> str:
    """Return the config's digest of a manifest, or of this machine's one in an index.

    `blob` maps a digest to its parsed JSON.
    """
    while "manifests" in manifest:
        entries = manifest["manifests"]
        arch = machine_arch()
        mine = [e for e in entries if (e.get("platform") or {}).get("architecture") == arch]
        manifest = blob((mine or entries)[0]["digest"])
    return str(manifest["config"]["digest"])


def full_name(name: str) -> str:
    """Spell a name as containerd stores it.

    >>> full_name("localhost/app"), full_name("localhost/app:2")
    ('localhost/app:latest', 'localhost/app:2')

    Raises:
        ClusterError: the name has no domain; clients disagree about what it then means.
    """
    domain, slash, rest = name.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost"):
        raise ClusterError(f"image {name!r} names no registry; tag it as localhost/{name}")
    if ":" not in rest.rsplit("/", maxsplit=1)[-1] and "@" not in rest:
        rest = f"{rest}:latest"
    return f"{domain}/{rest}"
