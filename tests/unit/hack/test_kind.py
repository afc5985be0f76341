"""The kind provider, against a `docker` and a `kind` that keep a record of what they are told.

The two programs are scripts: what the real ones do is proven by `make cluster-up` alone.
"""

import json
import os
import tomllib
from pathlib import Path

import pytest

from hack.cluster import images, kind, versions
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

_RECORD = 'echo "$0 $*" | sed "s,^[^ ]*/,," >>"$RECORD"'
_CREATION = "kind create cluster"


class Engine:
    """A folder of scripts before everything else on PATH, and the commands they were given."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "cluster")
        self._folder = folder
        self._record = folder / "record"
        self.layout.run.mkdir(parents=True)
        self.layout.binaries.mkdir(parents=True)

    def answers(self, *, docker: str = "", kind: str = "") -> None:
        """Let the programs answer by arms of `case "$1 $2"`; what has no arm succeeds silently."""
        for place, arms in (
            (self._folder / "docker", docker),
            (self.layout.binaries / "kind", kind),
        ):
            place.write_text(f'#!/bin/sh\n{_RECORD}\ncase "$1 $2" in\n{arms}\nesac\n')
            place.chmod(0o755)

    def commands(self) -> list[str]:
        """Return what was run so far, in order."""
        return self._record.read_text().splitlines() if self._record.exists() else []


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return an engine that has the node image and no cluster."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    made = Engine(tmp_path)
    made.answers()
    return made


def test_kind_mounts_the_shared_folder_at_its_own_path():
    nodes = json.loads(kind.config(2, Path("/home/me/.cache/radixloom")))["nodes"]
    assert [each["role"] for each in nodes] == ["control-plane", "worker", "worker"]
    mount = nodes[1]["extraMounts"][0]
    assert mount["hostPath"] == mount["containerPath"] == "/home/me/.cache/radixloom"
    assert nodes[1]["labels"]["cloud.google.com/gke-nodepool"] == "tpu-pool-0"


def test_kubelets_of_kind_do_not_refuse_a_machine_with_cgroup_v1():
    (patch,) = json.loads(kind.config(1, Path("/shared")))["kubeadmConfigPatches"]
    assert json.loads(patch) == {"kind": "KubeletConfiguration", "failCgroupV1": False}


def test_containers_of_kind_start_on_a_machine_without_cap_sys_resource():
    (patch,) = json.loads(kind.config(1, Path("/shared")))["containerdConfigPatches"]
    plugin = tomllib.loads(patch)["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["restrict_oom_score_adj"] is True


def test_kind_is_used_where_the_engine_has_the_node_image(engine: Engine):
    assert kind.is_available()
    assert engine.commands()[-1] == f"docker image inspect {versions.KIND_NODE_IMAGE}"


def test_an_engine_that_cannot_pull_the_node_image_is_passed_over_and_said_so(
    engine: Engine, capsys: pytest.CaptureFixture[str]
):
    engine.answers(docker='"image inspect") exit 1;;\npull*) echo no route >&2; exit 1;;')
    assert not kind.is_available()
    said = capsys.readouterr().err
    assert versions.KIND_NODE_IMAGE in said
    assert "no route" in said
    with pytest.raises(ClusterError, match="docker load"):
        kind.require()


def test_a_machine_without_an_engine_is_told_so_before_anything_is_built(engine: Engine):
    engine.answers(docker="info*) exit 1;;")
    assert not kind.is_available()
    with pytest.raises(ClusterError, match="no Docker engine answers"):
        kind.require()


def test_a_failed_creation_keeps_the_nodes_logs_and_no_node(engine: Engine):
    engine.answers(
        kind='"create cluster") echo kubelet is not healthy >&2; exit 1;;\n'
        '"export logs") mkdir "$3/radixloom-worker";;'
    )
    with pytest.raises(ClusterError, match="kubelet is not healthy") as failure:
        kind.up(engine.layout, 2, engine.layout.root / "shared")
    assert f"logs are in {engine.layout.logs}" in str(failure.value)
    names = [" ".join(command.split()[:3]) for command in engine.commands()]
    after = names[names.index(_CREATION) + 1 :]
    assert after == ["kind export logs", "kind delete cluster"]
    assert not engine.layout.state.exists()
    assert kind.is_left_over(engine.layout)  # so `down` needs no root to clear the logs away


def test_a_creation_that_failed_before_its_first_node_points_at_no_logs(engine: Engine):
    engine.answers(kind='"create cluster") exit 1;;')
    with pytest.raises(ClusterError) as failure:
        kind.up(engine.layout, 2, engine.layout.root / "shared")
    assert "logs" not in str(failure.value)


def test_a_cluster_whose_creation_was_cut_off_is_made_anew(engine: Engine):
    engine.answers(kind='"get clusters") echo radixloom;;\n"create cluster") exit 1;;')
    with pytest.raises(ClusterError):
        kind.up(engine.layout, None, engine.layout.root / "shared")
    names = [" ".join(command.split()[:3]) for command in engine.commands()]
    assert names.index("kind delete cluster") < names.index(_CREATION)


def test_down_finds_a_cluster_that_never_came_up(engine: Engine):
    assert not kind.is_left_over(engine.layout)
    engine.answers(kind='"get clusters") echo other; echo radixloom;;')
    assert kind.is_left_over(engine.layout)


@pytest.mark.parametrize("was_there", [True, False])
def test_dockers_network_goes_with_the_cluster_that_brought_it(engine: Engine, was_there: bool):
    engine.answers(
        docker="" if was_there else '"network inspect") exit 1;;',
        kind='"create cluster") exit 1;;',
    )
    with pytest.raises(ClusterError):
        kind.up(engine.layout, 1, engine.layout.root / "shared")
    kind.down(engine.layout)
    assert ("docker network rm kind" in engine.commands()) is not was_there
    assert not engine.layout.run.exists()


def test_an_image_goes_to_the_workers_that_lack_it_alone(engine: Engine, tmp_path: Path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    archive = tmp_path / "app.tar"
    images.pack(archive, "localhost/app:1", {"app": program}, entrypoint=["/app"])
    (image,) = images.read(archive)
    held = {"images": [{"id": image.config_digest, "repoTags": [image.name]}]}
    (tmp_path / "held").write_text(json.dumps(held))
    nodes = '"get nodes") printf "radixloom-%s\\n" worker2 control-plane worker;;'
    engine.answers(
        kind=nodes,
        docker=f'"exec radixloom-worker") cat {tmp_path}/held;;\n'
        '"exec radixloom-worker2") echo \'{"images": []}\';;',
    )
    kind.load(engine.layout, [archive])
    (loading,) = [command for command in engine.commands() if "load image-archive" in command]
    assert loading.endswith("--nodes radixloom-worker2")

    engine.answers(kind=nodes, docker=f"exec*) cat {tmp_path}/held;;")
    kind.load(engine.layout, [archive])
    assert sum("load image-archive" in command for command in engine.commands()) == 1
