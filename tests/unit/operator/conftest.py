"""What the operator's tests share."""

from collections.abc import Iterator

import pytest
from support.fake_api_server import Store, fake_api_server
from support.leader import Leader

from radixloom_operator.cluster import Cluster


@pytest.fixture
def server() -> Iterator[tuple[Store, Cluster]]:
    """An API server of this test's own, and a connection to it."""
    with fake_api_server() as pair:
        yield pair


@pytest.fixture
def router() -> Iterator[Leader]:
    """A router of this test's own: it tells what is asked of it, in its own words."""
    with Leader().serving() as one:
        one.hold(0)
        yield one


@pytest.fixture
def leader() -> Iterator[Leader]:
    """A leader of this test's own, that answers over HTTP."""
    with Leader().serving() as one:
        yield one
