"""Which pods a spec stands for, remembered: the history of a service. Pure.

    spec ──the fields that make pods──> inputs ──in the history?──> its revision, as it was rendered
                                                 └──not yet──> rendered now, and written down

A revision is written down as a ControllerRevision: the pod template of slice 0, and the fields it
was rendered from. So an operator that renders differently, or comes with another runtime image,
restarts nothing: what a spec stood for when it was first seen it stands for until it changes. And
what served once can be served again, exactly.
"""

from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ValidationError

from radixloom_operator.api.hardware import slice_of
from radixloom_operator.api.types import LLMService, LLMServiceSpec
from radixloom_operator.api.validation import Problem
from radixloom_operator.desired.manifest import Manifest, digest, manifest
from radixloom_operator.desired.pod import pod_template
from radixloom_operator.naming import COMPONENT_LABEL, REVISION_COMPONENT, REVISION_LABEL
from radixloom_operator.settings import OperatorSettings

log = structlog.stdlib.get_logger()

UNVERSIONED_FIELDS = frozenset(
    {"replicas", "autoscaling", "paused", "restart", "rollout", "network", "routing"}
)
"""Fields that say how many slices there are, how they change, who reaches them and how; all others
may make a slice's pod."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What every slice of a service should be made of."""

    name: str
    """Digest of the pod template: what slices and pods carry as a label."""
    number: int
    """Counts up from 1, oldest first."""
    spec: dict[str, Any]
    """The fields that it was rendered from, as far as they are no defaults."""
    template: dict[str, Any]
    """The pod template of slice 0."""

    def service(self, service: LLMService) -> LLMService:
        """Return the service as it was in this revision; how many slices it has is of today."""
        unversioned = service.spec.model_dump(
            mode="json", by_alias=True, exclude_none=True, include=set(UNVERSIONED_FIELDS)
        )
        spec = LLMServiceSpec.model_validate({**self.spec, **unversioned})
        return service.model_copy(update={"spec": spec})


def inputs(service: LLMService) -> dict[str, Any]:
    """Return what makes the service's pods. Defaults are left out: a new field changes nothing."""
    return service.spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude=set(UNVERSIONED_FIELDS)
    )


def pin_problem(service: LLMService, history: tuple[Revision, ...]) -> Problem | None:
    """Say what is wrong with `spec.rollout.revision`; None when it is remembered, or not set."""
    pin = service.spec.rollout.revision
    names = [known.name for known in history]
    if pin is None or pin in names:
        return None
    return Problem(
        "RevisionNotFound",
        f"spec.rollout.revision: {pin!r} is not remembered; take one of"
        f" {', '.join(names) or 'none'}, or unset it",
    )


def revision_of(
    service: LLMService, settings: OperatorSettings, history: tuple[Revision, ...]
) -> Revision:
    """Return the revision that the spec stands for, from the history or else rendered now.

    One that `spec.rollout.revision` names has to be there: see `pin_problem`.
    """
    pin = service.spec.rollout.revision
    if pin is not None:
        return next(known for known in history if known.name == pin)
    wanted = inputs(service)
    for known in reversed(history):
        if known.spec == wanted:
            return known
    template = pod_template(service, slice_of(service.spec.tpu), 0, settings)
    name = digest(template)
    for known in history:
        if known.name == name:  # the spec changed in what makes no pod
            return replace(known, spec=wanted)
    number = max((known.number for known in history), default=0) + 1
    return Revision(name, number, wanted, template)


def controller_revision(service: LLMService, revision: Revision) -> Manifest:
    """Return the object in which a revision is written down."""
    document = manifest(
        "apps/v1",
        "ControllerRevision",
        service,
        f"{service.name}-{revision.name}",
        revision=revision.number,
        data={"spec": revision.spec, "template": revision.template},
    )
    document["metadata"]["labels"] |= {
        COMPONENT_LABEL: REVISION_COMPONENT,
        REVISION_LABEL: revision.name,
    }
    return document


def read_history(manifests: tuple[Manifest, ...]) -> tuple[Revision, ...]:
    """Read the revisions that were written down, oldest first; what is unreadable is left out."""
    found = [revision for one in manifests if (revision := _read(one)) is not None]
    return tuple(sorted(found, key=lambda revision: revision.number))


def _read(document: Manifest) -> Revision | None:
    data = document.get("data") or {}
    try:
        revision = Revision(
            document["metadata"]["labels"][REVISION_LABEL],
            document["revision"],
            data["spec"],
            data["template"],
        )
        LLMServiceSpec.model_validate(revision.spec)
    except (KeyError, ValidationError) as error:  # another release's, or somebody's own
        log.warning("revision.unreadable", name=document["metadata"]["name"], error=str(error))
        return None
    return revision


def surplus(
    history: tuple[Revision, ...], in_use: frozenset[str], *, limit: int
) -> tuple[Revision, ...]:
    """List what may be forgotten: all but the last `limit` of those that nothing uses."""
    unused = [revision for revision in history if revision.name not in in_use]
    return tuple(unused[: max(0, len(unused) - limit)])
