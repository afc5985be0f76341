"""The file of API keys in leaders and routers, mounted so that it follows its Secret.

As a whole folder: a file that is mounted by itself (subPath) stays as it was at the start.
"""

from radixloom_operator.api.types import LLMService
from radixloom_operator.desired.volumes import Mount, Volume

_NAME, _FOLDER, _FILE = "api-keys", "/etc/radixloom/api-keys", "keys"
_MODE = 0o440
"""For the group of the pod's volumes (fsGroup), which its process is of."""


def setting(service: LLMService) -> str | None:
    """Return the setting `api_key_file` of leaders and routers; None where everybody may ask."""
    return f"{_FOLDER}/{_FILE}" if service.spec.api_keys else None


def mounts(service: LLMService) -> list[Mount]:
    """Return where the file is seen."""
    if service.spec.api_keys is None:
        return []
    return [{"name": _NAME, "mountPath": _FOLDER, "readOnly": True}]


def volumes(service: LLMService) -> list[Volume]:
    """Return the volume of the Secret; a pod does not start before it is there."""
    if service.spec.api_keys is None:
        return []
    reference = service.spec.api_keys.secret_key_ref
    secret = {
        "secretName": reference.name,
        "items": [{"key": reference.key, "path": _FILE}],
        "defaultMode": _MODE,
    }
    return [{"name": _NAME, "secret": secret}]
