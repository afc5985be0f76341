"""A slice as real processes on loopback, with the toy runner: it serves, and ends as one."""

import os
import signal
import time

import pytest
from support.slice_process import Host, Slice, running_slice
from support.tiny import FOLDER
from support.toy_engine import FAULTY, HANGING
from support.toy_runner import expected_tokens

from radixloom_runtime import cli
from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import Limits

LIMITS = Limits(num_pages=64, page_tokens=4, max_rows=8, step_tokens=32, max_model_len=128)
LIMIT_SECONDS = 10.0
"""From a host's end to the end of all."""
PATIENT = {"TOY_STEP_LIMIT_SECONDS": "100"}

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def toys(tmp_path):
    def make(num_hosts: int = 2, **settings):
        return running_slice(
            tmp_path, num_hosts, module="support.slice_process", model=FOLDER, **settings
        )

    return make


def expected(prompt: list[int], max_tokens: int, seed: int = 0) -> list[int]:
    submit = Submit(
        request_id="", prompt_ids=prompt, max_tokens=max_tokens, sampling=Sampling(seed=seed)
    )
    return expected_tokens(submit, LIMITS)[0]


def serving(running: Slice, **more) -> list[Host]:
    hosts = running.start_all(**more)
    for host in hosts:
        host.wait_ready()
    return hosts


def seconds_until_all_ended(hosts: list[Host], since: float) -> float:
    for host in hosts:
        host.exit_code(3 * LIMIT_SECONDS)
    return time.monotonic() - since


@pytest.mark.slow
def test_a_slice_answers_and_every_host_runs_every_step(toys):
    with toys() as running:
        leader, follower = serving(running)
        assert leader.complete([1, 2, 3], max_tokens=9, seed=5) == expected([1, 2, 3], 9, 5)
        follower.poll(
            lambda: follower.metric("radixloom_steps") == leader.metric("radixloom_steps")
        )
        assert leader.get("/startupz").json()["followers"] == {"1": "warm"}
        assert follower.get("/v1/models").status_code == 404
        leader.process.send_signal(signal.SIGTERM)
        assert [host.exit_code() for host in (leader, follower)] == [0, 0]


@pytest.mark.slow
def test_a_follower_waits_for_its_leader_alive_and_not_ready(toys):
    with toys() as running:
        follower = running.start(1)
        follower.poll(lambda: "slice.joining" in follower.log)
        assert follower.get("/healthz").status_code == 200
        assert follower.get("/startupz").status_code == 200
        assert follower.get("/readyz").json()["reason"] == "starting: slice"
        leader = running.start(0)
        leader.wait_ready()
        follower.wait_ready()
        assert follower.get("/readyz").json() == {"status": "ready", "rank": 1}


@pytest.mark.slow
def test_a_leader_waits_for_its_followers_and_says_who_is_absent(toys):
    with toys(3) as running:
        leader, one = running.start(0), running.start(1)
        leader.poll(
            lambda: (
                (answer := leader.get("/startupz"))
                and answer.json().get("followers") == {"1": "joined", "2": "absent"}
            )
        )
        answer = leader.get("/startupz")
        assert (answer.status_code, answer.json()["phase"]) == (503, "slice")
        assert answer.json()["done"] == 2
        running.start(2)
        leader.wait_ready()
        assert leader.complete([4, 5], max_tokens=3) == expected([4, 5], 3)
        one.wait_ready()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["leader", "leader's engine", "follower", "follower's engine"])
def test_a_killed_process_ends_all_hosts_within_ten_seconds(toys, victim: str):
    with toys() as running:
        leader, follower = hosts = serving(running)
        host = leader if victim.startswith("leader") else follower
        pid = host.engine_pid if victim.endswith("engine") else host.process.pid
        since = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert seconds_until_all_ended(hosts, since) < LIMIT_SECONDS
        assert all(each.process.returncode for each in hosts)
        other = follower if host is leader else leader
        assert "is gone; its process has ended" in other.log


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_an_engine_that_stands_still_ends_all_hosts_within_ten_seconds_its_own_too(toys, victim):
    with toys() as running:
        hosts = serving(running)
        since = time.monotonic()
        os.kill(hosts[victim].engine_pid, signal.SIGSTOP)
        assert seconds_until_all_ended(hosts, since) < LIMIT_SECONDS
        assert all(each.process.returncode for each in hosts)
        assert "the engine's process stood still for" in hosts[victim].log
        assert "it hangs or is cut off" in hosts[1 - victim].log


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_hangs_in_a_step_ends_when_another_is_killed(toys, victim: int):
    with toys() as running:
        leader, _ = hosts = serving(running, environment=PATIENT)
        body = {"model": "m", "prompt": [HANGING], "max_tokens": 2, "stream": True}
        with leader.client.stream("POST", "/v1/completions", json=body) as answer:
            assert answer.status_code == 200
            time.sleep(1)  # the step hangs on both hosts by now, and nothing can tell us so
            since = time.monotonic()
            os.kill(hosts[victim].engine_pid, signal.SIGKILL)
            assert seconds_until_all_ended(hosts, since) < LIMIT_SECONDS
        survivor = hosts[1 - victim]
        assert "engine.ended_by_watchdog" in survivor.log
        assert "is gone" in survivor.log


@pytest.mark.slow
def test_a_fault_of_one_host_is_the_cause_that_all_logs_tell(toys):
    with toys() as running:
        leader, follower = hosts = serving(running, environment=PATIENT)
        since = time.monotonic()
        leader.client.post("/v1/completions", json={"model": "m", "prompt": [FAULTY]})
        assert seconds_until_all_ended(hosts, since) < LIMIT_SECONDS
        assert "the toy was told to fail" in leader.log
        assert "the toy was told to fail" in follower.log
        assert all(each.process.returncode for each in hosts)


@pytest.mark.slow
def test_another_secret_is_refused_told_by_both_and_written_nowhere(toys):
    with toys(gather_seconds=20) as running:
        leader = running.start(0)
        stranger = running.start(1, secret="not what the others know")
        assert stranger.exit_code() == 2
        assert "another secret" in stranger.log
        assert "slice.refused_frame" in leader.log
        assert leader.process.poll() is None, "a stranger ends nothing"
        for log in (leader.log, stranger.log):
            assert "not what the others know" not in log
            assert "what only the hosts" not in log
        running.start(1)
        leader.wait_ready()


@pytest.mark.slow
def test_hosts_with_other_settings_end_both_and_both_say_which(toys):
    with toys() as running:
        leader, follower = running.start(0), running.start(1, step_tokens=16)
        assert leader.exit_code() == 2
        assert follower.exit_code() != 0
        for log in (leader.log, follower.log):
            assert "step_tokens is null on rank 0 and 16 on rank 1" in log


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_host_that_finds_no_other_ends_after_the_time_it_was_given(toys, rank: int):
    with toys(gather_seconds=2) as running:
        host = running.start(rank)
        assert host.exit_code() == 2
        assert ("ranks [1]" if rank == 0 else "no leader has answered") in host.log


@pytest.mark.slow
def test_a_follower_told_to_stop_has_the_slice_drained_first(toys):
    with toys() as running:
        leader, follower = serving(running)
        follower.process.send_signal(signal.SIGTERM)
        assert [host.exit_code() for host in (leader, follower)] == [0, 0]
        assert "rank 1 was told to stop" in leader.log


@pytest.mark.slow
def test_a_slice_that_is_started_again_at_once_serves_again(toys):
    with toys() as running:
        leader, follower = serving(running)
        os.kill(follower.process.pid, signal.SIGKILL)
        follower.process.wait()
        again = running.start(1)  # while the old leader may still be there
        assert leader.exit_code() != 0
        leader = running.start(0)
        leader.wait_ready()
        again.wait_ready()
        assert leader.complete([7], max_tokens=5) == expected([7], 5)


def test_the_worker_command_does_not_lead(capsys):
    assert cli.main(["worker"]) == 2
    assert "wanted the rank of a follower, found 0" in capsys.readouterr().err
