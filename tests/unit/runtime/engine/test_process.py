"""The engine as a process: real sockets, real signals, real exit codes; the toy instead of JAX."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.goldens import folder as golden
from support.serving import request
from support.toy_engine import FAULTY, HANGING, NO_SUCH_MODEL, toy_engine
from support.toy_runner import expected_tokens

from radixloom_runtime.capacity import told_in
from radixloom_runtime.engine.launch import engine_command
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.channels import ServerChannel, address_in
from radixloom_runtime.wire.messages import (
    Abort,
    Drain,
    EngineMessage,
    Failed,
    Output,
    Ready,
    Rejected,
    ServerMessage,
    Starting,
    Stats,
)
from radixloom_runtime.wire.plan import Limits

PATIENCE_SECONDS = 20.0
TESTS = Path(__file__).parents[3]
LIMITS = Limits(num_pages=64, page_tokens=4, max_rows=8, step_tokens=32, max_model_len=128)
"""What the toy engine decides without settings."""


class Engine:
    """The server's end of a running engine."""

    def __init__(self, channel: ServerChannel, process: subprocess.Popen[bytes]) -> None:
        self.channel = channel
        self.process = process
        self.heard: list[EngineMessage] = []
        self._loop = asyncio.new_event_loop()

    def send(self, *messages: ServerMessage) -> None:
        self._loop.run_until_complete(self.channel.send(*messages))

    def send_bytes(self, frame: bytes) -> None:
        async def send() -> None:
            await self.channel._socket.send(frame)

        self._loop.run_until_complete(send())

    def hear(self, enough) -> EngineMessage:
        """Listen until a message is `enough`; it is the last in `heard`."""
        return self._loop.run_until_complete(asyncio.wait_for(self._hear(enough), PATIENCE_SECONDS))

    async def _hear(self, enough) -> EngineMessage:
        while True:
            for message in await self.channel.receive():
                self.heard.append(message)
                if enough(message):
                    return message

    def hear_a(self, kind: type[EngineMessage]) -> EngineMessage:
        return self.hear(lambda message: isinstance(message, kind))

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.channel.close()
        self._loop.close()


@contextmanager
def engine(folder: Path, *, command=toy_engine, **settings) -> Iterator[Engine]:
    address = address_in(folder)
    channel = ServerChannel(address)
    argv, env = command(address, RuntimeSettings(**settings))
    process = subprocess.Popen(argv, env=env)
    running = Engine(channel, process)
    try:
        yield running
    finally:
        running.close()


def is_last_of(request_id: str):
    def enough(message: EngineMessage) -> bool:
        is_output = isinstance(message, Output) and message.request_id == request_id
        return is_output and message.finish_reason is not None

    return enough


def test_an_engine_says_that_it_starts_then_ready_then_answers(tmp_path):
    submit = request("a", [1, 2, 3], max_tokens=9)
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        assert isinstance(running.heard[0], Starting)
        running.send(submit)
        running.hear(is_last_of("a"))
        outputs = [message for message in running.heard if isinstance(message, Output)]
        token_ids = [token_id for output in outputs for token_id in output.token_ids]
        assert (token_ids, outputs[-1].finish_reason) == expected_tokens(submit, LIMITS)
        assert len(outputs) > 1, "tokens are streamed, one Output each"


@pytest.mark.slow
def test_a_drained_engine_finishes_what_it_has_refuses_more_and_exits_with_0(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("a", [1, 2, 3], max_tokens=40), Drain(), request("late", [1]))
        running.hear(is_last_of("a"))
        assert running.exit_code() == 0
        refused = [message for message in running.heard if isinstance(message, Rejected)]
        assert [message.request_id for message in refused] == ["late"]
        assert refused[0].retry_after_seconds is not None


@pytest.mark.slow
def test_nothing_more_is_heard_of_an_aborted_request_and_its_pages_are_free(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("a", [1, 2, 3], max_tokens=120), Abort("a"))
        running.send(request("b", [4, 5], max_tokens=30), Drain())
        running.hear(is_last_of("b"))
        assert {m.request_id for m in running.heard if isinstance(m, Output)} == {"b"}
        assert running.exit_code() == 0


@pytest.mark.slow
def test_a_request_that_can_never_run_is_rejected_and_the_engine_goes_on(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("big", [1] * 500), request("a", [1, 2]))
        running.hear(is_last_of("a"))
        rejected = next(message for message in running.heard if isinstance(message, Rejected))
        assert rejected.request_id == "big"
        assert "500" in rejected.message
        assert rejected.retry_after_seconds is None


@pytest.mark.slow
def test_an_idle_engine_reports_every_two_seconds_and_hardly_uses_the_processor(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.hear_a(Stats)
        before, cpu_before = time.monotonic(), cpu_seconds(running.process.pid)
        stats = running.hear_a(Stats)
        assert isinstance(stats, Stats)
        assert 1.0 < time.monotonic() - before < 4.0
        assert cpu_seconds(running.process.pid) - cpu_before < 0.5
        assert stats.num_running == stats.kv_tokens_used == 0
        assert stats.seconds_since_step > 1.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_reports_count_tokens_steps_and_cached_pages(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("a", range(1, 17), max_tokens=5))
        running.hear(is_last_of("a"))
        running.send(request("b", range(1, 17), max_tokens=5))
        running.hear(is_last_of("b"))
        stats = running.hear_a(Stats)
        assert isinstance(stats, Stats)
        assert (stats.prompt_tokens, stats.cached_tokens, stats.output_tokens) == (32, 12, 10)
        assert (stats.kv_tokens_total, stats.kv_tokens_cached) == (256, 20)
        assert stats.steps >= 10
        assert 0 < stats.host_seconds <= stats.step_seconds


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_also_reach_the_server_do_not_end_the_engine(tmp_path, number):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.process.send_signal(number)
        running.send(request("a", [1, 2], max_tokens=20), Drain())
        running.hear(is_last_of("a"))
        assert running.exit_code() == 0


def test_an_error_in_the_runner_is_told_and_ends_the_engine(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("a", [FAULTY]))
        failed = running.hear_a(Failed)
        assert failed == Failed("ValueError: the toy was told to fail", 1)
        assert running.exit_code() == 1


@pytest.mark.slow
def test_a_model_that_cannot_be_served_exits_with_2_and_says_why(tmp_path):
    with engine(tmp_path, model=tmp_path / NO_SUCH_MODEL) as running:
        failed = running.hear_a(Failed)
        assert isinstance(failed, Failed)
        assert NO_SUCH_MODEL in failed.message
        assert failed.exit_code == running.exit_code() == 2


@pytest.mark.slow
def test_a_model_that_does_not_fit_says_so_in_words_that_the_operator_finds(tmp_path):
    settings = {"model": golden("llama-tied"), "kv_cache_tokens": 10**12}
    with engine(tmp_path, command=engine_command, **settings) as running:
        failed = running.hear_a(Failed)
        assert isinstance(failed, Failed)
        assert (told_in(failed.message) or "").startswith("kv_cache_tokens 1000000000000 needs")
        assert failed.exit_code == running.exit_code() == 2


@pytest.mark.slow
def test_a_step_that_hangs_is_told_and_ends_the_engine(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send(request("a", [HANGING]))
        failed = running.hear_a(Failed)
        assert isinstance(failed, Failed)
        assert "limit 1 s" in failed.message
        assert running.exit_code() == 1


@pytest.mark.slow
def test_a_frame_of_another_version_ends_the_engine(tmp_path):
    with engine(tmp_path) as running:
        running.hear_a(Ready)
        running.send_bytes(b"\xff\x90")
        failed = running.hear_a(Failed)
        assert isinstance(failed, Failed)
        assert "same release" in failed.message
        assert running.exit_code() == 1


@pytest.mark.slow
def test_the_engine_ends_when_the_server_is_killed(tmp_path):
    """A parent of its own, so that it can be killed: it prints the engine's pid and sleeps."""
    script = (
        "import subprocess, sys, time\n"
        "from support.toy_engine import toy_engine\n"
        "from radixloom_runtime.settings import RuntimeSettings\n"
        "argv, env = toy_engine(sys.argv[1], RuntimeSettings())\n"
        "engine = subprocess.Popen(argv, env=env)\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    address = address_in(tmp_path)
    channel = ServerChannel(address)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, address],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
    )
    running = Engine(channel, parent)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.stdout.close()
        running.hear_a(Ready)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(pid)
    finally:
        running.close()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
