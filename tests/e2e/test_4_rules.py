"""Every sound LLMService is taken by the real API server, and every other refused as it should be.

Asked of a control plane without nodes that is there for this alone, by dry runs.
"""

import json
from collections.abc import Callable, Iterator

import pytest
import yaml
from kubernetes import client, config
from support.llmservice_cases import SOUND, Case, manifest
from support.refused_llmservices import REFUSED
from support.waiting import wait_for

from hack.cluster.bare import bare_cluster
from hack.cluster.layout import Layout
from radixloom_operator.api.schema import crd_yaml

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KIND = ("serving.radixloom.dev", "v1alpha1", "default", "llmservices")


@pytest.fixture(scope="module")
def refusal() -> Iterator[Callable[[Case], str]]:
    """Returns what the API server says against a service; empty if it takes it."""
    if not (Layout.default().binaries / "kube-apiserver").exists():
        pytest.skip("no API server to start, as with kind: `python -m hack.cluster binaries`")
    with bare_cluster(with_controllers=False) as bare:
        api = config.new_client_from_config(str(bare.kubeconfig))
        definition = yaml.safe_load(crd_yaml())
        client.ApiextensionsV1Api(api).create_custom_resource_definition(definition)
        services = client.CustomObjectsApi(api)

        def said(case: Case) -> str:
            body = manifest(case.change)
            try:
                services.create_namespaced_custom_object(
                    *KIND, body, dry_run="All", field_validation="Strict"
                )
            except client.ApiException as error:
                return json.loads(error.body)["message"]
            return ""

        wait_for("the definition is served", lambda: not said(SOUND[0]), timeout_seconds=60)
        yield said


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.title)
def test_what_is_sound_is_taken(refusal, case):
    assert refusal(case) == ""


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.title)
def test_what_is_not_is_refused_with_the_sentence_meant(refusal, case):
    assert case.refusal in refusal(case)
