"""Adapters: fetched, mounted, and told to the engine."""

from typing import Any

import pytest
from support.llmservice_cases import manifest

from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import accept
from radixloom_operator.desired import Desired, desired_objects
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.settings import RuntimeSettings

HUB, BUCKET = ("sql", "hf://acme/sql@v2"), ("tone", "gs://adapters/tone")
CLAIM, SAME_CLAIM = ("legal", "pvc://adapters/legal"), ("medical", "pvc://adapters/medical/v3")
IMAGE = ("code", "oci://registry.example.com/adapters/code:1")
IN_PLACE = {"uri": "pvc://weights/tiny"}
FETCHED = {"uri": "hf://acme/tiny"}
CACHED = {**FETCHED, "cache": {"mode": "PVC", "claimName": "adapters"}}


def desired(model: dict[str, Any], *adapters: tuple[str, str]) -> Desired:
    told = [{"name": name, "source": source} for name, source in adapters]
    service = accept(manifest({"spec.model": {**model, "adapters": told}}))
    assert isinstance(service, LLMService)
    return desired_objects(service, OperatorSettings())


def pod_spec(model: dict[str, Any], *adapters: tuple[str, str]) -> dict[str, Any]:
    return desired(model, *adapters).slices[0]["spec"]["template"]["spec"]


def folders(spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return where the engine, reading its environment, will look for each adapter."""
    with monkeypatch.context() as patch:
        for one in spec["containers"][0]["env"]:
            patch.setenv(one["name"], one["value"])
        return {name: str(folder) for name, folder in RuntimeSettings().adapters.items()}


@pytest.mark.parametrize("model", [IN_PLACE, FETCHED, CACHED], ids=["claim", "hub", "cached"])
def test_the_engine_finds_every_adapter_in_a_volume_that_it_only_reads(model, monkeypatch):
    spec = pod_spec(model, HUB, BUCKET, CLAIM, SAME_CLAIM, IMAGE)
    mounts = spec["containers"][0]["volumeMounts"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    found = folders(spec, monkeypatch)
    assert list(found) == ["sql", "tone", "legal", "medical", "code"]
    for folder in found.values():
        [mount] = [one for one in mounts if f"{folder}/".startswith(f"{one['mountPath']}/")]
        assert mount["readOnly"]
        assert mount["name"] in volumes
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)


@pytest.mark.parametrize(
    ("model", "containers"),
    [
        (IN_PLACE, ["fetch-sql", "fetch-tone"]),
        (FETCHED, ["fetch", "fetch-sql", "fetch-tone"]),
    ],
)
def test_what_is_fetched_goes_where_the_engine_looks(model, containers, monkeypatch):
    spec = pod_spec(model, HUB, CLAIM, BUCKET, IMAGE)
    found = folders(spec, monkeypatch)
    fetching = {one["name"]: one for one in spec["initContainers"]}
    assert list(fetching) == containers
    for name, source in (HUB, BUCKET):
        container = fetching[f"fetch-{name}"]
        assert container["args"] == ["fetch", source, "--output", found[name]]
        [mount, _scratch] = container["volumeMounts"]
        assert found[name].startswith(f"{mount['mountPath']}/")
        assert not mount.get("readOnly")


@pytest.mark.parametrize(
    ("model", "claims"), [(IN_PLACE, ["weights", "adapters"]), (CACHED, ["adapters"])]
)
def test_no_pod_has_a_claim_twice(model, claims):
    spec = pod_spec(model, CLAIM, SAME_CLAIM)
    sources = [volume.get("persistentVolumeClaim") for volume in spec["volumes"]]
    assert [source["claimName"] for source in sources if source] == claims


def test_an_adapter_in_the_models_claim_needs_no_other_volume(monkeypatch):
    spec = pod_spec(IN_PLACE, ("own", "pvc://weights/own"))
    assert folders(spec, monkeypatch) == {"own": "/models/own"}
    assert spec["volumes"] == pod_spec(IN_PLACE)["volumes"]


def test_the_token_goes_to_what_is_of_the_hub_alone():
    model = {"uri": "gs://models/tiny", "tokenSecretRef": {"name": "hub"}}
    fetching = pod_spec(model, HUB, BUCKET)["initContainers"]
    with_token = [one["name"] for one in fetching if "HF_TOKEN" in str(one["env"])]
    assert with_token == ["fetch-sql"]


def test_a_change_of_adapters_is_a_new_revision():
    names = [
        desired(FETCHED, *some).revision.name for some in ((), (HUB,), (HUB, BUCKET), (BUCKET,))
    ]
    assert len(set(names)) == 4
