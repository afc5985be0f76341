"""Traces of requests, as a collector gets them by OTLP."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.datastructures import Headers
from support.http_server import HttpServer, echo_engine
from support.otlp_collector import OtlpCollector, attributes

from radixloom_runtime import __version__
from radixloom_runtime.server import tracing
from radixloom_runtime.server.spans import Exchange

MODEL = "tiny_tokenizer"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BODY = {"model": MODEL, "prompt": "a b c", "max_tokens": 3, "temperature": 0.5}
COMPLETIONS = "/v1/completions"
HOUR_NS = 3600 * 10**9
PATIENT_SECONDS = 20.0
"""A loaded machine may take more than the two seconds to send what is left."""


@dataclass(frozen=True)
class Told:
    """What a server told its collector."""

    resource: dict[str, Any]
    spans: list[Span]

    def of(self, request_id: str) -> tuple[Span, dict[str, Any]]:
        """The server's span of a request, and its attributes."""
        [found] = [
            (span, told)
            for span in self.spans
            if (told := attributes(span.attributes)).get("radixloom.request_id") == request_id
        ]
        return found

    def under(self, span: Span) -> list[Span]:
        return [each for each in self.spans if each.parent_span_id == span.span_id]


def ask(client: httpx.Client, request_id: str, **more: Any) -> httpx.Response:
    headers = {"x-request-id": request_id} | more.pop("headers", {})
    path = more.pop("path", COMPLETIONS)
    return client.post(path, json=BODY | more, headers=headers)


def traced(ask_all: Callable[[httpx.Client], object]) -> Told:
    with OtlpCollector() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "CLOSE_SECONDS", PATIENT_SECONDS)
        with HttpServer(echo_engine(), otlp_endpoint=collector.url) as server:
            ask_all(server.client)
        return Told(collector.resource, collector.spans)


@pytest.fixture(scope="module")
def told() -> Told:
    """What is told of a whole answer, a stream, a refusal, a probe and a trace not sampled."""

    def ask_all(client: httpx.Client) -> None:
        traceparent = f"00-{TRACE}-{PARENT}-01"
        assert ask(client, "whole", headers={"traceparent": traceparent}).is_success
        assert ask(client, "stream", stream=True, n=2).is_success
        messages = [{"role": "user", "content": "a"}]
        chat = {"model": MODEL, "messages": messages, "max_tokens": 1}
        answer = client.post("/v1/chat/completions", json=chat, headers={"x-request-id": "chat"})
        assert answer.is_success, answer.text
        assert ask(client, "refused", model="nobody").status_code == 404
        assert ask(client, "elsewhere", path="/no/such/path").status_code == 404
        unsampled = f"00-{TRACE}-{PARENT}-00"
        assert ask(client, "unsampled", headers={"traceparent": unsampled}).is_success
        client.get("/healthz", headers={"x-request-id": "probe"})

    return traced(ask_all)


def test_a_request_is_a_server_span_of_the_clients_trace(told: Told):
    span, _ = told.of("whole")
    assert span.name == f"text_completion {MODEL}"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_request_is_told_by_the_conventions_names(told: Told):
    _, found = told.of("whole")
    assert found.pop("gen_ai.response.time_to_first_chunk") > 0
    assert found == {
        "http.request.method": "POST",
        "url.path": COMPLETIONS,
        "http.response.status_code": 200,
        "radixloom.request_id": "whole",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "radixloom",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.max_tokens": 3,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.response.finish_reasons": ["length"],
    }


def test_queue_prefill_and_decode_follow_each_other_inside_it(told: Told):
    span, _ = told.of("whole")
    parts = told.under(span)
    assert [part.name for part in parts] == ["queue", "prefill", "decode"]
    for earlier, later in itertools.pairwise(parts):
        assert earlier.end_time_unix_nano == later.start_time_unix_nano
    times = [span.start_time_unix_nano, parts[0].start_time_unix_nano]
    times += [*(part.end_time_unix_nano for part in parts), span.end_time_unix_nano]
    assert times == sorted(times)


def test_a_stream_of_several_answers_is_one_span_with_all_their_tokens(told: Told):
    span, found = told.of("stream")
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.request.choice.count"] == 2
    assert found["gen_ai.usage.output_tokens"] == 6
    assert found["gen_ai.response.finish_reasons"] == ["length", "length"]
    assert len(told.under(span)) == 3
    assert not span.parent_span_id


def test_a_chat_is_named_as_one(told: Told):
    span, found = told.of("chat")
    assert (span.name, found["gen_ai.operation.name"]) == (f"chat {MODEL}", "chat")


def test_a_refusal_is_told_with_its_status_and_nothing_inside(told: Told):
    span, found = told.of("refused")
    assert span.name == f"POST {COMPLETIONS}"
    assert (found["http.response.status_code"], found["error.type"]) == (404, "404")
    assert span.status.code == Status.STATUS_CODE_UNSET  # by the convention: a client's fault
    assert not told.under(span)


def test_paths_of_clients_own_making_are_no_names_of_spans(told: Told):
    assert told.of("elsewhere")[0].name == "POST other"


@pytest.mark.parametrize("request_id", ["unsampled", "probe"])
def test_probes_and_what_the_client_does_not_sample_are_not_told(told: Told, request_id: str):
    assert told.spans
    ids = [attributes(span.attributes).get("radixloom.request_id") for span in told.spans]
    assert request_id not in ids


def test_spans_say_which_service_and_release_they_come_from(told: Told):
    assert told.resource["service.name"] == "radixloom"
    assert told.resource["service.version"] == __version__


def test_a_fault_of_ours_is_an_error_in_the_trace():
    told = traced(lambda client: ask(client, "lost", prompt=[6, 7], max_tokens=2))
    span, found = told.of("lost")
    assert found["http.response.status_code"] == 500
    assert span.status.code == Status.STATUS_CODE_ERROR


def test_opentelemetrys_own_variables_name_collector_and_service(monkeypatch: pytest.MonkeyPatch):
    with OtlpCollector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "chats")
        monkeypatch.setattr(tracing, "CLOSE_SECONDS", PATIENT_SECONDS)
        with HttpServer(echo_engine()) as server:
            assert ask(server.client, "any").is_success
        assert collector.resource["service.name"] == "chats"
        assert collector.spans


def test_a_collector_that_is_away_holds_up_neither_answers_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(tracing, "CLOSE_SECONDS", 0.05)
    with HttpServer(echo_engine(), otlp_endpoint="http://127.0.0.1:1") as server:
        assert ask(server.client, "any").is_success
        server.stop()
        assert server.wait_outcome() == 0


def test_spans_tell_the_time_of_day_as_it_is_set_now(monkeypatch: pytest.MonkeyPatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telling = tracing.Tracing(provider, exporter)
    set_on = time.time_ns() + HOUR_NS
    monkeypatch.setattr(time, "time_ns", lambda: set_on)
    now = time.monotonic()
    exchange = Exchange("POST", "/x", Headers({}), "one", 200, now - 2, now, asked=None)
    telling.record(exchange)
    provider.shutdown()
    [span] = exporter.get_finished_spans()
    assert span.start_time is not None
    assert set_on - 62 * 10**9 < span.start_time < set_on


def test_without_an_endpoint_what_makes_and_sends_spans_is_not_loaded():
    program = (
        "import sys; from radixloom_runtime.server import main, tracing;"
        " assert tracing.load(None) is None;"
        " parts = 'opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.proto';"
        " print([name for name in sys.modules if name.startswith(parts)])"
    )
    environment = dict.fromkeys(tracing.ENDPOINT_VARIABLES, "")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_no_thread_is_left_once_it_is_closed():
    before = threading.active_count()
    found = tracing.load("http://127.0.0.1:1")
    assert found is not None
    assert threading.active_count() > before
    found.close()
    assert threading.active_count() == before
