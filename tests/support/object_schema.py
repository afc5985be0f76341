"""Whether an object is as the API server takes it: Kubernetes' own kinds, and those of Gateways."""

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

GATEWAY_CRDS: list[dict[str, Any]] = list(
    yaml.safe_load_all((Path(__file__).parent / "gateway_crds.yaml").read_text())
)
_SCHEMAS = {
    f"{crd['spec']['group']}/{version['name']}": version["schema"]["openAPIV3Schema"]
    for crd in GATEWAY_CRDS
    for version in crd["spec"]["versions"]
}


def validate(manifest: dict[str, Any]) -> None:
    """Raise unless every field of the manifest is known, and as it should be."""
    schema = _SCHEMAS.get(manifest["apiVersion"])
    if schema is None:
        kubernetes_validate.validate(manifest, "1.34", strict=True)
    else:
        jsonschema.validate(manifest, _strict(schema))


def _strict(schema: Any) -> Any:
    """Refuse fields that a schema does not name, as `kubectl apply` does."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _strict(value) for key, value in schema.items()}
    is_closed = "properties" in schema and "additionalProperties" not in schema
    return inner | {"additionalProperties": False} if is_closed else inner
