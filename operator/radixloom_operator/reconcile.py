"""The one sequence: read all, work out what should be, do the difference, tell the status.

    LLMService ──> typed spec ──> desired objects ─┐
                                                   ├─> actions ──> API server
    live objects ──> observed ─────────────────────┤
                                                   └─> status, events

Level-based: it never asks what happened, only what is. It may run at any time, any number of times,
and be ended at any point: the next run goes on from what it finds.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError

from radixloom_operator import status, story
from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import Problem, accept
from radixloom_operator.cluster import Cluster, Key
from radixloom_operator.desired import Desired, desired_objects
from radixloom_operator.errors import ClusterError
from radixloom_operator.execution import Work, execute
from radixloom_operator.observed import observe
from radixloom_operator.settings import OperatorSettings
from radixloom_operator.story import Chapter

log = structlog.stdlib.get_logger()

Manifest = dict[str, Any]


def reconcile(key: Key, *, cluster: Cluster, settings: OperatorSettings, now: datetime) -> bool:
    """Bring the service `key` one turn nearer to its spec; tell whether nothing was refused.

    Raises:
        ClusterError: the API server was not well or could not be reached; try again.
    """
    manifest = cluster.service(key)
    if manifest is None or manifest["metadata"].get("deletionTimestamp"):
        return True  # owner references collect the rest
    uid = manifest["metadata"]["uid"]
    before = _stored_status(key, manifest)
    observed = observe(cluster.world(key), owner_uid=uid)
    service = accept(manifest)
    if isinstance(service, Problem):
        work = Work(str(key))
        after = status.refused_status(
            service,
            manifest["metadata"].get("generation", 0),
            observed,
            before,
            now=_timestamp(now),
        )
    else:
        desired = desired_objects(service, settings)
        work = execute(desired, observed, before, cluster=cluster)
        if work.has_acted:  # a slice just replaced must not be told as serving
            observed = observe(cluster.world(key), owner_uid=uid)
        facts = _facts(service, desired, work.failure)
        after = status.accepted_status(facts, observed, before, now=_timestamp(now))
    _tell(key, manifest, before, after, work, cluster=cluster, now=now)
    return work.failure is None


def _facts(service: LLMService, desired: Desired, failure: Problem | None) -> status.Facts:
    return status.Facts(
        name=service.name,
        generation=service.generation,
        replicas=service.spec.replicas,
        revision=desired.revision,
        is_paused=service.spec.paused,
        model_name=desired.model_name,
        url=desired.url,
        hardware=desired.hardware,
        failure=failure,
    )


def _stored_status(key: Key, manifest: Manifest) -> LLMServiceStatus:
    """Return the status written last; one of another version of the operator counts as none."""
    try:
        return LLMServiceStatus.model_validate(manifest.get("status") or {})
    except ValidationError as error:
        log.warning("status.unreadable", service=str(key), mistakes=error.error_count())
        return LLMServiceStatus.model_validate({})


def _tell(
    key: Key,
    manifest: Manifest,
    before: LLMServiceStatus,
    after: LLMServiceStatus,
    work: Work,
    *,
    cluster: Cluster,
    now: datetime,
) -> None:
    """Write the status where it changed, and the events of this turn in the order of the story."""
    chapters = [*story.acceptance(before, after), *work.chapters]
    try:
        if after != before:
            uid = manifest["metadata"]["uid"]
            cluster.apply_status(key, uid, status.to_manifest(after))
            chapters += story.transitions(before, after)
    finally:
        _post_events(key, manifest, chapters, cluster=cluster, now=now)


def _post_events(
    key: Key,
    manifest: Manifest,
    chapters: Sequence[Chapter],
    *,
    cluster: Cluster,
    now: datetime,
) -> None:
    for number, chapter in enumerate(chapters):
        log.info("service.event", service=str(key), reason=chapter.reason, message=chapter.message)
        # names that sort in the order of the story, since times have whole seconds
        unique = f"{int(now.timestamp() * 1e6):x}{number:02x}"
        event = story.event_manifest(chapter, manifest, now=_timestamp(now), unique=unique)
        try:
            cluster.create_once(event)
        except ClusterError as error:  # a lost event changes nothing
            log.warning("event.lost", service=str(key), error=str(error))


def _timestamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
