"""One cluster, one operator and one served model for all end-to-end tests.

The cluster is that of KUBECONFIG, or the local one, brought up for the tests if it is down. A
cluster of KUBECONFIG must have the images that `make images` names, and nodes on this machine,
whose model folder they mount. What a test needs beyond the shared service it makes in a namespace
of its own.
"""

import os
import shlex
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.space import Space, manifest
from support.waiting import wait_for

from hack.cluster.layout import Layout
from hack.demo import release, volumes
from hack.demo.kubernetes import Kubernetes, foreign_kubeconfig
from hack.demo.steps import run_module, run_tool

SHARED = "chat"
AUTOSCALING_SECONDS = 2
"""Load is measured so often, that tests of it need not wait for long."""
NAMESPACES = ("e2e-serving", "e2e-tpu", "e2e-refused", "e2e-removed")


@pytest.fixture(scope="session")
def cluster() -> Generator[Kubernetes, None, None]:
    """Return a running cluster; one that was started here is stopped again."""
    named = foreign_kubeconfig()
    if named:
        yield Kubernetes.at(named)
        return
    was_up = Layout.default().state.exists()
    run_module("hack.cluster", "up")
    yield Kubernetes.local()
    if not was_up:
        run_module("hack.cluster", "down")


@dataclass(frozen=True, slots=True)
class Installation:
    """The operator's release, which a test may take away and bring back."""

    cluster: Kubernetes
    operator_image: str
    runtime_image: str

    def install(self) -> None:
        """Install or upgrade; returns when the operator is ready.

        RADIXLOOM_E2E_HELM_ARGS are helm's arguments for the cluster at hand.
        """
        release.install(
            self.cluster,
            operator_image=self.operator_image,
            runtime_image=self.runtime_image,
            extra_values=[
                *("--set", f"operator.autoscalingSeconds={AUTOSCALING_SECONDS}"),
                *shlex.split(os.environ.get("RADIXLOOM_E2E_HELM_ARGS", "")),
            ],
        )

    def uninstall(self) -> None:
        """Remove the release; returns when its pods are gone."""
        release.uninstall(self.cluster)

    def kill_operator(self) -> None:
        """End the operator's pod at once, as a lost node would; its Deployment brings another."""
        self.cluster.kubectl(
            "delete",
            "pods",
            f"--namespace={release.NAMESPACE}",
            "--selector=app.kubernetes.io/name=radixloom-operator",
            "--grace-period=0",
            "--force",
        )


@pytest.fixture(scope="session")
def spaces(cluster: Kubernetes) -> Generator[Callable[[str], Space], None, None]:
    """Return namespaces that allow restricted pods alone, each with the model's claims."""
    for name in NAMESPACES:
        _remove_space(cluster, name)  # an interrupted run may have left it
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        cluster.apply(*volumes.manifests(name), namespace=name)
    yield lambda name: Space(cluster, name)
    for name in NAMESPACES:
        _remove_space(cluster, name)


def _remove_space(cluster: Kubernetes, name: str) -> None:
    cluster.kubectl(
        "delete", "namespace", name, "--ignore-not-found", "--timeout=120s", timeout_seconds=150
    )
    cluster.kubectl("delete", "pv", *volumes.volume_names(name), "--ignore-not-found")


@pytest.fixture(scope="session")
def installation(
    cluster: Kubernetes, spaces: Callable[[str], Space]
) -> Generator[Installation, None, None]:
    """Return the installed chart; it stays if it was there before the tests."""
    run_tool([str(Path(sys.executable).with_name("radixloom")), "fetch", "demo"])
    command = "load" if cluster.kubeconfig == Layout.default().kubeconfig else "names"
    operator_image, runtime_image = run_module("hack.images", command).split()
    installed = Installation(cluster, operator_image, runtime_image)
    was_there = cluster.get("deployment", release.OPERATOR, f"--namespace={release.NAMESPACE}")
    installed.install()
    yield installed
    if not was_there:
        _remove_services(cluster)
        installed.uninstall()
        for kind, name in (("namespace", release.NAMESPACE), ("crd", release.CRD)):
            cluster.kubectl("delete", kind, name, "--ignore-not-found", timeout_seconds=120)


def _remove_services(cluster: Kubernetes) -> None:
    for name in NAMESPACES:
        cluster.kubectl("delete", "llmservices", "--all", f"--namespace={name}", "--timeout=60s")


@pytest.fixture(scope="session")
def space(spaces: Callable[[str], Space]) -> Space:
    """Return the namespace of the shared service."""
    return spaces("e2e-serving")


@pytest.fixture(scope="session")
def served(installation: Installation, space: Space) -> str:
    """Return the name of the shared service, which is Ready with one replica."""
    said = space.apply(manifest(SHARED))
    assert "created" in said
    space.wait_ready(SHARED, timeout_seconds=600)
    wait_for(
        "the client Service has an endpoint",
        lambda: space.answer(SHARED, "Hello", max_tokens=1),
        timeout_seconds=30,
    )
    return SHARED
