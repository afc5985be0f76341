"""A pid alone proves nothing: who is ours, who is somebody else by now."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster import cgroups, mounts, processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def test_stat_is_read_past_a_command_with_spaces_and_parentheses():
    fields = " ".join(str(number) for number in range(4, 53))
    assert processes.parse_stat(f"42 (a (b) c) S {fields}") == ("S", 22)


def test_a_running_process_is_recognised(sleeper: subprocess.Popen[bytes]):
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    assert processes.is_running(identity)


def test_a_reused_pid_is_somebody_else(sleeper: subprocess.Popen[bytes]):
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    earlier = replace(identity, start_ticks=identity.start_ticks - 1)
    assert not processes.is_running(earlier)
    processes.kill([earlier])
    assert sleeper.poll() is None


def test_a_pid_of_an_earlier_boot_is_somebody_else(sleeper: subprocess.Popen[bytes]):
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    assert not processes.is_running(replace(identity, boot_id="an earlier one"))


def test_a_zombie_counts_as_gone(sleeper: subprocess.Popen[bytes]):
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert processes.identify(sleeper.pid) is None


def test_ending_kills_what_ignores_the_polite_request():
    deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(9)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = processes.identify(process.pid)
        assert identity is not None
        processes.end([identity], grace_seconds=0.1)
        assert process.wait() == -signal.SIGKILL


def test_a_started_daemon_is_recorded(tmp_path: Path):
    processes.start("sleeper", SLEEP, records=tmp_path, logs=tmp_path, env={})
    recorded = processes.recorded(tmp_path)
    assert processes.is_running(recorded["sleeper"])
    processes.kill(recorded.values())
    assert not processes.is_running(recorded["sleeper"])


ROOT = Path("/home/me/.cache/radixloom/cluster")


@pytest.mark.parametrize(
    ("program", "command", "expected"),
    [
        ("v1/bin/kubelet", f"kubelet --config={ROOT}/run/nodes/x", True),
        ("v1/bin/kubelet (deleted)", f"kubelet --config={ROOT}/run/nodes/x", True),
        ("v1/bin/containerd-shim-runc-v2", f"shim -address {ROOT}/run/x.sock", True),
        ("v1/bin/kubectl", f"kubectl --kubeconfig={ROOT}/run/kubeconfig get pods", False),
        ("v1/bin/kubelet", "kubelet --config=/elsewhere", False),
        ("/usr/bin/kubelet", f"kubelet --config={ROOT}/run/nodes/x", False),
    ],
)
def test_a_daemon_is_ours_by_program_and_arguments(program: str, command: str, expected: bool):
    assert processes._is_ours(ROOT / program, command, ROOT, ROOT / "run") is expected


def test_mounts_below_a_folder_come_last_mounted_first():
    mountinfo = (
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "40 27 0:4 / /cache/run/a rw - tmpfs none rw\n"
        "41 40 0:5 / /cache/run/a/b\\040c rw - tmpfs none rw\n"
        "42 27 0:6 / /cache/running rw - tmpfs none rw\n"
    )
    assert mounts.below(Path("/cache/run"), mountinfo) == ["/cache/run/a/b c", "/cache/run/a"]


def test_cgroup_hierarchies_of_both_versions_are_found():
    text = (
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    )
    found = cgroups.hierarchies(text)
    assert found == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]
