"""What is remembered of a slice: an annotation of its StatefulSet. Pure.

`restarts.py` decides by it. It lies with the slice and not in the status, because it has to be true
before pods are deleted, and to go when the slice goes.
"""

from typing import Any

import structlog
from pydantic import Field, ValidationError

from radixloom_operator.api.model import ApiModel
from radixloom_operator.api.status_types import SliceRestart
from radixloom_operator.naming import RECORD_ANNOTATION

log = structlog.stdlib.get_logger()

MOST_RESTARTS = 21
"""Restarts that a record holds: one more than `restart.maxRestarts` can be."""


class Member(ApiModel):
    """A pod as it was when the slice formed."""

    uid: str
    restarts: int
    """Of its engine, by then."""


class SliceRecord(ApiModel):
    """What is remembered of one slice."""

    revision: str
    """What it is about: a slice of another revision starts with a clean record."""
    members: dict[str, Member] = Field(default_factory=dict)
    """By name; empty until the slice has formed."""
    doomed: tuple[str, ...] = ()
    """Uids of the pods that go in the restart under way."""
    restarts: tuple[SliceRestart, ...] = ()
    """The last ones, oldest first."""
    total: int = 0
    given_up: bool = False


def read_record(statefulset: dict[str, Any], revision: str) -> SliceRecord:
    """Return what is remembered of a slice; a clean record where that is of another revision."""
    annotations = statefulset["metadata"].get("annotations") or {}
    text = annotations.get(RECORD_ANNOTATION)
    if text is not None:
        try:
            record = SliceRecord.model_validate_json(text)
        except ValidationError as error:  # somebody's edit, or another release's
            name = statefulset["metadata"]["name"]
            log.warning("record.unreadable", statefulset=name, mistakes=error.error_count())
        else:
            if record.revision == revision:
                return record
    return SliceRecord(revision=revision)


def record_text(record: SliceRecord) -> str:
    """Write a record as the annotation has it."""
    return record.model_dump_json(by_alias=True, exclude_defaults=True)
