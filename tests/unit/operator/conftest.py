"""What the operator's tests share."""

from collections.abc import Iterator

import pytest
from support.fake_api_server import Store, fake_api_server

from radixloom_operator.cluster import Cluster


@pytest.fixture
def server() -> Iterator[tuple[Store, Cluster]]:
    """An API server of this test's own, and a connection to it."""
    with fake_api_server() as pair:
        yield pair
