"""Every client of `make clients`, on a live server with the demo model.

Needs the package index, or what an earlier run has left in the cache folder.
"""

import pytest

from hack.clients import environments, served, trying
from hack.clients.matrix import CLIENTS, Client
from hack.clients.trying import Target

# The first of them waits for the server, too.
LIMIT_SECONDS = served.START_SECONDS + environments.MAKE_SECONDS + trying.ATTEMPT_SECONDS + 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_SECONDS)]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_all_that_a_client_does_works(client: Client, target: Target):
    row = trying.ask(client, target)
    assert row.is_good, trying.table([row])
