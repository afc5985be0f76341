"""Read what a user types as the source of a model.

demo                      the demo model
hf://org/name[@revision]  a model hub's repository (HF_TOKEN, HF_ENDPOINT are honoured)
gs://bucket/path          a folder of a Google Cloud Storage bucket
file:///path              a folder of this machine, copied
pvc://claim/path          a folder of a mounted volume, checked and used in place
"""

import re
from pathlib import Path, PurePosixPath

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch.bring import Source
from radixloom_runtime.fetch.local import ClaimSource, LocalSource

SYNTAX = "demo, hf://org/name[@revision], gs://bucket/path, file:///path or pvc://claim/path"

_ADDRESS = re.compile(r"(?P<scheme>[a-z]+)://(?P<rest>.*[^/])/*")
_REPOSITORY = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def parse(text: str) -> Source | ClaimSource:
    """Make the source that `text` names.

    Raises: `FetchError` showing the forms there are.
    """
    if text == "demo":
        return _demo()
    address = _ADDRESS.fullmatch(text)
    maker = _MAKERS.get(address["scheme"]) if address else None
    source = maker(address["rest"]) if address and maker else None
    if source is None:
        raise FetchError(f"{text!r} is no source of models; wanted {SYNTAX}")
    return source


def _demo() -> Source:
    from radixloom_runtime.fetch.demo import DemoSource

    return DemoSource()


def _hub(rest: str) -> Source | None:
    from radixloom_runtime.fetch.hub import HubSource

    match = _REPOSITORY.fullmatch(rest)
    return HubSource(match["repository"], match["revision"] or "main") if match else None


def _bucket(rest: str) -> Source | None:
    from radixloom_runtime.fetch.bucket import BucketSource

    return BucketSource(rest) if "/" in rest and not rest.startswith("/") else None


def _local(rest: str) -> Source | None:
    return LocalSource(Path(rest)) if rest.startswith("/") else None


def _claim(rest: str) -> ClaimSource | None:
    claim, _, path = rest.partition("/")
    inside = claim and ".." not in PurePosixPath(path).parts
    return ClaimSource(claim, path) if inside else None


_MAKERS = {"hf": _hub, "gs": _bucket, "file": _local, "pvc": _claim}
