"""Several processes as one JAX: over HTTP the tokens of the goldens, however devices are shared."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.goldens import folder, golden
from support.slice_process import Slice, free_port, running_slice
from support.tiny import FOLDER as TOKENIZER

from radixloom_runtime.wire.plan import Limits

READY_SECONDS = 240
LIMIT_SECONDS = 10.0
PROMPTS = (0, 1, 2, 3)
LONG_PROMPTS = (4, 5)
"""Of a checkpoint with two sets of rope factors: beyond what it was first trained for."""
SMALL = {
    "max_running_requests": 4,
    "step_tokens": 16,
    "kv_cache_tokens": 256,
    "page_tokens": 4,
    "max_model_len": 64,
}
CPU = {"JAX_PLATFORMS": "cpu"}
AGREE = """
import sys
from radixloom_runtime.runner.distributed import join_processes, least_of_hosts
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.plan import Limits

rank, port = int(sys.argv[1]), int(sys.argv[2])
address = {"leader_address": "127.0.0.1", "coordinator_port": port}
join_processes(RuntimeSettings(num_hosts=2, rank=rank, **address))
print(least_of_hosts(Limits((9, 7)[rank], 4, (2, 3)[rank], 16, (36, 28)[rank])))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def checkpoint(name: str, into: Path) -> Path:
    """A golden's checkpoint with a tokenizer, which the server asks for."""
    model = into / "model"
    shutil.copytree(folder(name), model)
    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, model)
    return model


@pytest.fixture
def hosts_of(tmp_path):
    def make(name: str, num_hosts: int, devices: int, **settings: Any):
        logs = tmp_path / "logs"
        logs.mkdir()
        return running_slice(
            logs,
            num_hosts,
            module="radixloom_runtime.cli",
            model=checkpoint(name, tmp_path),
            cpu_devices=devices,
            compile_cache_dir=tmp_path / "compiled",
            **(SMALL | settings),
        )

    return make


def start_ready(running: Slice):
    hosts = running.start_all(environment=CPU)
    for host in hosts:
        host.wait_ready(READY_SECONDS)
    return hosts


@pytest.mark.parametrize(
    ("name", "num_hosts", "devices"),
    [
        ("llama-rope3-gqa-untied", 2, 2),
        ("llama-rope3-gqa-untied", 4, 1),
        ("qwen3-moe-sparse", 2, 2),
        ("deepseek-v3", 2, 2),
        ("deepseek-v2-lite", 4, 1),
        ("qwen3-next", 2, 1),
    ],
)
def test_several_processes_give_the_goldens_tokens(hosts_of, name, num_hosts, devices):
    with hosts_of(name, num_hosts, devices) as running:
        assert_gives_goldens(running, name, PROMPTS)


@pytest.mark.parametrize(
    ("name", "num_hosts", "devices"), [("deepseek-v2-lite", 1, 4), ("qwen3-moe-sparse", 2, 2)]
)
def test_groups_of_two_devices_give_the_goldens_tokens_over_http(
    hosts_of, name, num_hosts, devices
):
    with hosts_of(name, num_hosts, devices, data_parallel=2) as running:
        assert_gives_goldens(running, name, PROMPTS)


def test_several_processes_turn_long_prompts_by_the_long_factors(hosts_of):
    with hosts_of("phi3-longrope", 2, 1, max_model_len=128) as running:
        assert_gives_goldens(running, "phi3-longrope", LONG_PROMPTS)


def assert_gives_goldens(running: Slice, name: str, prompts: tuple[int, ...]) -> None:
    """Fail unless a slice, from start to drain, gives the reference's greedy tokens."""
    expected = golden(name)
    hosts = start_ready(running)
    asked = [[int(token) for token in expected[f"ids_{index}"]] for index in prompts]
    wanted = [[int(token) for token in expected[f"greedy_{index}"]] for index in prompts]

    def complete(prompt: list[int], answer: list[int]) -> list[int]:
        return hosts[0].complete(prompt, max_tokens=len(answer))

    with ThreadPoolExecutor() as executor:  # at once, so that they run beside each other
        assert list(executor.map(complete, asked, wanted)) == wanted
    hosts[0].process.send_signal(signal.SIGTERM)
    assert [host.exit_code() for host in hosts] == [0] * len(hosts)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_engine_ends_all_processes_within_ten_seconds(hosts_of, victim: int):
    with hosts_of("llama-rope3-gqa-untied", 2, 2) as running:
        hosts = start_ready(running)
        since = time.monotonic()
        os.kill(hosts[victim].engine_pid, signal.SIGKILL)
        assert all(host.exit_code() for host in hosts)
        assert time.monotonic() - since < LIMIT_SECONDS
        told = "is gone; its process has ended", "JAX distributed service detected fatal errors"
        assert any(cause in hosts[1 - victim].log for cause in told)


def test_hosts_with_unequal_memory_agree_on_what_each_has_room_for():
    port = str(free_port())
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", AGREE, str(rank), port],
            env=os.environ | CPU,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    agreed = repr(Limits(7, 4, 2, 16, 28))
    assert all(agreed in host.communicate(timeout=READY_SECONDS)[0] for host in hosts)


def test_a_mesh_that_leaves_a_host_out_is_refused_with_the_devices_of_each(hosts_of):
    with hosts_of("llama-rope3-gqa-untied", 2, 1, tensor_parallel=1) as running:
        hosts = running.start_all(environment=CPU)
        assert all(host.exit_code(READY_SECONDS) for host in hosts)
        assert any("unevenly on the hosts: [1, 0]; set" in host.log for host in hosts)
