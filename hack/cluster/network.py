"""Addresses, bridges, packet rules and kernel settings that the cluster needs or leaves."""

import json
import re
import socket
from pathlib import Path

from hack.cluster.layout import API_ADDRESS, BRIDGE_PREFIX, MAX_NODES, POD_CIDR, Layout, Node
from hack.cluster.shell import run, succeeds

_OUR_CHAINS = ("KUBE-", "CNI-", "RADIXLOOM-")
_IPTABLES = ("iptables", "ip6tables")

# Ours, and those that the kubelet and kube-proxy set for themselves: `down` puts all back.
_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_WANTED = {
    "net/ipv4/ip_forward": "1",
    # Else a pod that reaches itself or its neighbour through a Service gets no answer.
    "net/bridge/bridge-nf-call-iptables": "1",
}

# Pods reach the world as the machine does; a machine with Docker drops forwarded packets.
_RULES = f"""\
*nat
:RADIXLOOM-POSTROUTING - [0:0]
-A POSTROUTING -s {POD_CIDR} -j RADIXLOOM-POSTROUTING
-A RADIXLOOM-POSTROUTING -d {POD_CIDR} -j RETURN
-A RADIXLOOM-POSTROUTING -d 224.0.0.0/4 -j RETURN
-A RADIXLOOM-POSTROUTING -j MASQUERADE
COMMIT
*filter
:RADIXLOOM-FORWARD - [0:0]
-I FORWARD -j RADIXLOOM-FORWARD
-A RADIXLOOM-FORWARD -s {POD_CIDR} -j ACCEPT
-A RADIXLOOM-FORWARD -d {POD_CIDR} -j ACCEPT
COMMIT
"""


def prepare(layout: Layout, nodes: tuple[Node, ...]) -> None:
    """Add the addresses and rules, and remember the kernel settings that will change."""
    _remember_settings(layout)
    for name, value in _WANTED.items():
        setting = _setting(name)
        if setting.exists():
            setting.write_text(value)
    for address in (API_ADDRESS, *(node.address for node in nodes)):
        # No dummy links on minimal kernels; the loopback takes any address.
        run(["ip", "address", "replace", f"{address}/32", "dev", "lo"])
    run(["iptables-restore", "--noflush", "--wait", "5"], stdin=_RULES)


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _remembered(layout: Layout) -> Path:
    return layout.run / "kernel-settings.json"


def _remember_settings(layout: Layout) -> None:
    values = {
        name: _setting(name).read_text().strip() for name in _SETTINGS if _setting(name).exists()
    }
    _remembered(layout).write_text(json.dumps(values))


def restore_settings(layout: Layout) -> None:
    """Put the kernel settings back to what they were before `up`."""
    if _remembered(layout).exists():
        for name, value in json.loads(_remembered(layout).read_text()).items():
            if _setting(name).read_text().strip() != value:
                _setting(name).write_text(value)


def remove_links() -> None:
    """Remove our bridges and addresses; pods' links go with their namespaces."""
    bridges = {f"{BRIDGE_PREFIX}{index}" for index in range(MAX_NODES)}
    for _, link in socket.if_nameindex():
        if link in bridges:
            run(["ip", "link", "delete", link])
    present = run(["ip", "-4", "-oneline", "address", "show", "dev", "lo"])
    candidates = [API_ADDRESS, *(Node(index, Path()).address for index in range(MAX_NODES))]
    for address in candidates:
        if f" {address}/32 " in present:
            run(["ip", "address", "delete", f"{address}/32", "dev", "lo"])


def remove_rules() -> None:
    """Remove every chain of Kubernetes, of the CNI plugins and of our own."""
    for program in _IPTABLES:
        if succeeds([f"{program}-save", "--version"]):
            script = removal_script(run([f"{program}-save"]))
            if script:
                run([f"{program}-restore", "--noflush", "--wait", "5"], stdin=script)


def removal_script(saved: str) -> str:
    """Turn the output of iptables-save into input for iptables-restore that removes ours.

    In each table: delete rules of other chains that jump to ours, empty our chains
    (declaring a chain does), then delete them. Empty when there is nothing to remove.
    """
    script: list[str] = []
    for table, body in re.findall(r"^\*(\w+)\n(.*?)^COMMIT", saved, flags=re.MULTILINE | re.DOTALL):
        lines = body.splitlines()
        chains = [
            line[1:].split()[0] for line in lines if line.startswith(":") and _is_ours(line[1:])
        ]
        jumps = [line for line in lines if _jumps_to_ours(line)]
        if chains or jumps:
            script += [
                f"*{table}",
                *(f":{chain} - [0:0]" for chain in chains),
                *(f"-D{line[2:]}" for line in jumps),
                *(f"-X {chain}" for chain in chains),
                "COMMIT",
            ]
    return "\n".join([*script, ""]) if script else ""


def _is_ours(chain: str) -> bool:
    return chain.startswith(_OUR_CHAINS)


def _jumps_to_ours(line: str) -> bool:
    rule = re.match(r"-A (\S+) .*?-[jg] (\S+)", line)
    return bool(rule) and not _is_ours(rule[1]) and _is_ours(rule[2])
