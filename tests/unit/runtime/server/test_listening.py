import socket

import pytest

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.server import listening


def test_a_port_that_is_taken_is_the_users_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port}: .*in use; choose another"):
            listening.bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")]
)
def test_where_it_listens_can_be_opened(host: str, shown: str):
    with listening.bind(host, 0) as listener:
        port = listener.getsockname()[1]
        assert listening.url_of(host, listener) == f"http://{shown}:{port}"


def test_small_answers_do_not_wait_for_the_acknowledgement_of_others():
    with listening.bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "what asyncio goes by"
