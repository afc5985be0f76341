"""A folder of a Google Cloud Storage bucket: `gs://bucket/path`.

Credentials are found as Google's own tools find them, and public buckets need none. Each object is
read in ranges of the one generation that was listed, so a model that is replaced in the middle of
a fetch is noticed and not mixed.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import selection, store, transfer
from radixloom_runtime.fetch.progress import Reporter
from radixloom_runtime.fetch.transfer import InterruptedTransferError, RemoteFile

RANGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BucketSource:
    """A folder of a bucket; `options` go to gcsfs (`token`, `endpoint_url`)."""

    path: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def uri(self) -> str:
        """The address as a user would type it."""
        return f"gs://{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def bring(self, place: store.Place, reporter: Reporter) -> store.Provenance:
        """Download what a server needs of the folder."""
        from gcsfs.core import GCSFileSystem  # the plain JSON API; the other class adds gRPC

        filesystem = GCSFileSystem(**self.options, use_listings_cache=False)
        objects = self._objects(filesystem)
        files = [_file(name, about) for name, about in objects.items()]
        plan = "\n".join([self.uri, *(f"{file.path} {file.checksum}" for file in files)])
        store.prepare_staging(place, plan)
        reporter.note(f"{self.uri}: {len(files)} files")
        origin = _BucketOrigin(self, filesystem, objects)
        transfer.download(files, origin, place, reporter)
        records = (store.FileRecord(f.path, f.num_bytes, f.checksum) for f in files)
        digest = hashlib.sha256(plan.encode()).hexdigest()
        return store.Provenance(self.uri, f"sha256:{digest}", tuple(records))

    def refusal(self, error: Exception) -> FetchError:
        """Say what to do about an error of the storage."""
        return FetchError(
            f"{self.uri} cannot be read: {error}; check the path, and that these credentials may"
            " read it (GOOGLE_APPLICATION_CREDENTIALS, or the pod's service account)"
        )

    def _objects(self, filesystem: Any) -> dict[str, Any]:
        try:
            found = filesystem.find(self.path, maxdepth=2, detail=True)
        except Exception as error:
            raise self.refusal(error) from error
        prefix = f"{self.path}/"
        by_name = {name.removeprefix(prefix): about for name, about in found.items()}
        chosen = selection.wanted(by_name)
        if not any(name.endswith(".safetensors") for name in chosen):
            raise FetchError(
                f"{self.uri} has {len(by_name)} files and no *.safetensors among them;"
                " is this the folder of a checkpoint?"
            )
        return {name: by_name[name] for name in chosen}


@dataclass(frozen=True, slots=True)
class _BucketOrigin:
    source: BucketSource
    filesystem: Any
    objects: dict[str, Any]

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """Read range after range; gcsfs repeats a range that fails for a moment by itself."""
        about = self.objects[file.path]
        for start in range(offset, file.num_bytes, RANGE_BYTES):
            end = min(start + RANGE_BYTES, file.num_bytes)
            yield self._range(about, start, end)

    def _range(self, about: Any, start: int, end: int) -> bytes:
        from gcsfs.retry import is_retriable

        try:
            return self.filesystem.cat_file(
                about["name"], start=start, end=end, generation=about.get("generation")
            )
        except Exception as error:
            if is_retriable(error):
                raise InterruptedTransferError(str(error) or type(error).__name__) from error
            raise self.source.refusal(error) from error


def _file(name: str, about: Any) -> RemoteFile:
    # Objects composed of parts have no MD5, only a CRC.
    algorithm, encoded = (
        ("md5", about["md5Hash"]) if "md5Hash" in about else ("crc32c", about["crc32c"])
    )
    checksum = f"{algorithm}:{base64.b64decode(encoded).hex()}"
    return RemoteFile(name, int(about["size"]), checksum)
