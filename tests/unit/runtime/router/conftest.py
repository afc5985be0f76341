from collections.abc import Iterator

import pytest
from support.small_leader import SmallLeader


@pytest.fixture
def leaders() -> Iterator[tuple[SmallLeader, SmallLeader]]:
    """Two ready leaders that echo."""
    with SmallLeader("one") as one, SmallLeader("other") as other:
        yield one, other
