"""docs/llmservice.md, made of the operator's types: `make docs`.

It reads the CustomResourceDefinition that `radixloom-operator crd` prints, so that the page says
what the API server checks.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from radixloom_operator.api.schema import custom_resource_definition
from radixloom_operator.naming import API_VERSION

PAGE = Path(__file__).parents[1] / "docs" / "llmservice.md"

Schema = Mapping[str, Any]

_HEAD = f"""# LLMService

<!-- made by `make docs` (hack/llmservice_page.py); change that, or the operator's `api` -->

`{API_VERSION}`, short name `llmsvc`. The least that there can be:

```yaml
apiVersion: {API_VERSION}
kind: LLMService
metadata: {{name: chat}}
spec:
  model: {{uri: "hf://HuggingFaceTB/SmolLM2-135M-Instruct"}}
  tpu: {{generation: v5e, topology: 1x1}}
```

`kubectl explain llmservice.spec` says the same as this page. The API server checks types, bounds
and the rules below when an object is applied, without a webhook: what cannot be served is refused
there, or shown in the condition `Accepted` where one object alone does not tell. What conditions
and their reasons mean is in [operator/README.md](../operator/README.md#what-a-user-sees).

## Versions

`v1alpha1` is the only one. Until `v1beta1` a field may be renamed or taken away in a minor release;
the changelog says so, and the operator reads what the release before it wrote. `v1beta1` will be
served beside it and converted without loss, and from then on nothing is taken away before a version
that still has it was served for a year. Fields that are not known are dropped by the API server;
`kubectl` warns of them.
"""


def page() -> str:
    """Render docs/llmservice.md."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    root: Schema = version["schema"]["openAPIV3Schema"]
    parts = [_HEAD, "## Spec\n", _rules(root)]
    for top, title in (("spec", "spec"), ("status", "status")):
        if top == "status":
            parts.append("## Status\n")
        parts += [
            _section(path, schema) for path, schema in _objects(root["properties"][top], title)
        ]
    return "\n".join(part for part in parts if part)


def _objects(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield an object and those in it, parents first."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        below = child.get("items", child)
        if below.get("properties"):
            suffix = "[]" if "items" in child else ""
            yield from _objects(below, f"{path}.{name}{suffix}")


def _section(path: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_kind(child)} | {_default(name, child, required)} | {_meaning(child)} |"
        for name, child in schema["properties"].items()
    ]
    table = ["| field | value | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join(
        [f"### `{path}`\n", schema.get("description", ""), "", *table, "", _rules(schema)]
    )


def _rules(schema: Schema) -> str:
    rules = [f"- {one['message']}" for one in schema.get("x-kubernetes-validations", ())]
    return "\n".join(["Rules:\n", *rules, ""]) if rules else ""


def _kind(schema: Schema) -> str:
    """Say which values are taken."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    match schema["type"]:
        case "array":
            return f"list of {_kind(schema['items'])}"
        case "object" if not schema.get("properties"):
            values = schema.get("additionalProperties")
            return f"map to {_kind(values)}" if values else "object"
        case kind:
            return " ".join([schema.get("format", kind), *_bounds(schema)])


def _bounds(schema: Schema) -> list[str]:
    names = {"minimum": "≥", "maximum": "≤"}
    bounds = [f"{sign} {schema[name]}" for name, sign in names.items() if name in schema]
    return [", ".join(bounds)] if bounds else []


def _default(name: str, schema: Schema, required: tuple[str, ...]) -> str:
    if name in required:
        return "required"
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _meaning(schema: Schema) -> str:
    rules = "".join(f" Rule: {one['message']}." for one in _own_rules(schema))
    return (schema.get("description", "") + rules).replace("|", "\\|")


def _own_rules(schema: Schema) -> tuple[Schema, ...]:
    """Return the rules of a value that has no section of its own."""
    return () if schema.get("properties") else tuple(schema.get("x-kubernetes-validations", ()))


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
