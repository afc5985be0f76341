"""A repository of a model hub: `hf://org/name[@revision]`.

huggingface-hub names the files, their checksums and their addresses, and knows the user's token
and endpoint. The bytes are read with plain ranged requests, since a download of the library itself
starts a broken file again from zero.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import selection, store, transfer
from radixloom_runtime.fetch.progress import Reporter
from radixloom_runtime.fetch.transfer import InterruptedTransferError, RemoteFile

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

BLOCK_BYTES = 1024 * 1024
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that say "later", not "no"."""
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)


def _environment_endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@dataclass(frozen=True, slots=True)
class HubSource:
    """One repository at one revision; `endpoint` is another hub than the public one."""

    repository: str
    revision: str = "main"
    endpoint: str | None = field(default_factory=_environment_endpoint)

    @property
    def uri(self) -> str:
        """The address as a user would type it."""
        suffix = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf://{self.repository}{suffix}"

    @property
    def name(self) -> str:
        """The repository's own name, and the revision where one was asked for."""
        own = self.repository.partition("/")[2]
        return own if self.revision == "main" else f"{own}@{self.revision.replace('/', '-')}"

    def bring(self, place: store.Place, reporter: Reporter) -> store.Provenance:
        """Download what a server needs of the commit that the revision means now."""
        info = self._info()
        files = _files(info, self.uri)
        commit = info.sha or self.revision
        plan = "\n".join([f"{self.uri} {commit}", *(f"{f.path} {f.checksum}" for f in files)])
        store.prepare_staging(place, plan)
        reporter.note(f"{self.uri} at commit {commit[:12]}: {len(files)} files")
        with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
            origin = _HubOrigin(self, commit, client, self._headers())
            transfer.download(files, origin, place, reporter)
        records = (store.FileRecord(f.path, f.num_bytes, f.checksum) for f in files)
        return store.Provenance(self.uri, commit, tuple(records))

    def refusal(self, status: int) -> FetchError:
        """Say what an answer of 401, 403, 404 or the like means for the user."""
        what = {
            401: "the hub knows no such repository, or it is private; check the name, and set"
            " HF_TOKEN to a token that may read it",
            403: "access is refused; accept the model's terms on its page, and set HF_TOKEN to a"
            " token of that account",
            404: f"there is no such repository, or no revision {self.revision!r} in it;"
            " check the spelling",
        }.get(status, "the hub does not serve it now")
        return FetchError(f"{self.uri}: {what} (HTTP {status})")

    def _info(self) -> "ModelInfo":
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        api = HfApi(endpoint=self.endpoint)
        try:
            return api.model_info(
                self.repository, revision=self.revision, files_metadata=True, timeout=60
            )
        except HfHubHTTPError as error:
            raise self.refusal(error.response.status_code) from error
        except HFValidationError as error:
            raise FetchError(f"{self.uri} is no name of a repository: {error}") from error
        # The library's HTTP client is its own business, and has changed before.
        except Exception as error:
            raise FetchError(
                f"cannot reach {api.endpoint} for {self.uri}: {error};"
                " is the network there (HTTPS_PROXY, HF_ENDPOINT)?"
            ) from error

    def _headers(self) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers

        # Compressed answers have no ranges.
        return {**build_hf_headers(library_name="radixloom"), "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class _HubOrigin:
    source: HubSource
    commit: str
    client: httpx.Client
    headers: dict[str, str]

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """Read by one ranged request, which follows redirects to wherever the bytes are."""
        headers = {**self.headers, "Range": f"bytes={offset}-"} if offset else self.headers
        try:
            with self.client.stream("GET", self._address(file), headers=headers) as answer:
                self._refuse(answer.status_code, file)
                skip = offset if answer.status_code == HTTPStatus.OK else 0
                yield from _without_first(skip, answer.iter_raw(BLOCK_BYTES))
        except httpx.TransportError as error:
            raise InterruptedTransferError(str(error) or type(error).__name__) from error

    def _address(self, file: RemoteFile) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(
            self.source.repository,
            file.path,
            revision=self.commit,
            endpoint=self.source.endpoint,
        )

    def _refuse(self, status: int, file: RemoteFile) -> None:
        if status in BUSY:
            raise InterruptedTransferError(f"HTTP {status} for {file.path}")
        if status >= 400:
            raise self.source.refusal(status)


def _without_first(num_bytes: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Drop the start again that a server sent although a range was asked for."""
    for block in blocks:
        yield block[num_bytes:]
        num_bytes = max(0, num_bytes - len(block))


def _files(info: "ModelInfo", uri: str) -> list[RemoteFile]:
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    chosen = selection.wanted(siblings)
    if not any(path.endswith(".safetensors") for path in chosen):
        raise FetchError(
            f"{uri} has no *.safetensors file; other formats of weights are not served"
        )
    return [_file(siblings[path], uri) for path in chosen]


def _file(sibling: "RepoSibling", uri: str) -> RemoteFile:
    # Large files have their SHA-256, small ones are known by git's own name of their content.
    lfs: Any = sibling.lfs
    checksum = f"sha256:{lfs.sha256}" if lfs else f"git-sha1:{sibling.blob_id}"
    if sibling.size is None or (not lfs and sibling.blob_id is None):
        raise FetchError(f"the hub gives neither size nor checksum of {sibling.rfilename} ({uri})")
    return RemoteFile(sibling.rfilename, sibling.size, checksum)
