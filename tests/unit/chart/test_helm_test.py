"""`helm test`: a pod that asks the operators for their health, by a Service of its own."""

import os
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
from support.small_leader import SmallLeader


def one_of(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return what is made for the length of the test alone."""
    [found] = [
        one
        for one in manifests
        if one["kind"] == kind and one["metadata"].get("annotations", {}).get("helm.sh/hook")
    ]
    return found


def asked(pod: dict[str, Any], url: str) -> "subprocess.CompletedProcess[str]":
    """Run what the pod runs, against another address."""
    [container] = pod["spec"]["containers"]
    assert container["command"] == ["python", "-c"]
    environment = os.environ | {container["env"][0]["name"]: url}
    command = [sys.executable, "-c", *container["args"]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_both_are_valid_for_kubernetes_and_gone_after_a_test_that_passed(render):
    for kind in ("Service", "Pod"):
        found = one_of(render(), kind)
        kubernetes_validate.validate(found, "1.34", strict=True)
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        policies = annotations["helm.sh/hook-delete-policy"].split(",")
        assert policies == ["before-hook-creation", "hook-succeeded"]


def test_the_service_is_there_first_and_leads_to_the_operators_alone(render):
    manifests = render()
    service, pod = one_of(manifests, "Service"), one_of(manifests, "Pod")
    [deployment] = [one for one in manifests if one["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    assert int(service["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
    selector = service["spec"]["selector"].items()
    assert selector <= template["metadata"]["labels"].items()
    assert not selector <= pod["metadata"]["labels"].items()
    [port] = service["spec"]["ports"]
    ports = template["spec"]["containers"][0]["ports"]
    assert port["targetPort"] in [one["name"] for one in ports]
    [url] = pod["spec"]["containers"][0]["env"]
    assert url["value"] == f"http://{service['metadata']['name']}:{port['port']}/healthz"
    assert service["metadata"]["name"] != pod["metadata"]["name"], "a pod's name leads to itself"


def test_the_pod_is_of_the_runtimes_image_and_keeps_the_restricted_standard(render):
    spec = one_of(render("runtime.image.repository=registry/runtime"), "Pod")["spec"]
    [container] = spec["containers"]
    assert container["image"].startswith("registry/runtime:")
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(("is_well", "code"), [(True, 0), (False, 1)])
def test_it_passes_when_the_answer_is_good_and_not_otherwise(render, is_well, code):
    with SmallLeader(readyz={"status": "ok"} if is_well else None) as operator:
        done = asked(one_of(render(), "Pod"), f"{operator.url}/readyz")
    assert done.returncode == code
    assert ("200" if is_well else "503") in done.stdout + done.stderr
