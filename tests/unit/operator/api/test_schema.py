"""The CustomResourceDefinition, as generated and as checked in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from radixloom_operator.api.schema import chart_template, crd_yaml, custom_resource_definition

ROOT = Path(__file__).parents[4]
VERSION = custom_resource_definition()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from walk(schema[inner], f"{path}[]")


NODES = [*walk(SPEC, "spec"), *walk(SCHEMA["properties"]["status"], "status")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("crds/llmservices.yaml", crd_yaml()),
        ("charts/radixloom/templates/crd.yaml", chart_template()),
    ],
)
def test_checked_in_file_is_what_the_types_say(path, text):
    assert (ROOT / path).read_text() == text, f"{path} is stale; run `make crds`"


def test_yaml_reads_back_as_the_definition():
    assert yaml.safe_load(crd_yaml()) == custom_resource_definition()


def test_every_field_is_described():
    bare = [path for path, node in NODES if not node.get("description") and not path.endswith("[]")]
    assert bare == []


def test_schema_is_structural():
    for path, node in NODES:
        forbidden = {"$ref", "$defs", "title", "allOf", "oneOf", "const"} & set(node)
        assert not forbidden, path
        if "anyOf" in node:
            assert node["x-kubernetes-int-or-string"], path
        else:
            assert node["type"] != "null", path


def test_every_integer_says_its_width():
    assert all(node["format"] for _, node in NODES if node.get("type") == "integer")


def test_optional_objects_have_no_default_that_would_make_them_present():
    model = SPEC["properties"]["model"]["properties"]
    assert "default" not in model["cache"]
    assert "default" not in model["tokenSecretRef"]


def test_default_of_an_object_with_rules_spells_out_what_they_read():
    # The API server checks the rules on the bare default and refuses the definition otherwise.
    assert SPEC["properties"]["compileCache"]["default"] == {"mode": "EmptyDir"}
    assert SPEC["properties"]["drain"]["default"] == {}


def test_lists_and_maps_with_rules_are_bounded():
    # Unbounded ones make the rules' estimated cost exceed what the API server allows.
    for path, node in NODES:
        if not path.startswith("spec"):
            continue
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_columns_show_what_a_user_looks_for():
    names = [column["name"] for column in VERSION["additionalPrinterColumns"]]
    assert names == [
        "Model", "Slice", "Desired", "Ready", "Status", "Reason", "Age", "Updated", "URL",
    ]  # fmt: skip


def test_chart_keeps_the_definition_when_it_is_uninstalled():
    text = chart_template()
    assert "helm.sh/resource-policy: keep" in text
    assert text.splitlines()[1] == "{{- if .Values.crds.install }}"
