"""API keys in leaders and routers: a file, and never a variable."""

from typing import Any

from support.llmservice_cases import manifest, tpu

from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import accept
from radixloom_operator.desired import Desired, desired_objects
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.router_settings import RouterSettings
from radixloom_runtime.settings import RuntimeSettings

KEYS = {"spec.apiKeys": {"secretKeyRef": {"name": "clients", "key": "keys.txt"}}}
ROUTED = {"spec.routing": {"mode": "Router"}}


def desired(change: dict[str, Any]) -> Desired:
    service = accept(manifest(change))
    assert isinstance(service, LLMService)
    return desired_objects(service, OperatorSettings())


def pods(found: Desired) -> list[dict[str, Any]]:
    owners = [one for one in found.shared if one["kind"] == "Deployment"]
    return [one["spec"]["template"]["spec"] for one in (*found.slices, *owners)]


def test_leaders_and_routers_read_the_same_file_of_the_secret(monkeypatch):
    leader, router = pods(desired({**KEYS, **ROUTED}))
    for spec, settings in ((leader, RuntimeSettings), (router, RouterSettings)):
        [container] = spec["containers"]
        with monkeypatch.context() as patch:
            for one in container["env"]:
                patch.setenv(one["name"], one["value"])
            path = settings().api_key_file
        [mount] = [one for one in container["volumeMounts"] if one["name"] == "api-keys"]
        [volume] = [one for one in spec["volumes"] if one["name"] == "api-keys"]
        [item] = volume["secret"]["items"]
        assert volume["secret"]["secretName"] == "clients"
        assert item["key"] == "keys.txt"
        assert str(path) == f"{mount['mountPath']}/{item['path']}"
        assert mount["readOnly"]
        assert "subPath" not in mount  # it would never change


def test_whoever_runs_as_the_pods_group_may_read_it_and_nobody_else():
    for spec in pods(desired({**KEYS, **ROUTED})):
        [volume] = [one for one in spec["volumes"] if one["name"] == "api-keys"]
        assert volume["secret"]["defaultMode"] == 0o440
        assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


def test_no_variable_and_no_fetching_container_has_the_secret():
    for spec in pods(desired({**KEYS, **ROUTED})):
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert "clients" not in str(container)
        for container in spec.get("initContainers", ()):
            assert "api-keys" not in str(container)


def test_every_host_of_a_slice_has_the_file():
    change = {**KEYS, **tpu("v5e", "2x4", chipsPerHost=4)}
    [spec] = pods(desired(change))
    assert "api-keys" in [volume["name"] for volume in spec["volumes"]]


def test_keys_are_a_new_revision():
    assert desired(KEYS).revision != desired({}).revision
