"""The CustomResourceDefinition, made of the typed models.

pydantic writes JSON Schema; Kubernetes takes a stricter kind, "structural": no references, no null
alternatives, no titles. `structural()` turns one into the other; nothing here knows a field's name.
"""

from typing import Any, cast

import yaml
from pydantic import BaseModel
from typing_extensions import override

from radixloom_operator.api.model import cel, rule
from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.api.types import LLMServiceSpec
from radixloom_operator.naming import GROUP, KIND, MAX_NAME_LENGTH, PLURAL, VERSION

Schema = dict[str, Any]

_DROPPED = {"title", "$defs"}
_READY = '.status.conditions[?(@.type=="Ready")]'
PRINTER_COLUMNS: tuple[Schema, ...] = (
    {"name": "Model", "type": "string", "jsonPath": ".status.modelName"},
    {"name": "Slice", "type": "string", "jsonPath": ".status.slice.summary"},
    {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"},
    {"name": "Status", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "Updated",
        "type": "integer",
        "jsonPath": ".status.updatedReplicas",
        "priority": 1,
    },
    {"name": "URL", "type": "string", "jsonPath": ".status.url", "priority": 1},
)


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of `model`."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Rewrite one node and all below it."""
    flat = _flatten(schema, definitions)
    result = {key: value for key, value in flat.items() if key not in _DROPPED}
    if "properties" in result:
        result["properties"] = {
            name: _convert(child, definitions) for name, child in result["properties"].items()
        }
    if "items" in result:
        result["items"] = _convert(result["items"], definitions)
    _convert_additional(result, definitions)
    if result.get("type") == "integer":
        result.setdefault("format", "int32")
    _convert_default(result)
    return dict(sorted(result.items(), key=lambda entry: _rank(entry[0])))


def _flatten(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Put a reference's target, or the one alternative to null, in its place.

    What is written beside the reference (a description, a default) wins over the target's own.
    """
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _flatten({**target, **beside}, definitions)
    if "anyOf" in schema and "x-kubernetes-int-or-string" not in schema:
        (only,) = (choice for choice in schema["anyOf"] if choice.get("type") != "null")
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return _flatten({**only, **beside}, definitions)
    return schema


def _convert_additional(result: Schema, definitions: dict[str, Schema]) -> None:
    """Keep the schema of a map's values; a closed or an open object needs no word."""
    additional = result.pop("additionalProperties", None)
    if isinstance(additional, dict):
        result["additionalProperties"] = _convert(cast("Schema", additional), definitions)


def _convert_default(result: Schema) -> None:
    """Drop defaults that say nothing; an object's own default lets its children's apply.

    An object with CEL rules of its own needs its children's defaults spelled out in its default,
    else the API server refuses the CRD: it checks the rules on the bare default.
    """
    if "default" not in result:
        return
    default = result["default"]
    if default is not None and result.get("type") == "object" and "properties" in result:
        with_rules = "x-kubernetes-validations" in result
        result["default"] = _children_defaults(result) if with_rules else {}
    elif default is None or default in ([], {}):
        del result["default"]


def _children_defaults(result: Schema) -> Schema:
    properties: dict[str, Schema] = result["properties"]
    return {name: child["default"] for name, child in properties.items() if "default" in child}


_ORDER = ("description", "type", "format", "default", "enum", "required", "properties")


def _rank(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def custom_resource_definition() -> Schema:
    """Return the CRD as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["llmsvc"],
                "categories": ["llm"],
            },
            "versions": [_version()],
        },
    }


def _version() -> Schema:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [*PRINTER_COLUMNS],
        "schema": {"openAPIV3Schema": _object_schema()},
    }


def _object_schema() -> Schema:
    return {
        "description": "A large language model, served on TPU slices behind one Service.",
        "type": "object",
        "required": ["spec"],
        **cel(
            rule(
                f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
                f"name must be at most {MAX_NAME_LENGTH} characters: pods add -s<slice>-<host>",
            ),
            rule(
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "name must be lower-case letters, digits and dashes, and begin with a letter:"
                " a Service takes the same name",
            ),
        ),
        "properties": {
            "apiVersion": {"description": f"{GROUP}/{VERSION}", "type": "string"},
            "kind": {"description": KIND, "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(LLMServiceSpec),
            "status": structural(LLMServiceStatus),
        },
    }


_HEADER = (
    "# Generated by `radixloom-operator crd` from operator/radixloom_operator/api; do not edit.\n"
)


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice: anchors read badly in manifests."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return data is not None


def to_yaml(document: object) -> str:
    """Write a manifest: keys in our order, long sentences on one line."""
    return yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, width=100_000)


def crd_yaml() -> str:
    """Write `crds/llmservices.yaml`."""
    return _HEADER + to_yaml(custom_resource_definition())


def chart_template() -> str:
    """Write the chart's copy: kept when the chart is uninstalled, skipped on request.

    Helm never upgrades a chart's `crds/` folder, so the CRD is a template.
    """
    document = custom_resource_definition()
    document["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    return f"{_HEADER}{{{{- if .Values.crds.install }}}}\n{to_yaml(document)}{{{{- end }}}}\n"
