"""The router before real servers: the runtime's own, with the echo engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest
from support.http_server import HttpServer, echo_engine
from support.router_server import RouterServer
from support.tiny import FOLDER

COMPLETIONS = "/v1/completions"
SCRIPT = f"""
import sys
from pathlib import Path
from support.http_server import echo_engine
from radixloom_runtime.server import main
from radixloom_runtime.settings import LogFormat, RuntimeSettings
settings = RuntimeSettings(
    model=Path({str(FOLDER)!r}), host="127.0.0.1", port=0, log_format=LogFormat.JSON
)
sys.exit(main.serve(settings, echo_engine("--step-seconds", "0.02")))
"""


@contextmanager
def server_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, once it is ready; and its address."""
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = map(json.loads, process.stderr)
        url = next(line["url"] for line in lines if line["event"] == "server.ready")
        yield process, url
        process.kill()


def asked(first: int, *, max_tokens: int, **more: object) -> dict[str, object]:
    """A prompt whose echo begins with `first`."""
    return {"model": "tiny", "prompt": [first, 9, 10], "max_tokens": max_tokens, **more}


def test_a_router_and_leaders_of_the_same_keys_serve_whoever_has_one(tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("sk-first\nsk-second\n")
    with (
        HttpServer(echo_engine(), served_model_name="tiny", api_key_file=keys) as server,
        RouterServer([server.url], api_key_file=keys) as router,
    ):
        router.wait_ready(1)
        [leader] = router.router.fleet.leaders
        assert leader.serves("tiny")
        for key, status in (("sk-second", 200), ("sk-other", 401), ("", 401)):
            headers = {"x-api-key": key}
            answer = router.client.post(COMPLETIONS, json=asked(9, max_tokens=2), headers=headers)
            assert answer.status_code == status


def test_openais_client_streams_through_a_router():
    settings = {"served_model_name": "tiny"}
    with (
        HttpServer(echo_engine(), **settings) as one,
        HttpServer(echo_engine(), **settings) as other,
        RouterServer([one.url, other.url]) as router,
        openai.OpenAI(base_url=f"{router.url}/v1", api_key="k", max_retries=0) as client,
    ):
        router.wait_ready(2)
        assert [model.id for model in client.models.list()] == ["tiny"]
        for number in range(20, 40):
            stream = client.completions.create(
                model="tiny", prompt=[number, 9], max_tokens=4, stream=True
            )
            assert "length" in [choice.finish_reason for part in stream for choice in part.choices]
        counts = [server.metric("radixloom_prompt_tokens_total") for server in (one, other)]
    assert sum(counts) == 40
    assert all(counts)


def test_a_server_that_drains_costs_no_request():
    engine = echo_engine("--step-seconds", "0.01")
    with (
        HttpServer(engine, served_model_name="tiny") as one,
        HttpServer(engine, served_model_name="tiny") as other,
        RouterServer([one.url, other.url]) as router,
        ThreadPoolExecutor(8) as pool,
    ):
        router.wait_ready(2)

        def post(number: int) -> int:
            if number == 20:
                one.stop()
            body = asked(20 + number, max_tokens=8)
            return httpx.post(f"{router.url}{COMPLETIONS}", json=body, timeout=20).status_code

        assert set(pool.map(post, range(60))) == {200}
        assert one.wait_outcome() == 0


def test_who_leaves_a_router_leaves_the_engine():
    with (
        HttpServer(echo_engine("--step-seconds", "0.05"), served_model_name="tiny") as server,
        RouterServer([server.url]) as router,
    ):
        router.wait_ready(1)
        body = asked(20, max_tokens=200, stream=True)
        with router.client.stream("POST", COMPLETIONS, json=body) as answer:
            pieces = answer.iter_raw()  # a generator that is let go closes the connection
            assert next(pieces).startswith(b"data: ")
            assert server.metric('radixloom_choices_finished_total{reason="abort"}') == 0
        router.wait(lambda: server.metric('radixloom_choices_finished_total{reason="abort"}') == 1)


def test_a_server_that_is_killed_cuts_its_streams_and_the_next_request_goes_elsewhere():
    with (
        server_process() as (first, first_url),
        HttpServer(echo_engine(), served_model_name="tiny") as second,
        RouterServer([first_url]) as router,
    ):
        router.wait_ready(1)
        body = asked(20, max_tokens=200, stream=True) | {"model": "tiny_tokenizer"}
        with router.client.stream("POST", COMPLETIONS, json=body) as answer:
            pieces = answer.iter_raw()
            assert next(pieces).startswith(b"data: ")
            router.router.fleet.know([first_url, second.url])
            first.send_signal(signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                list(pieces)
        assert second.metric("radixloom_prompt_tokens_total") == 0, "the stream was not sent again"
        assert router.metric("radixloom_router_cut_off_answers_total") == 1
