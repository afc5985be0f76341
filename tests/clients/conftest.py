from collections.abc import Iterator

import pytest

from hack.clients import served
from hack.clients.trying import Target


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """A live server with the demo model."""
    with served.serving() as running:
        yield running
