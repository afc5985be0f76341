"""One lease, many candidates, one leader at a time: what to do, given what is seen. Pure.

The lease is a Lease object of coordination.k8s.io/v1, in the form that Kubernetes' own components
use. Clocks of two machines are never compared: a candidate counts on its own clock for how long the
record has stayed the same.

    the leader      renewed ──────── fence ──────┐              no write from here on
                    0 s              7 s         │
    a candidate                                  └── 10 s ── takes over, up to 2 s later

The fence falls before anybody may take over, and counts from when the renewal was *sent*.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Manifest = dict[str, Any]

API_VERSION = "coordination.k8s.io/v1"
_MICROTIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a lease lasts, and what follows of it."""

    lease_seconds: int

    @property
    def fence_seconds(self) -> float:
        """For how long after a renewal its holder may write."""
        return self.lease_seconds * 0.7

    @property
    def retry_seconds(self) -> float:
        """How often a candidate looks, and the leader renews."""
        return self.lease_seconds / 5


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lease's record, and since when, on our clock, it has been like that."""

    holder: str
    renewed: str
    since_seconds: float


def sighting(lease: Manifest, before: Sighting | None, *, now_seconds: float) -> Sighting:
    """Look at a lease again; a record that did not change keeps its age."""
    spec = lease.get("spec") or {}
    holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return before
    return Sighting(holder, renewed, now_seconds)


def may_take(seen: Sighting, lease: Manifest, *, identity: str, now_seconds: float) -> bool:
    """Tell whether the lease is ours, nobody's, or its holder's time is over.

    The time is the record's own: the holder may be configured otherwise than we are.
    """
    if seen.holder in ("", identity):
        return True
    lasts = (lease.get("spec") or {}).get("leaseDurationSeconds") or 0
    return now_seconds - seen.since_seconds >= lasts


def new_lease(namespace: str, name: str, *, identity: str, pace: Pace, now: datetime) -> Manifest:
    """Return the record of a lease that did not exist."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "holderIdentity": identity,
            "leaseDurationSeconds": pace.lease_seconds,
            "acquireTime": _microtime(now),
            "renewTime": _microtime(now),
            "leaseTransitions": 0,
        },
    }


def held(lease: Manifest, *, identity: str, pace: Pace, now: datetime) -> Manifest:
    """Return the record with `identity` as its holder, renewed now.

    It keeps its resourceVersion, so that of two candidates one is refused.
    """
    spec: Manifest = {**(lease.get("spec") or {})}
    if spec.get("holderIdentity") != identity:
        spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        spec["acquireTime"] = _microtime(now)
    spec |= {
        "holderIdentity": identity,
        "leaseDurationSeconds": pace.lease_seconds,
        "renewTime": _microtime(now),
    }
    return {**lease, "spec": spec}


def released(lease: Manifest, *, now: datetime) -> Manifest:
    """Return the record of a lease that nobody holds, so that no candidate has to wait."""
    spec = {**(lease.get("spec") or {}), "holderIdentity": "", "renewTime": _microtime(now)}
    return {**lease, "spec": spec}


def _microtime(now: datetime) -> str:
    return now.astimezone(UTC).strftime(_MICROTIME)
