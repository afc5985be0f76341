"""`radixloom bench` as a command, against a real HTTP server."""

import json
from pathlib import Path

import pytest
from support.openai_stub import OpenAIStub, openai_stub

from radixloom_runtime import cli
from radixloom_runtime.commands.bench.load import Load, gaps

SMALL = ["--num-prompts", "6", "--input-tokens", "8", "--output-tokens", "5"]


def bench(stub: OpenAIStub, *flags: str) -> int:
    return cli.main(["bench", "--url", stub.url, *SMALL, *flags])


def test_every_request_is_sent_as_token_ids_and_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    with openai_stub(OpenAIStub(cached_tokens=4)) as stub:
        assert bench(stub, "--output", str(tmp_path / "results.jsonl")) == 0
    results = json.loads((tmp_path / "results.jsonl").read_text())
    assert results["completed"] == 6
    assert results["total_input_tokens"] == 48
    assert results["total_output_tokens"] == 30
    assert results["cache_hit_rate"] == pytest.approx(0.5)
    assert results["model"] == "stub"
    request = stub.requests[-1]
    assert len(request["prompt"]) == 8
    assert request["max_tokens"] == 5
    assert request["ignore_eos"] is True
    assert "Serving Benchmark Result" in capsys.readouterr().out


def test_the_warm_up_is_sent_and_not_counted(tmp_path: Path):
    with openai_stub() as stub:
        bench(stub, "--warmup-requests", "2", "--output", str(tmp_path / "results.jsonl"))
    assert len(stub.requests) == 8
    assert json.loads((tmp_path / "results.jsonl").read_text())["completed"] == 6


def test_a_shared_prefix_is_shared_but_not_with_the_warm_up():
    with openai_stub() as stub:
        bench(stub, "--dataset", "shared-prefix", "--prefix-tokens", "16")
    warmup, *measured = [tuple(request["prompt"]) for request in stub.requests]
    assert {len(prompt) for prompt in measured} == {24}
    assert len({prompt[:16] for prompt in measured}) == 1
    assert len(set(measured)) == 6
    assert warmup[:16] != measured[0][:16]


def test_tokens_that_come_together_are_all_counted(tmp_path: Path):
    with openai_stub(OpenAIStub(tokens_at_once=3)) as stub:
        bench(stub, "--output", str(tmp_path / "results.jsonl"))
    assert json.loads((tmp_path / "results.jsonl").read_text())["total_output_tokens"] == 30


def test_concurrency_is_limited():
    with openai_stub(OpenAIStub(seconds_between=0.01)) as stub:
        bench(stub, "--max-concurrency", "2")
    assert stub.most_running == 2


def test_failed_requests_are_counted_told_and_change_the_exit_code(
    capsys: pytest.CaptureFixture[str],
):
    with openai_stub(OpenAIStub(fail_every=3)) as stub:
        assert bench(stub) == 1
    printed = capsys.readouterr()
    assert "Successful requests:                     4" in printed.out
    assert "2 requests failed" in printed.err
    assert "no tokens today" in printed.err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"break_off_after": 2}, "RemoteProtocolError"),
        ({"error_after": 2}, "the engine died"),
        ({"status": 400}, "no tokens today"),
    ],
)
def test_a_stream_that_does_not_end_well_is_a_failure(
    fault: dict[str, int], reason: str, capsys: pytest.CaptureFixture[str]
):
    with openai_stub(OpenAIStub(**fault)) as stub:
        assert bench(stub, "--warmup-requests", "0") == 1
    assert reason in capsys.readouterr().err


def test_a_failing_warm_up_ends_it_at_once(capsys: pytest.CaptureFixture[str]):
    with openai_stub(OpenAIStub(status=400)) as stub:
        assert bench(stub) == cli.EXIT_USAGE
    assert "warm-up request failed: HTTP 400: no tokens today" in capsys.readouterr().err
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "flags", [["--num-prompts", "0"], ["--request-rate", "0"], ["--max-concurrency", "-1"]]
)
def test_senseless_numbers_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["bench", *flags])
    assert flags[0] in capsys.readouterr().err


def test_arrivals_follow_the_rate():
    load = Load("http://host/v1", "tiny", 1, 50.0, None, seed=3)
    drawn = gaps(4000, load)
    assert sum(drawn) == pytest.approx(4000 / 50, rel=0.1)
    assert drawn == gaps(4000, load)
