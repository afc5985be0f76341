"""A model's URI, taken apart."""

import pytest

from radixloom_operator.api.location import (
    LocationError,
    ModelLocation,
    Scheme,
    adapter_location,
    model_location,
    served_name,
)
from radixloom_operator.api.sources import ModelSource


@pytest.mark.parametrize(
    ("uri", "scheme", "root", "path", "name"),
    [
        ("hf://acme/tiny", Scheme.HUGGING_FACE, "acme", "tiny", "acme/tiny"),
        ("gs://bucket/a/b/", Scheme.GOOGLE_STORAGE, "bucket", "a/b", "b"),
        ("gs://bucket", Scheme.GOOGLE_STORAGE, "bucket", "", "bucket"),
        ("pvc://weights/llama/8b", Scheme.CLAIM, "weights", "llama/8b", "8b"),
        ("pvc://weights", Scheme.CLAIM, "weights", "", "weights"),
    ],
)
def test_uri_is_taken_apart(uri, scheme, root, path, name):
    location = model_location(uri)
    assert location == ModelLocation(scheme, root, path)
    assert location.default_name == name


@pytest.mark.parametrize(
    "uri",
    ["hf://tiny", "hf://a/b/c", "pvc://c/../../etc", "gs://b//x", "s3://b/x", "hf://", "/models"],
)
def test_what_names_no_place_is_refused(uri):
    with pytest.raises(LocationError, match=r"write"):
        model_location(uri)


def test_a_name_of_the_spec_wins():
    assert served_name(ModelSource(uri="hf://acme/tiny", name="tiny")) == "tiny"


def test_a_revision_is_no_part_of_an_adapters_place():
    place = ModelLocation(Scheme.HUGGING_FACE, "acme", "sql")
    assert adapter_location("hf://acme/sql@feature/x") == place


def test_an_at_sign_elsewhere_is_part_of_the_path():
    assert adapter_location("gs://bucket/sql@2").path == "sql@2"
