"""What users type."""

from pathlib import Path

import pytest

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import sources
from radixloom_runtime.fetch.bucket import BucketSource
from radixloom_runtime.fetch.demo import DemoSource
from radixloom_runtime.fetch.hub import HubSource
from radixloom_runtime.fetch.local import ClaimSource, LocalSource


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("demo", DemoSource()),
        ("hf://org/name", HubSource("org/name", "main")),
        ("hf://org/name@refs/pr/3", HubSource("org/name", "refs/pr/3")),
        ("gs://bucket/some/path/", BucketSource("bucket/some/path")),
        ("file:///data/model", LocalSource(Path("/data/model"))),
        ("pvc://weights/llama/8b", ClaimSource("weights", "llama/8b")),
        ("pvc://weights", ClaimSource("weights", "")),
    ],
)
def test_each_form_is_read(text: str, source: object):
    assert sources.parse(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "org/name",
        "hf://name",
        "hf://org/name/more",
        "hf://org/name@",
        "gs://bucket",
        "file://relative/path",
        "file:///",
        "pvc://claim/../../etc",
        "s3://bucket/path",
    ],
)
def test_anything_else_is_refused_with_the_forms_there_are(text: str):
    with pytest.raises(FetchError, match="hf://org/name"):
        sources.parse(text)


def test_the_address_of_a_source_is_what_was_typed():
    for text in ("hf://org/name", "hf://org/name@v1", "gs://b/path", "file:///data/model"):
        source = sources.parse(text)
        assert not isinstance(source, ClaimSource)
        assert source.uri == text
