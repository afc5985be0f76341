"""What users type as a server's address."""

import pytest

from radixloom_runtime.commands.address import api_address
from radixloom_runtime.errors import ConfigurationError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("https://host/proxy/model/v1", "https://host/proxy/model/v1"),
        ("http://[::1]:80", "http://[::1]:80/v1"),
    ],
)
def test_the_api_is_found_below_a_bare_host(typed: str, meant: str):
    assert api_address(typed) == meant


@pytest.mark.parametrize("typed", ["", "host:8000", "localhost", "ftp://host/v1", "http://"])
def test_what_is_no_address_is_refused_with_an_example(typed: str):
    with pytest.raises(ConfigurationError, match=r"http://127\.0\.0\.1:8000/v1"):
        api_address(typed)
