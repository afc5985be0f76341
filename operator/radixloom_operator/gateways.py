"""What is known of a service's InferencePool: whether it exists, and what Gateways say. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

from radixloom_operator.naming import POOL_API_VERSION, POOL_KIND, ROUTE_API_VERSION, ROUTE_KIND
from radixloom_operator.observed import Observed

MISSING = "CustomResourceMissing"
NOT_APPLIED = "NotApplied"
NO_GATEWAY = "NoGateway"
NOT_ACCEPTED = "NotAccepted"
ACCEPTED = "Accepted"
NOT_REMOVED = "NotRemoved"

_ACCEPTED = "Accepted"
_NEEDED = (_ACCEPTED, "ResolvedRefs")
"""Conditions of a pool that must hold; another, such as Exported, may be False and all is well."""
_APIS = {POOL_KIND: POOL_API_VERSION, ROUTE_KIND: ROUTE_API_VERSION}


@dataclass(frozen=True, slots=True)
class PoolState:
    """Whether Gateways send requests to the pool, and why not."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str

    @property
    def is_settled(self) -> bool:
        """Whether nothing but a change of the spec is waited for."""
        return self.status == "True"


def pool_state(name: str, kinds: frozenset[str], observed: Observed) -> PoolState:
    """Tell the state of the pool `name`, for which objects of `kinds` are wanted."""
    missing = sorted(kinds & observed.missing_kinds)
    if missing:
        what = " and ".join(f"{_APIS[kind]} {kind}" for kind in missing)
        return PoolState(
            "False",
            MISSING,
            f"the API server serves no {what}: install the CustomResourceDefinitions of the Gateway"
            " API and its Inference Extension; clients reach leaders through the Service meanwhile",
        )
    pool = observed.shared.get((POOL_KIND, name))
    if pool is None:
        return PoolState("False", NOT_APPLIED, f"InferencePool {name} is not there yet")
    return _as_gateways_say(name, pool)


def left_behind(observed: Observed) -> PoolState | None:
    """Tell of objects that are wanted no more and could not be removed; None without any.

    The status has to go on naming the pool: by that the next turn knows to look for them.
    """
    names = [f"{kind} {name}" for kind, name in sorted(observed.shared) if kind in _APIS]
    if not names:
        return None
    message = f"{' and '.join(names)}: wanted no more, and not removed yet"
    return PoolState("False", NOT_REMOVED, message)


def _as_gateways_say(name: str, pool: dict[str, Any]) -> PoolState:
    parents = (pool.get("status") or {}).get("parents") or []
    for parent in parents:
        for condition in parent.get("conditions") or []:
            if condition.get("type") in _NEEDED and condition.get("status") == "False":
                message = f"{_called(parent)}: {condition['type']} {condition.get('message', '')}"
                return PoolState("False", NOT_ACCEPTED, message.strip())
    takers = [_called(parent) for parent in parents if _accepts(parent)]
    if takers:
        return PoolState("True", ACCEPTED, f"accepted by {', '.join(takers)}")
    return PoolState(
        "Unknown",
        NO_GATEWAY,
        f"no Gateway says yet that it has taken InferencePool {name} up; an HTTPRoute has to name"
        " it (routing.inferencePool.gateways, or one of your own)",
    )


def _accepts(parent: dict[str, Any]) -> bool:
    told = {one.get("type"): one.get("status") for one in parent.get("conditions") or []}
    return told.get(_ACCEPTED) == "True"


def _called(parent: dict[str, Any]) -> str:
    reference = parent.get("parentRef") or {}
    return f"{reference.get('kind', 'Gateway')} {reference.get('name', '')}"
