"""Where a model is, as its URI says, and what it is called."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from radixloom_operator.api.sources import ModelSource


class Scheme(StrEnum):
    """The kinds of places a model comes from."""

    HUGGING_FACE = "hf"
    GOOGLE_STORAGE = "gs"
    CLAIM = "pvc"
    IMAGE = "oci"


class LocationError(ValueError):
    """The URI names no place; the message says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """A URI, taken apart: `pvc://weights/llama/8b` is claim `weights` and path `llama/8b`."""

    scheme: Scheme
    root: str
    """Organisation, bucket, or claim."""
    path: str
    """The rest, without slashes around it; empty for the root of a claim or bucket."""

    @property
    def is_in_place(self) -> bool:
        """Whether the model is mounted where it is, and nothing is fetched."""
        return self.scheme in (Scheme.CLAIM, Scheme.IMAGE)

    @property
    def default_name(self) -> str:
        """Name that clients give as `model` when the spec has none."""
        if self.scheme is Scheme.HUGGING_FACE:
            return f"{self.root}/{self.path}"
        name = PurePosixPath(self.path).name or self.root
        if self.scheme is Scheme.IMAGE:  # without its tag or digest
            return re.split("[:@]", name)[0]
        return name


def adapter_location(source: str) -> ModelLocation:
    """Take an adapter's source apart; a revision is left out.

    Raises:
        LocationError: it names no place.
    """
    is_of_hub = source.startswith(f"{Scheme.HUGGING_FACE}://")
    return model_location(source.partition("@")[0] if is_of_hub else source, "source")


def model_location(uri: str, field: str = "model.uri") -> ModelLocation:
    """Take a model's URI apart, which stands in `field`.

    Raises:
        LocationError: it names no place.
    """
    scheme, _, rest = uri.partition("://")
    root, _, path = rest.partition("/")
    path = path.rstrip("/")
    if scheme not in list(Scheme) or not root:
        raise LocationError(
            f"{field} {uri!r} names no place; write hf://organisation/name,"
            " gs://bucket/path, pvc://claim/path or oci://registry/repository:tag"
        )
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts):
        raise LocationError(f"{field} {uri!r} has an empty, '.' or '..' part; write a plain path")
    if scheme == Scheme.HUGGING_FACE and len(parts) != 1:
        raise LocationError(
            f"{field} {uri!r} is no repository of the Hugging Face Hub; write"
            " hf://organisation/name"
        )
    return ModelLocation(Scheme(scheme), root, path)


def served_name(model: ModelSource) -> str:
    """Return the name that clients give as `model`."""
    return model.name or model_location(model.uri).default_name
