"""The configuration files and command lines that are rendered for a cluster."""

import json
import tomllib
from pathlib import Path

import pytest

from hack.cluster import check, control_plane, images, network, node, pki
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

LAYOUT = Layout(Path("/cache/cluster"))
NODES = LAYOUT.nodes(3)
SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:RADIXLOOM-POSTROUTING - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j DOCKER
-A POSTROUTING -s 10.244.0.0/16 -j RADIXLOOM-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-X
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:DOCKER - [0:0]
-A FORWARD -j DOCKER
COMMIT
"""


def test_nodes_share_nothing_that_must_be_their_own():
    for attribute in ("name", "address", "pod_subnet", "bridge", "kubelet_port", "cgroup"):
        assert len({getattr(each, attribute) for each in NODES}) == len(NODES)
    ports = {each.kubelet_port for each in NODES} | {each.kubelet_health_port for each in NODES}
    assert len(ports) == 2 * len(NODES)


def test_containerd_keeps_everything_in_the_nodes_folder():
    config = tomllib.loads(node.containerd_config(LAYOUT, NODES[1]))
    root = str(NODES[1].root)
    assert config["root"].startswith(root)
    assert config["state"].startswith(root)
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["cni"]["conf_dir"].startswith(root)
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["Root"].startswith(root)
    assert runtime["restrict_oom_score_adj"] is True


def test_each_nodes_pods_get_their_own_subnet_and_bridge():
    bridge = json.loads(node.cni_config(NODES[1]))["plugins"][0]
    assert bridge["bridge"] == "radixloom1"
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_kubelet_is_reached_at_its_nodes_address():
    config = json.loads(node.kubelet_config(LAYOUT, NODES[1], "/etc/resolv.conf"))
    assert (config["address"], config["port"]) == ("10.250.0.2", 10251)
    assert config["cgroupRoot"] == "/radixloom/tpu-node-1"
    assert config["failCgroupV1"] is False


def test_nodes_are_labelled_as_gke_labels_a_slice():
    command = [str(part) for part in node.kubelet(LAYOUT, NODES[0])]
    labels = next(part for part in command if part.startswith("--node-labels="))
    assert "cloud.google.com/gke-tpu-accelerator=tpu-v5-lite-podslice" in labels
    assert "cloud.google.com/gke-tpu-topology=2x4" in labels


def test_api_server_authorises_nodes_and_roles():
    command = control_plane.api_server(LAYOUT)
    assert "--authorization-mode=Node,RBAC" in command
    assert "--enable-admission-plugins=NodeRestriction" in command


def test_each_node_has_a_certificate_for_its_name_and_address():
    leaves = {leaf.name: leaf for leaf in pki.certificates(NODES)}
    leaf = leaves["tpu-node-2"]
    assert leaf.subject == "/O=system:nodes/CN=system:node:tpu-node-2"
    extensions = leaf.extensions()
    assert "subjectAltName=DNS:tpu-node-2,IP:10.250.0.3" in extensions
    assert "extendedKeyUsage=serverAuth,clientAuth" in extensions


def test_kubeconfig_carries_its_certificates():
    text = pki.render_kubeconfig(
        "admin", server="https://127.0.0.1:16443", authority=b"a", certificate=b"b", key=b"c"
    )
    document = json.loads(text)
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:16443"
    assert document["users"][0]["user"] == {
        "client-certificate-data": "Yg==",
        "client-key-data": "Yw==",
    }


def test_removing_rules_spares_those_of_others():
    script = network.removal_script(SAVED).splitlines()
    assert script == [
        "*nat",
        ":KUBE-SERVICES - [0:0]",
        ":CNI-HOSTPORT-DNAT - [0:0]",
        ":RADIXLOOM-POSTROUTING - [0:0]",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-D POSTROUTING -s 10.244.0.0/16 -j RADIXLOOM-POSTROUTING",
        "-X KUBE-SERVICES",
        "-X CNI-HOSTPORT-DNAT",
        "-X RADIXLOOM-POSTROUTING",
        "COMMIT",
    ]


def test_without_rules_of_ours_there_is_nothing_to_remove():
    others = SAVED[SAVED.index("*filter") :]
    assert network.removal_script(others) == ""


def test_resolver_of_the_machine_alone_is_passed_over(tmp_path: Path):
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\nsearch example.org\n")
    real.write_text("# from DHCP\nnameserver 192.0.2.53\n")
    assert node.upstream_resolv_conf((stub, real)) == str(real)
    assert node.upstream_resolv_conf((stub, tmp_path / "absent")) == ""


def test_a_path_too_long_for_sockets_is_a_problem():
    assert check.short_path(Layout(Path("/root/.cache/radixloom/cluster"))) is None
    problem = check.short_path(Layout(Path("/" + "x" * 60)))
    assert problem is not None
    assert "XDG_CACHE_HOME" in problem.message


def test_packed_image_is_read_back_and_reproducible(tmp_path: Path):
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    for name in ("one.tar", "two.tar"):
        images.pack(tmp_path / name, "localhost/pause:1", {"pause": program}, entrypoint=["/p"])
    first = images.read(tmp_path / "one.tar")
    assert first == images.read(tmp_path / "two.tar")
    assert first[0].name == "localhost/pause:1"
    assert first[0].config_digest.startswith("sha256:")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path):
    (tmp_path / "x.tar").write_bytes(b"no tar at all")
    with pytest.raises(ClusterError, match="cannot be read"):
        images.read(tmp_path / "x.tar")


def test_an_index_leads_to_the_config_of_this_machines_architecture():
    wanted = {"config": {"digest": "sha256:mine"}}
    other = {"config": {"digest": "sha256:other"}}
    index = {
        "manifests": [
            {"digest": "o", "platform": {"architecture": "none"}},
            {"digest": "m", "platform": {"architecture": images.machine_arch()}},
        ]
    }
    assert images.config_digest(index, {"m": wanted, "o": other}.__getitem__) == "sha256:mine"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost/app", "localhost/app:latest"),
        ("host:5000/app", "host:5000/app:latest"),
        ("example.org/a/b@sha256:0", "example.org/a/b@sha256:0"),
    ],
)
def test_image_names_are_spelled_as_containerd_stores_them(name: str, expected: str):
    assert images.full_name(name) == expected


@pytest.mark.parametrize("name", ["busybox:1.36", "me/app:2"])
def test_an_image_name_without_a_domain_is_refused(name: str):
    with pytest.raises(ClusterError, match="tag it as localhost/"):
        images.full_name(name)
