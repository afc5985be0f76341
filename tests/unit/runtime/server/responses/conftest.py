from collections.abc import Iterator

import openai
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
def asking(echo: HttpServer) -> Iterator[openai.OpenAI]:
    """The real client of the API."""
    with openai.OpenAI(
        base_url=f"{echo.url}/v1", api_key="none", max_retries=0, timeout=20
    ) as connected:
        yield connected
