"""The page at `/` as HTTP has it; what it does in a browser, `test_console` shows."""

import re
from collections.abc import Iterator

import pytest
from support.http_server import HttpServer, echo_engine

from radixloom_runtime.server.console_page import FOLDER

KEY = "sk-let-me-in"
ASSETS = sorted(path.name for path in FOLDER.iterdir())
ADDRESS = re.compile(r"(?:https?:)?//[a-z]")
SVG = "http://www.w3.org/2000/svg"
"""A name, not an address: nothing is asked there."""
MAX_LINES = 250


@pytest.fixture(scope="module")
def locked() -> Iterator[HttpServer]:
    with HttpServer(echo_engine(), api_key=KEY) as running:
        yield running


def test_the_page_needs_no_key_and_may_load_nothing_from_elsewhere(locked: HttpServer):
    answer = locked.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "<title>Radixloom</title>" in answer.text


@pytest.mark.parametrize("name", ASSETS)
def test_a_file_of_the_page_needs_no_key_and_has_its_type(locked: HttpServer, name: str):
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg", "html": "text/html"}
    answer = locked.client.get(f"/console/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(types[name.rpartition(".")[2]])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_file_that_is_kept_is_not_sent_again(locked: HttpServer):
    first = locked.client.get("/console/app.js")
    again = locked.client.get("/console/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/console/none.js", "/console/%2e%2e/keys.py", "/console/"])
def test_only_the_pages_files_are_served(locked: HttpServer, path: str):
    answer = locked.client.get(f"{locked.url}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ASSETS)
def test_no_file_names_another_server_and_all_are_small(name: str):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not ADDRESS.search(text.replace(SVG, ""))
    assert len(text.splitlines()) <= MAX_LINES


def test_without_the_console_there_is_neither_page_nor_view():
    with HttpServer(echo_engine(), wait=False, console=False) as server:
        paths = ("/", "/console/app.js", "/get_prefix_tree", "/get_engine_stats")
        assert {server.client.get(path).status_code for path in paths} == {404}


def test_the_page_is_there_while_the_model_loads():
    with HttpServer(echo_engine("--start-seconds", "30"), wait=False) as server:
        assert server.client.get("/startupz").status_code == 503
        assert server.client.get("/").status_code == 200
