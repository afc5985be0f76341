import json

from prometheus_client.parser import text_string_to_metric_families
from support.http_server import HttpServer

import radixloom_runtime


def test_all_probes_are_well_once_ready(server: HttpServer):
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ready"}


def test_startup_tells_what_it_took(server: HttpServer):
    assert server.client.get("/startupz").json() == {
        "status": "started",
        "model": "tiny_tokenizer",
        "start_seconds": {"total": 0.1},
        "num_buckets": 4,
        "compile_cache_hits": 3,
    }


def test_the_version_is_told(server: HttpServer):
    assert server.client.get("/version").json() == {"version": radixloom_runtime.__version__}


def test_the_schemas_are_documented(server: HttpServer):
    paths = server.client.get("/openapi.json").json()["paths"]
    chat = json.dumps(paths["/v1/chat/completions"]["post"])
    assert all(name in chat for name in ("temperature", "max_completion_tokens", "top_logprobs"))
    assert server.client.get("/docs").status_code == 200


def test_metrics_tell_requests_tokens_and_the_engine(server: HttpServer):
    body = {"model": "tiny_tokenizer", "prompt": [5] * 8, "max_tokens": 4}
    before = server.metric("radixloom_generated_tokens_total")
    assert server.client.post("/v1/completions", json=body).status_code == 200
    server.poll("/metrics", lambda _: server.metric("radixloom_generated_tokens_total") > before)
    families = {
        family.name: family
        for family in text_string_to_metric_families(server.client.get("/metrics").text)
    }
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["radixloom_http_requests_total", "/v1/completions", "200"] >= 1
    assert samples["radixloom_time_to_first_token_seconds_count",] >= 1
    assert samples["radixloom_inter_token_latency_seconds_count",] >= 3
    assert samples["radixloom_request_seconds_count",] >= 1
    assert samples["radixloom_prefix_hit_ratio",] > 0
    assert samples["radixloom_kv_tokens", "total"] == 4096
    assert samples["radixloom_start_seconds", "total"] == 0.1
    assert samples["radixloom_engine_up",] == 1
    assert samples["radixloom_compiles_after_warmup_total",] == 0
    for name in ("num_queue_reqs", "num_running_reqs", "token_usage"):
        assert f"radixloom:{name}" in families


def test_unknown_paths_share_one_label(server: HttpServer):
    server.client.get("/one")
    server.client.get("/two")
    text = server.client.get("/metrics").text
    assert '/one"' not in text
    assert server.metric('radixloom_http_requests_total{endpoint="other",status="404"}') >= 2
