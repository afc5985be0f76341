"""The folder of models: who may write, where a download grows, how it becomes a model.

    models/
      .smollm2.lock       held while someone fetches smollm2; a second fetch waits here
      .smollm2.partial/   grows; kept when a fetch breaks off, so that the next one resumes
      smollm2/            appears by one rename, when every byte is on disk and checked
        .radixloom.json   the marker: where it came from and each file's size and checksum

A folder without the marker is nobody's download, and is never overwritten.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch.checksums import checksum_of

MARKER_NAME = ".radixloom.json"
SCRATCH_NAME = ".scratch"
"""Folder inside the staging folder for what helps the fetch but is no part of the model."""
SPARE_DISK_BYTES = 64 * 1024 * 1024
_READABLE_FILE, _READABLE_FOLDER = 0o644, 0o755


def cache_folder() -> Path:
    """Where everything lives that can be made again: `$XDG_CACHE_HOME/radixloom`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "radixloom"


def models_folder() -> Path:
    """Where models go that were fetched without `--output`."""
    return cache_folder() / "models"


@dataclass(frozen=True, slots=True)
class Place:
    """The paths that belong to one model folder."""

    folder: Path

    @property
    def staging(self) -> Path:
        """Where the download grows."""
        return self.folder.with_name(f".{self.folder.name}.partial")

    @property
    def scratch(self) -> Path:
        """What the fetch keeps between tries, and the model does not need."""
        return self.staging / SCRATCH_NAME

    @property
    def lock(self) -> Path:
        """Held by the one process that fetches."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    @property
    def marker(self) -> Path:
        """Says that the folder is whole."""
        return self.folder / MARKER_NAME


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a finished model: `checksum` is `algorithm:hex`."""

    path: str
    num_bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model came from; `revision` pins what a moving name meant at the time."""

    source: str
    revision: str
    files: tuple[FileRecord, ...]


def fetched_source(place: Place) -> str | None:
    """Which source the finished folder came from; `None` if it is not there (or empty).

    Raises: `FetchError` when something else occupies the folder.
    """
    if place.marker.is_file():
        return str(json.loads(place.marker.read_text(encoding="utf-8"))["source"])
    if place.folder.is_dir() and not any(place.folder.iterdir()):
        return None
    if place.folder.exists():
        raise FetchError(
            f"{place.folder} exists, but `radixloom fetch` did not make it (no {MARKER_NAME});"
            " move it away or give another --output"
        )
    return None


@contextmanager
def locked(place: Place, on_wait: Callable[[], None]) -> Generator[None]:
    """Hold the model's lock; `on_wait` is called once if another process holds it now.

    The kernel frees the lock when its holder dies, so a killed fetch blocks nobody.
    """
    _make_folder(place.folder.parent)
    with place.lock.open("a") as lock:
        if not _try_lock(lock):
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(
            f"cannot make the folder {folder}: {error.strerror}; give another --output"
        ) from error


def prepare_staging(place: Place, plan: str) -> None:
    """Make the staging folder; what it holds is kept if it was made for the same `plan`.

    A plan names source, revision and files: were they mixed, a model of two halves could result.
    """
    if place.folder.is_mount():
        raise FetchError(
            f"{place.folder} is a mount point, which cannot appear by a rename;"
            f" give a folder inside it, such as --output {place.folder}/model"
        )
    plan_file = place.scratch / "plan"
    if not (plan_file.is_file() and plan_file.read_text(encoding="utf-8") == plan):
        shutil.rmtree(place.staging, ignore_errors=True)
        _make_folder(place.scratch)
        plan_file.write_text(plan, encoding="utf-8")


def check_disk(place: Place, missing_bytes: int) -> None:
    """Refuse early what cannot fit: better than a full disk after an hour.

    Raises: `FetchError` with both numbers.
    """
    free = shutil.disk_usage(place.staging).free
    if missing_bytes + SPARE_DISK_BYTES > free:
        raise FetchError(
            f"{missing_bytes / 1e9:.1f} GB are still to come, but the disk of"
            f" {place.folder.parent} has {free / 1e9:.1f} GB free;"
            " make room or give another --output"
        )


def records(place: Place) -> tuple[FileRecord, ...]:
    """Compute size and SHA-256 of every file that the staging folder holds."""
    return tuple(
        FileRecord(
            path=path.relative_to(place.staging).as_posix(),
            num_bytes=path.stat().st_size,
            checksum=checksum_of(path),
        )
        for path in sorted(place.staging.rglob("*"))
        if path.is_file() and not path.is_relative_to(place.scratch)
    )


def publish(place: Place, provenance: Provenance) -> None:
    """Turn the staging folder into the model: marker, modes, flush to disk, one rename."""
    shutil.rmtree(place.scratch, ignore_errors=True)
    (place.staging / MARKER_NAME).write_text(_render(provenance), encoding="utf-8")
    for path in (place.staging, *place.staging.rglob("*")):
        path.chmod(_READABLE_FOLDER if path.is_dir() else _READABLE_FILE)
        _flush(path)
    place.staging.rename(place.folder)  # replaces an empty folder, refuses a full one
    _flush(place.folder.parent)


def _render(provenance: Provenance) -> str:
    return (
        json.dumps(
            {
                "source": provenance.source,
                "revision": provenance.revision,
                "files": [
                    {"path": file.path, "bytes": file.num_bytes, "checksum": file.checksum}
                    for file in provenance.files
                ],
            },
            indent=1,
        )
        + "\n"
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
