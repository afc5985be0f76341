"""How large the KV cache becomes, and what is said when it cannot."""

from types import SimpleNamespace

import pytest
from support.tiny_models import TIED, tiny_model

from radixloom_runtime.errors import CapacityError
from radixloom_runtime.runner import memory
from radixloom_runtime.runner.memory import (
    KVPlan,
    available_host_bytes,
    check_room,
    plan_kv,
    plan_rows,
)
from radixloom_runtime.settings import RuntimeSettings

TOKEN_BYTES = 2 * 2 * 3 * 8 * 4  # layers, k and v, heads, head_dim, float32


def plan(free_tokens: int, **settings) -> KVPlan:
    return plan_kv(
        RuntimeSettings(**settings),
        tiny_model(TIED).config,
        page_tokens=16,
        token_bytes=TOKEN_BYTES,
        free_bytes=free_tokens * TOKEN_BYTES,
        default_tokens=4096,
    )


def test_the_cache_takes_what_is_free_up_to_the_default_in_whole_pages():
    assert plan(1000).num_tokens == 992
    assert plan(1_000_000).num_tokens == 4096


def test_a_wanted_size_is_kept_over_the_default():
    assert plan(1_000_000, kv_cache_tokens=8000).num_tokens == 8000


def test_the_longest_request_fits_in_the_cache_and_in_the_model():
    assert plan(320).max_model_len == 320
    assert plan(100_000).max_model_len == 512
    assert plan(100_000, max_model_len=100).max_model_len == 100


@pytest.mark.parametrize(
    ("free_tokens", "settings", "message"),
    [
        (100, {"kv_cache_tokens": 200}, r"kv_cache_tokens 200 needs .*\(100 tokens\); lower"),
        (15, {}, "needs at least one page of 16 tokens"),
        (0, {}, "needs at least one page of 16 tokens"),
        (10_000, {"max_model_len": 513}, "513 is over the 512 positions"),
        (100, {"max_model_len": 97}, "97 is over the 96 tokens that the KV cache holds"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(free_tokens, settings, message):
    with pytest.raises(CapacityError, match=message):
        plan(free_tokens, **settings)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8_000_000 * 1024),
        ({"memory.max": "5000", "memory.current": "1000"}, 4000),
        ({"memory.max": "max", "memory.current": "1000"}, 8_000_000 * 1024),
        ({"memory/memory.limit_in_bytes": "7000", "memory/memory.usage_in_bytes": "9000"}, 0),
    ],
    ids=["no cgroup", "version 2", "version 2 without limit", "version 1, over its limit"],
)
def test_host_memory_is_the_least_of_machine_and_cgroup(tmp_path, files, expected):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000000 kB\nMemAvailable:  8000000 kB\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert available_host_bytes(tmp_path, meminfo) == expected


def rows(free_bytes: int, **settings) -> int:
    return plan_rows(
        RuntimeSettings(**settings), row_bytes=100, free_bytes=free_bytes, default_rows=64
    )


def test_states_of_running_requests_take_at_most_half_of_what_is_free():
    assert rows(1 << 20) == 64
    assert rows(2000) == 9  # and one more for padding
    assert rows(400) == 1
    assert rows(2000, max_running_requests=8) == 8


@pytest.mark.parametrize(
    ("free_bytes", "settings"), [(300, {}), (2000, {"max_running_requests": 10})]
)
def test_states_that_do_not_fit_are_refused_with_what_to_do(free_bytes, settings):
    with pytest.raises(CapacityError, match="lower max_running_requests or give more memory"):
        rows(free_bytes, **settings)


def test_a_model_without_states_runs_as_many_requests_as_is_said():
    settings = RuntimeSettings(max_running_requests=500)
    assert plan_rows(settings, row_bytes=0, free_bytes=0, default_rows=64) == 500
    assert plan_rows(RuntimeSettings(), row_bytes=0, free_bytes=0, default_rows=64) == 64


def test_a_cpus_memory_is_shared_by_the_devices_of_its_own_host(monkeypatch):
    monkeypatch.setattr(memory, "available_host_bytes", lambda: 4 << 30)
    device = SimpleNamespace(platform="cpu", device_kind="cpu", memory_stats=lambda: None)

    def check(num_local: int) -> None:
        weights = {"weights_bytes": 3 << 29, "token_bytes": 1}  # 1.5 GiB
        check_room(RuntimeSettings(), [device] * num_local, num_devices=4, **weights)

    check(num_local=2)
    with pytest.raises(CapacityError, match=r"whose 1[.]00 GiB"):
        check(num_local=4)
