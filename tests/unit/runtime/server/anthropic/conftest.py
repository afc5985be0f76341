from collections.abc import Iterator

import anthropic
import pytest
from support import echo_chats
from support.http_server import HttpServer, echo_engine


@pytest.fixture(scope="package")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server whose answer is what the user said."""
    folder = echo_chats.write_folder(tmp_path_factory.mktemp("checkpoint") / "echo")
    with HttpServer(echo_engine(), model=folder) as running:
        yield running


@pytest.fixture(scope="package")
def asking(echo: HttpServer) -> Iterator[anthropic.Anthropic]:
    """The real client of the API."""
    with anthropic.Anthropic(base_url=echo.url, api_key="none", max_retries=0) as connected:
        yield connected
