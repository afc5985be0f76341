"""What pods mount: the model, compiled steps, scratch space, shared memory; and how a model comes.

pvc://claim/path   the claim itself, read-only             /models/path
oci://image        the image itself, read-only             /models
hf://, gs://       an init container fetches into          /models/<name>
                   an EmptyDir (anew for each pod) or a claim (once for all)
"""

import re
from typing import Any

from radixloom_operator.api.location import Scheme, model_location
from radixloom_operator.api.sources import ModelCache, ModelSource, VolumeMode
from radixloom_operator.api.types import CompileCache, CompileCacheMode, LLMService

MODELS_PATH = "/models"
COMPILE_CACHE_PATH = "/var/cache/radixloom/compile"
SCRATCH_PATH = "/tmp"  # noqa: S108 - an EmptyDir of the pod's own

Volume = dict[str, Any]
Mount = dict[str, Any]

MODEL_MOUNT: Mount = {"name": "model", "mountPath": MODELS_PATH}
SCRATCH_MOUNT: Mount = {"name": "scratch", "mountPath": SCRATCH_PATH}


def model_path(model: ModelSource) -> str:
    """Return the checkpoint's folder inside the container."""
    location = model_location(model.uri)
    if location.scheme is Scheme.CLAIM:
        return f"{MODELS_PATH}/{location.path}".rstrip("/")
    if location.scheme is Scheme.IMAGE:
        return MODELS_PATH
    return f"{MODELS_PATH}/{folder_name(fetch_source(model) or '')}"


def model_claim(model: ModelSource) -> str | None:
    """Return the claim that the model's volume is; None for another kind of volume."""
    location = model_location(model.uri)
    if location.is_in_place:
        return location.root if location.scheme is Scheme.CLAIM else None
    return model.cache.claim_name if model.cache else None


def fetch_source(model: ModelSource) -> str | None:
    """Return what `radixloom fetch` brings before the engine starts; None: it is there already."""
    if model_location(model.uri).is_in_place:
        return None
    return f"{model.uri}@{model.revision}" if model.revision else model.uri


def folder_name(source: str) -> str:
    """Name a folder after the source, so that a claim can hold several models and revisions."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "--", source.partition("://")[2])


def volumes(service: LLMService) -> list[Volume]:
    """Return the pod's volumes."""
    result = [
        {"name": "model", **_model_volume(service.spec.model)},
        {"name": "scratch", "emptyDir": {}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
    ]
    compile_cache = _compile_cache_volume(service.spec.compile_cache)
    return [*result, {"name": "compile-cache", **compile_cache}] if compile_cache else result


def engine_mounts(service: LLMService) -> list[Mount]:
    """Return what the engine's container sees; the model it only reads."""
    result: list[Mount] = [
        {**MODEL_MOUNT, "readOnly": True},
        SCRATCH_MOUNT,
        {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - a mount point
    ]
    if service.spec.compile_cache.mode is not CompileCacheMode.DISABLED:
        result.append({"name": "compile-cache", "mountPath": COMPILE_CACHE_PATH})
    return result


def _model_volume(model: ModelSource) -> Volume:
    location = model_location(model.uri)
    if location.scheme is Scheme.CLAIM:
        return claim(location.root)
    if location.scheme is Scheme.IMAGE:
        return image(model.uri)
    cache = model.cache or ModelCache()
    if cache.mode is VolumeMode.PVC:
        return claim(cache.claim_name or "")
    return {"emptyDir": {"sizeLimit": cache.size_limit} if cache.size_limit else {}}


def _compile_cache_volume(cache: CompileCache) -> Volume | None:
    match cache.mode:
        case CompileCacheMode.DISABLED:
            return None
        case CompileCacheMode.EMPTY_DIR:
            return {"emptyDir": {}}
        case CompileCacheMode.PVC:
            return claim(cache.claim_name or "")


def claim(name: str) -> Volume:
    """Return a claim as a volume."""
    return {"persistentVolumeClaim": {"claimName": name}}


def image(uri: str) -> Volume:
    """Return an image, by its oci:// address, as a volume."""
    reference = uri.removeprefix(f"{Scheme.IMAGE}://")
    return {"image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
