"""One namespace of a cluster, seen as the end-to-end tests need it: services, pods, answers."""

import copy
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from openai import OpenAI
from support.waiting import wait_for

from hack.cluster.errors import ClusterError
from hack.demo import question, volumes, watch
from hack.demo.kubernetes import Kubernetes

SERVICE_LABEL = "serving.radixloom.dev/service"
OWNED_KINDS = (
    "statefulsets",
    "deployments",
    "controllerrevisions",
    "pods",
    "services",
    "endpointslices",
    "poddisruptionbudgets",
    "networkpolicies",
    "serviceaccounts",
    "secrets",
)
MODEL_URI = f"pvc://{volumes.MODELS_CLAIM}/smollm2-135m-instruct"
# Shorter than the defaults, long enough for the nodes to hear that a pod is going.
_QUICK_DRAIN = {"preStopSeconds": 4, "gracePeriodSeconds": 20}


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    """Return an LLMService of the demo model on CPU, with fields of its spec replaced."""
    return {
        "apiVersion": "serving.radixloom.dev/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": MODEL_URI, "name": "smollm2"},
            "tpu": {"generation": "cpu"},
            "compileCache": {"mode": "PVC", "claimName": volumes.COMPILE_CLAIM},
            "drain": _QUICK_DRAIN,
            **copy.deepcopy(spec),
        },
    }


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace of a cluster."""

    cluster: Kubernetes
    namespace: str

    def kubectl(self, *argv: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Run kubectl in this namespace."""
        in_space = f"--namespace={self.namespace}"
        return self.cluster.kubectl(in_space, *argv, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, service: dict[str, Any]) -> str:
        """`kubectl apply` one manifest and return what kubectl says."""
        return self.kubectl("apply", "--filename=-", stdin=json.dumps(service))

    def refusal(self, service: dict[str, Any]) -> str:
        """Return what `kubectl apply` says of a manifest that must be refused."""
        try:
            said = self.apply(service)
        except ClusterError as error:
            return str(error)
        raise AssertionError(f"accepted, though it should be refused: {said}")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        return self.cluster.get(kind, name, f"--namespace={self.namespace}")

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        """Merge `change` into an object, as a person would by hand."""
        self.kubectl("patch", kind, name, "--type=merge", "--patch", json.dumps(change))

    def pods(self, service: str) -> list[dict[str, Any]]:
        """Return the pods of a service that are not about to go, by name."""
        found = self._labelled("pods", service)
        living = (pod for pod in found if "deletionTimestamp" not in pod["metadata"])
        return sorted(living, key=lambda pod: pod["metadata"]["name"])

    def owned(self, service: str) -> list[str]:
        """Return `Kind/name` of everything that belongs to a service."""
        return [
            f"{one['kind']}/{one['metadata']['name']}"
            for one in self._labelled(",".join(OWNED_KINDS), service)
        ]

    def _labelled(self, kinds: str, service: str) -> list[dict[str, Any]]:
        selector = f"--selector={SERVICE_LABEL}={service}"
        listed = self.cluster.get(kinds, selector, f"--namespace={self.namespace}")
        return listed["items"] if listed else []

    def status(self, service: str) -> dict[str, Any]:
        """Return the status of a service, empty before the first."""
        found = self.get("llmservice", service)
        return found.get("status", {}) if found else {}

    def condition(self, service: str, kind: str) -> dict[str, Any]:
        """Return one condition of a service, empty before the first."""
        conditions = self.status(service).get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_ready(self, service: str, *, timeout_seconds: float = 300) -> None:
        """Wait until a service is Ready for its present spec."""
        watch.wait_ready(
            self.cluster, service, self.namespace, timeout_seconds=timeout_seconds, tell=print
        )

    def wait_until(
        self, what: str, look: Callable[[], Any], service: str, *, timeout_seconds: float = 120
    ) -> Any:
        """Wait for `look` to find something; on failure tell the story of `service`."""
        return wait_for(
            what,
            look,
            timeout_seconds=timeout_seconds,
            story=lambda: watch.story(self.cluster, service, self.namespace),
        )

    @contextmanager
    def client(self, service: str) -> Generator[OpenAI, None, None]:
        """Yield an OpenAI client of a service's client Service; a failure is not tried again."""
        with (
            question.service_url(self.cluster, service, self.namespace) as base_url,
            OpenAI(base_url=base_url, api_key="unused", timeout=60, max_retries=0) as client,
        ):
            yield client

    def answer(self, service: str, text: str, *, max_tokens: int = 8) -> str:
        """Return the greedy answer to one question."""
        with self.client(service) as client:
            completion = client.chat.completions.create(
                model="smollm2",
                messages=[{"role": "user", "content": text}],
                temperature=0,
                max_tokens=max_tokens,
            )
        return completion.choices[0].message.content or ""
