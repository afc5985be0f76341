"""Claims for the demo's model and for compiled steps: folders of this machine.

`radixloom-models` is the cache folder's `models/`, read-only, so that what `radixloom fetch`
brought is served in place. `radixloom-compile-cache` outlives the cluster, so that only the first
demo compiles.
"""

import os
from pathlib import Path
from typing import Any

from hack.cluster.layout import shared_folder

MODELS_CLAIM = "radixloom-models"
COMPILE_CLAIM = "radixloom-compile-cache"
_POD_USER = 65532  # of docker/*.Dockerfile
_SIZE = "10Gi"  # of hostPath volumes nobody checks it, and the API wants one


def manifests(namespace: str) -> list[dict[str, Any]]:
    """Return the volumes and claims of `namespace`, having made their folders."""
    models = shared_folder().absolute() / "models"
    models.mkdir(parents=True, exist_ok=True)
    compiled = shared_folder().absolute() / "cluster-compile"
    compiled.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(compiled, _POD_USER, _POD_USER)
    else:
        compiled.chmod(0o777)
    return [
        *_claim(namespace, MODELS_CLAIM, models, "ReadOnlyMany"),
        *_claim(namespace, COMPILE_CLAIM, compiled, "ReadWriteMany"),
    ]


def volume_names(namespace: str) -> list[str]:
    """Return the names of the cluster-wide volumes behind the claims of `namespace`."""
    return [f"{namespace}-{claim}" for claim in (MODELS_CLAIM, COMPILE_CLAIM)]


def _claim(namespace: str, name: str, folder: Path, mode: str) -> list[dict[str, Any]]:
    volume = f"{namespace}-{name}"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": _SIZE},
                "accessModes": [mode],
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": namespace, "name": name},
                "hostPath": {"path": str(folder), "type": "Directory"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "accessModes": [mode],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": {"storage": _SIZE}},
            },
        },
    ]
