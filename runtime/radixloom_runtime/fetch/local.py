"""Folders of this machine: `file:///path` is copied, `pvc://claim/path` is used in place."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint, checksums, selection, store, transfer
from radixloom_runtime.fetch.progress import Reporter
from radixloom_runtime.fetch.transfer import InterruptedTransferError, RemoteFile

CLAIMS_FOLDER = Path("/models")
"""Where a pod mounts its claims: `pvc://weights/llama` is `/models/weights/llama`."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A folder that is copied, with every copy's SHA-256 compared to the original's."""

    folder: Path

    @property
    def uri(self) -> str:
        """The address as a user would type it."""
        return f"file://{self.folder}"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def bring(self, place: store.Place, reporter: Reporter) -> store.Provenance:
        """Copy what a server needs, if the folder is a whole checkpoint."""
        checkpoint.verify(self.folder)
        reporter.note(f"{self.uri}: computing checksums")
        files = [self._file(name) for name in self._names()]
        plan = "\n".join([self.uri, *(f"{file.path} {file.checksum}" for file in files)])
        store.prepare_staging(place, plan)
        transfer.download(files, self, place, reporter)
        records = (store.FileRecord(f.path, f.num_bytes, f.checksum) for f in files)
        digest = hashlib.sha256(plan.encode()).hexdigest()
        return store.Provenance(self.uri, f"sha256:{digest}", tuple(records))

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """Read the original from `offset` on."""
        try:
            yield from checksums.blocks(self.folder / file.path, offset)
        except OSError as error:  # a network disk may come back
            raise InterruptedTransferError(str(error)) from error

    def _names(self) -> list[str]:
        found = (*self.folder.iterdir(), *self.folder.glob(selection.POOLING))
        return selection.wanted(
            path.relative_to(self.folder).as_posix() for path in found if path.is_file()
        )

    def _file(self, name: str) -> RemoteFile:
        path = self.folder / name
        return RemoteFile(name, path.stat().st_size, checksums.checksum_of(path))


@dataclass(frozen=True, slots=True)
class ClaimSource:
    """A folder of a mounted volume. There is nothing to bring; it is only looked at."""

    claim: str
    path: str
    claims_folder: Path = CLAIMS_FOLDER

    def located(self) -> Path:
        """Find the folder where it is mounted, and check that it is a whole checkpoint.

        Raises: `FetchError`.
        """
        mounted = self.claims_folder / self.claim
        if not mounted.is_dir():
            raise FetchError(
                f"the claim {self.claim!r} should be mounted at {mounted}, where there is no"
                " folder; add it to the pod's volumes, or serve the path where it is mounted"
            )
        folder = mounted / self.path
        checkpoint.verify(folder)
        return folder
