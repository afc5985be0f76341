"""From an object of the API server to a typed service, or to what is wrong with it.

CEL in the CRD refuses nearly all of this at `kubectl apply`. It is checked again here because the
CRD may be older or newer than the operator, and because CEL cannot see everything. Nothing in here
raises on account of a user's object.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from radixloom_operator.api.autoscaling import LoadMetric
from radixloom_operator.api.hardware import Provisioning, slice_of
from radixloom_operator.api.location import (
    LocationError,
    adapter_location,
    model_location,
    served_name,
)
from radixloom_operator.api.model import quantity_value
from radixloom_operator.api.routing import RoutingMode
from radixloom_operator.api.sources import VolumeMode
from radixloom_operator.api.types import LLMService
from radixloom_operator.naming import MAX_NAME_LENGTH
from radixloom_runtime import capacity
from radixloom_runtime.settings import ENV_PREFIX, RuntimeSettings
from radixloom_runtime.topology import TopologyError


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason for which a spec cannot be served."""

    reason: str
    """One word, for programs: the reason of `Accepted=False`."""
    message: str
    """What was found and what to do."""


Rule = Callable[[LLMService], Problem | None]


def read(manifest: dict[str, Any]) -> LLMService | Problem:
    """Read an object of the API server into a typed service."""
    metadata = manifest.get("metadata") or {}
    try:
        return LLMService.model_validate(
            {
                "name": metadata.get("name"),
                "namespace": metadata.get("namespace") or "default",
                "uid": metadata.get("uid") or "",
                "generation": metadata.get("generation") or 0,
                "spec": manifest.get("spec"),
            }
        )
    except ValidationError as error:
        return Problem("InvalidSpec", _explain(error))


def _explain(error: ValidationError) -> str:
    """Say each mistake as `spec.tpu.topology: …`, most important first, at most five."""
    mistakes = [
        f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f"; and {len(mistakes) - 5} more" if len(mistakes) > 5 else ""
    return "; ".join(mistakes[:5]) + more


def name_leaves_room(service: LLMService) -> Problem | None:
    """Pods' host names add to the name and must stay below 63 characters."""
    if len(service.name) <= MAX_NAME_LENGTH:
        return None
    return Problem(
        "InvalidName",
        f"the name {service.name!r} has {len(service.name)} characters;"
        f" take at most {MAX_NAME_LENGTH}",
    )


def slice_exists(service: LLMService) -> Problem | None:
    """The generation has such a topology, with such hosts."""
    try:
        slice_of(service.spec.tpu)
    except TopologyError as error:
        return Problem("InvalidTopology", f"spec.tpu: {error}")
    return None


def model_is_a_place(service: LLMService) -> Problem | None:
    """The URI can be taken apart."""
    try:
        model_location(service.spec.model.uri)
    except LocationError as error:
        return Problem("InvalidModel", f"spec.{error}")
    return None


def adapters_are_places(service: LLMService) -> Problem | None:
    """Every source of an adapter can be taken apart."""
    for index, adapter in enumerate(service.spec.model.adapters):
        try:
            adapter_location(adapter.source)
        except LocationError as error:
            return Problem("InvalidModel", f"spec.model.adapters[{index}].{error}")
    return None


def adapters_have_own_names(service: LLMService) -> Problem | None:
    """Clients can tell adapters from each other and from the model."""
    model = service.spec.model
    names = [adapter.name for adapter in model.adapters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return Problem(
            "InvalidSpec",
            f"spec.model.adapters: two are named {twice!r}; give each a name of its own",
        )
    if model_is_a_place(service) is None and served_name(model) in names:
        return Problem(
            "InvalidSpec",
            f"spec.model.adapters: {served_name(model)!r} is the model's own name; give the adapter"
            " another, or set model.name",
        )
    return None


def adapters_are_named_once(service: LLMService) -> Problem | None:
    """A flag in engine.args does not replace what the spec says."""
    flags = [word.partition("=")[0] for word in service.spec.engine.args]
    if not service.spec.model.adapters or "--lora" not in flags:
        return None
    return Problem(
        "InvalidSpec",
        "spec.engine.args: --lora would replace spec.model.adapters; name all adapters in one of"
        " them",
    )


def claims_are_named(service: LLMService) -> Problem | None:
    """A cache in a claim says which."""
    caches = {"model.cache": service.spec.model.cache, "compileCache": service.spec.compile_cache}
    for path, cache in caches.items():
        if cache and cache.mode == VolumeMode.PVC and not cache.claim_name:
            return Problem(
                "InvalidSpec", f"spec.{path}: mode is PVC without a claim; set claimName"
            )
    return None


def reservation_is_named(service: LLMService) -> Problem | None:
    """A slice on reserved nodes says which."""
    tpu = service.spec.tpu
    if (tpu.provisioning is Provisioning.RESERVATION) == (tpu.reservation is not None):
        return None
    return Problem(
        "InvalidSpec",
        f"spec.tpu: provisioning {tpu.provisioning} and reservation {tpu.reservation} do not go"
        " together; set reservation for provisioning Reservation alone",
    )


def clients_are_named(service: LLMService) -> Problem | None:
    """An entry without labels would be no peer, and the API server would refuse the policy."""
    for index, client in enumerate(service.spec.network.clients):
        if client.namespace_labels is None and client.pod_labels is None:
            return Problem(
                "InvalidSpec",
                f"spec.network.clients[{index}]: give namespaceLabels, podLabels or both",
            )
    return None


def drain_has_time(service: LLMService) -> Problem | None:
    """SIGKILL comes after the pause before SIGTERM."""
    drain = service.spec.drain
    if drain.grace_period_seconds > drain.pre_stop_seconds:
        return None
    return Problem(
        "InvalidSpec",
        f"spec.drain: gracePeriodSeconds {drain.grace_period_seconds} leaves nothing after"
        f" preStopSeconds {drain.pre_stop_seconds}; set it higher",
    )


def rollout_can_go_on(service: LLMService) -> Problem | None:
    """Some slice may go, or some may be added."""
    rollout = service.spec.rollout
    if rollout.max_surge + rollout.max_unavailable > 0:
        return None
    return Problem(
        "InvalidSpec",
        "spec.rollout: maxSurge and maxUnavailable are both 0; set one of them to 1 or more",
    )


def weights_fit(service: LLMService) -> Problem | None:
    """The devices of a slice hold the weights, where the spec says how large they are."""
    size = service.spec.model.weights_size
    hardware = slice_of(service.spec.tpu)
    if size is None or hardware.accelerator is None:
        return None
    problem = capacity.shortfall(
        capacity.Demand(
            weights_bytes=math.ceil(quantity_value(size) / hardware.devices),
            kv_token_bytes=0,  # known to the engine alone, once it has read the model
            least_tokens=0,
        ),
        device_bytes=hardware.accelerator.hbm_bytes,
        memory_fraction=_memory_fraction(service),
        num_devices=hardware.devices,
    )
    return None if problem is None else Problem(capacity.REASON, f"spec.tpu: {problem}")


def _memory_fraction(service: LLMService) -> float:
    """Return what the engine will be told by a flag or else its environment, or its default."""
    default: float = RuntimeSettings.model_fields["memory_fraction"].default
    name, flag = f"{ENV_PREFIX}MEMORY_FRACTION", "--memory-fraction"
    engine = service.spec.engine
    by_env = [one.value for one in engine.env if one.name == name and one.value]
    words = " ".join(engine.args).replace(f"{flag}=", f"{flag} ").split()
    by_flag = [value for word, value in pairwise(words) if word == flag]
    given = by_env + by_flag
    try:
        fraction = float(given[-1]) if given else default
    except ValueError:
        fraction = 1.0
    return fraction if 0 < fraction <= 1 else 1.0  # the engine will refuse it, by name


def devices_are_shared_out(service: LLMService) -> Problem | None:
    """Tensor and data parallel use all devices of the slice, no more and no fewer."""
    wanted, hardware = service.spec.parallelism, slice_of(service.spec.tpu)
    if hardware.accelerator is None:
        return None
    tensor = wanted.tensor or max(1, hardware.devices // wanted.data)
    if tensor * wanted.data != hardware.devices:
        return Problem(
            "InvalidParallelism",
            f"spec.parallelism: tensor {tensor} x data {wanted.data} are {tensor * wanted.data}"
            f" devices, and a slice {hardware.summary} has {hardware.devices}; make them equal",
        )
    if tensor % wanted.expert:
        return Problem(
            "InvalidParallelism",
            f"spec.parallelism: expert {wanted.expert} does not divide tensor {tensor}",
        )
    return None


def autoscaling_has_room(service: LLMService) -> Problem | None:
    """The least is not above the most, and no cache is more than full."""
    wanted = service.spec.autoscaling
    if wanted is None:
        return None
    if wanted.min_replicas > wanted.max_replicas:
        return Problem(
            "InvalidSpec",
            f"spec.autoscaling: minReplicas {wanted.min_replicas} exceeds maxReplicas"
            f" {wanted.max_replicas}; set it lower",
        )
    if wanted.target.metric is LoadMetric.KV_CACHE and wanted.target.value > 100:
        return Problem(
            "InvalidSpec",
            f"spec.autoscaling.target: value {wanted.target.value} is no part of a KV cache in"
            " percent; set it to 100 or less",
        )
    return None


def zero_has_routers(service: LLMService) -> Problem | None:
    """Requests that find no slice have routers to wait in."""
    wanted, mode = service.spec.autoscaling, service.spec.routing.mode
    if wanted is None:
        return None
    if wanted.min_replicas > 0 and wanted.scale_to_zero_after_seconds is not None:
        return Problem(
            "InvalidSpec",
            f"spec.autoscaling: minReplicas {wanted.min_replicas} never goes to zero; leave"
            " scaleToZeroAfterSeconds out, or set minReplicas to 0",
        )
    if wanted.min_replicas > 0 or mode is RoutingMode.ROUTER:
        return None
    return Problem(
        "InvalidSpec",
        f"spec.autoscaling: minReplicas 0 with routing.mode {mode} leaves requests nowhere to wait;"
        " set routing.mode to Router, or minReplicas to 1 or more",
    )


def pool_is_described(service: LLMService) -> Problem | None:
    """A pool has its endpoint picker, and is wanted."""
    routing = service.spec.routing
    if (routing.mode is RoutingMode.INFERENCE_POOL) == (routing.inference_pool is not None):
        return None
    return Problem(
        "InvalidSpec",
        f"spec.routing: mode {routing.mode} and inferencePool do not go together; set inferencePool"
        " for mode InferencePool alone",
    )


RULES: tuple[Rule, ...] = (
    name_leaves_room,
    slice_exists,  # hosts, chips and selectors follow from it
    model_is_a_place,
    adapters_are_places,
    adapters_have_own_names,
    adapters_are_named_once,
    claims_are_named,
    reservation_is_named,
    clients_are_named,
    drain_has_time,
    rollout_can_go_on,
    autoscaling_has_room,
    pool_is_described,
    zero_has_routers,
)

RULES_OF_A_SLICE: tuple[Rule, ...] = (devices_are_shared_out, weights_fit)
"""Asked once the slice is known to exist."""


def problems(service: LLMService) -> list[Problem]:
    """List everything wrong with `service`, in the order a user should mend it."""
    found = [problem for rule in RULES if (problem := rule(service))]
    if slice_exists(service) is not None:
        return found
    return found + [problem for rule in RULES_OF_A_SLICE if (problem := rule(service))]


def accept(manifest: dict[str, Any]) -> LLMService | Problem:
    """Read an object; return a service that can be served, or all that is wrong with it."""
    service = read(manifest)
    if isinstance(service, Problem):
        return service
    found = problems(service)
    if not found:
        return service
    return Problem(found[0].reason, "; ".join(problem.message for problem in found))
