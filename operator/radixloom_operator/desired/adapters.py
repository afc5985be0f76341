"""Where a service's LoRA adapters are, and what brings them there.

hf://, gs://       fetched beside a model that is fetched           /models/<name>
                   else into an EmptyDir                            /adapters/fetched/<name>
pvc://claim/path   the claim of the model's own volume              /models/path
                   another claim, read-only                         /adapters/claims/<claim>/path
oci://image        the image, read-only                             /adapters/images/<adapter>

A claim is one volume however many adapters are in it: kubelets may wait for ever for a claim that a
pod has twice.
"""

from dataclasses import dataclass

from radixloom_operator.api.location import Scheme, adapter_location, model_location
from radixloom_operator.api.sources import Adapter, ModelSource
from radixloom_operator.desired import volumes
from radixloom_operator.desired.volumes import Mount, Volume

_ROOT = "/adapters"
_FETCHED = {"name": "adapters", "mountPath": f"{_ROOT}/fetched"}


@dataclass(frozen=True, slots=True)
class Fetch:
    """What one container brings before the engine starts."""

    container: str
    """Its name."""
    source: str
    folder: str


def settings(model: ModelSource) -> tuple[str, ...]:
    """Return the engine's setting `lora`."""
    return tuple(f"{adapter.name}={_folder(model, adapter)}" for adapter in model.adapters)


def fetches(model: ModelSource) -> list[Fetch]:
    """List what is fetched."""
    return [
        Fetch(f"fetch-{adapter.name}", adapter.source, _folder(model, adapter))
        for adapter in model.adapters
        if not adapter_location(adapter.source).is_in_place
    ]


def fetch_mounts(model: ModelSource) -> list[Mount]:
    """Return where what is fetched is written."""
    return [_FETCHED] if model_location(model.uri).is_in_place else [volumes.MODEL_MOUNT]


def engine_mounts(model: ModelSource) -> list[Mount]:
    """Return what the engine sees of them, beside the model's volume."""
    own = [_FETCHED] if _has_own_volume(model) else []
    in_place = [
        {"name": _volume_name(adapter), "mountPath": path}
        for path, adapter in _in_place(model).items()
    ]
    return [{**mount, "readOnly": True} for mount in (*own, *in_place)]


def pod_volumes(model: ModelSource) -> list[Volume]:
    """Return the volumes that adapters need beside the model's."""
    own: list[Volume] = [{"name": _FETCHED["name"], "emptyDir": {}}]
    in_place = [
        {"name": _volume_name(adapter), **_volume(adapter)} for adapter in _in_place(model).values()
    ]
    return [*(own if _has_own_volume(model) else []), *in_place]


def _folder(model: ModelSource, adapter: Adapter) -> str:
    location = adapter_location(adapter.source)
    if not location.is_in_place:
        (mount,) = fetch_mounts(model)
        return f"{mount['mountPath']}/{volumes.folder_name(adapter.source)}"
    if location.scheme is Scheme.IMAGE:
        return _mount_path(adapter)
    root = volumes.MODELS_PATH if _is_in_models_claim(model, adapter) else _mount_path(adapter)
    return f"{root}/{location.path}".rstrip("/")


def _has_own_volume(model: ModelSource) -> bool:
    return model_location(model.uri).is_in_place and bool(fetches(model))


def _in_place(model: ModelSource) -> dict[str, Adapter]:
    """Return one adapter of each claim and image to mount, by where."""
    found: dict[str, Adapter] = {}
    for adapter in model.adapters:
        is_in_place = adapter_location(adapter.source).is_in_place
        if is_in_place and not _is_in_models_claim(model, adapter):
            found.setdefault(_mount_path(adapter), adapter)
    return found


def _is_in_models_claim(model: ModelSource, adapter: Adapter) -> bool:
    location = adapter_location(adapter.source)
    return location.scheme is Scheme.CLAIM and location.root == volumes.model_claim(model)


def _volume_name(adapter: Adapter) -> str:
    return f"adapter-{adapter.name}"


def _mount_path(adapter: Adapter) -> str:
    location = adapter_location(adapter.source)
    if location.scheme is Scheme.CLAIM:
        return f"{_ROOT}/claims/{location.root}"
    return f"{_ROOT}/images/{adapter.name}"


def _volume(adapter: Adapter) -> Volume:
    location = adapter_location(adapter.source)
    if location.scheme is Scheme.CLAIM:
        return volumes.claim(location.root)
    return volumes.image(adapter.source)
