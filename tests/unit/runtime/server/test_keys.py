from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from support.http_server import HttpServer, echo_engine

from radixloom_runtime.engine import launch
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.server import keys
from radixloom_runtime.settings import RuntimeSettings

KEY, OTHER, FROM_VARIABLE = "sk-first-7f3a", "sk-second-91bc", "sk-variable-55de"
WRONG = "sk-wrong-e0e0"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server that wants one of three keys, and takes bodies of 2 kB."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{KEY}\n\n  {OTHER}  \n")
    settings = {"api_key_file": path, "api_key": FROM_VARIABLE, "max_body_bytes": 2000}
    with HttpServer(echo_engine(), served_model_name="tiny", **settings) as running:
        yield running


@pytest.mark.parametrize("key", [KEY, OTHER, FROM_VARIABLE])
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_each_key_opens_by_either_header(locked: HttpServer, key: str, header: str):
    value = f"Bearer {key}" if header == "authorization" else key
    answer = locked.client.post("/v1/chat/completions", json=ASKED, headers={header: value})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {WRONG}"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"x-api-key": WRONG},
        {"x-api-key": "\u00e9\u00ff".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/flush_cache", "/no/such/path"])
def test_without_a_key_everything_is_a_401(locked: HttpServer, path: str, headers: dict[str, str]):
    answer = locked.client.post(path, json=ASKED, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize("path", sorted(keys.OPEN_PATHS))
def test_probes_and_scrapes_need_no_key(locked: HttpServer, path: str):
    assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/v1/models", "//metrics"])
def test_whatever_else_is_read_needs_one(locked: HttpServer, path: str):
    assert locked.client.get(f"{locked.url}{path}").status_code == 401


@pytest.mark.parametrize("path", ["/", "/console/app.js"])
def test_the_page_is_read_without_a_key_and_nothing_is_sent_to_it(locked: HttpServer, path: str):
    assert locked.client.get(path).status_code == 200
    assert locked.client.post(path, content=b"x").status_code == 401


def test_openais_client_sees_its_own_kind_of_error(locked: HttpServer):
    with (
        openai.OpenAI(base_url=f"{locked.url}/v1", api_key=WRONG, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_no_key_is_logged_or_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    told = ""
    with HttpServer(echo_engine(), served_model_name="tiny", api_key=KEY) as server:
        for key in (KEY, WRONG):
            headers = {"authorization": f"Bearer {key}"}
            answer = server.client.post("/v1/chat/completions", json=ASKED, headers=headers)
            told += f"{answer.headers} {answer.text}"
        told += server.client.get("/metrics").text
    logged = "".join(capfd.readouterr())
    assert "request.unauthorized" in logged
    for key in (KEY, WRONG):
        assert key not in logged
        assert key not in told


def test_a_larger_body_than_the_setting_is_a_413(locked: HttpServer):
    asked = ASKED | {"messages": [{"role": "user", "content": "x" * 2000}]}
    answer = locked.client.post("/v1/chat/completions", json=asked, headers={"x-api-key": KEY})
    assert answer.status_code == 413
    assert "2000 bytes" in answer.json()["error"]["message"]


def test_the_engine_is_not_told_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_API_KEY", KEY)
    _, environment = launch.engine_command("ipc://x", RuntimeSettings())
    assert KEY not in str(environment)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"\n \n", "found none"), (b"two words\n", "line 1"), (b"ok\n\xff", "cannot be read")],
)
def test_a_file_without_proper_keys_is_refused_without_telling_it(
    tmp_path: Path, content: bytes, complaint: str
):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        keys.load(RuntimeSettings(api_key_file=path))
    assert "two words" not in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        keys.load(RuntimeSettings(api_key_file=tmp_path / "none"))


def test_an_empty_key_is_refused():
    with pytest.raises(ConfigurationError, match="RADIXLOOM_API_KEY"):
        keys.load(RuntimeSettings(api_key=""))  # type: ignore[arg-type]
