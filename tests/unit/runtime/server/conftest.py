from collections.abc import Iterator

import openai
import pytest
from support.demo_server import demo_server
from support.http_server import HttpServer, echo_engine


@pytest.fixture(scope="session")
def server() -> Iterator[HttpServer]:
    """A ready server before the echo engine; shared, so tests leave nothing running."""
    with HttpServer(echo_engine()) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: HttpServer) -> Iterator[openai.OpenAI]:
    """The real client of the API."""
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20
    ) as connected:
        yield connected


@pytest.fixture(scope="session")
def demo() -> Iterator[HttpServer]:
    """A server with the demo model, for slow tests."""
    with demo_server() as running:
        yield running
