"""What is remembered of a slice, as an annotation has it."""

import pytest
from support.kubernetes_objects import statefulset

from radixloom_operator.api.status_types import SliceRestart
from radixloom_operator.naming import RECORD_ANNOTATION
from radixloom_operator.records import Member, SliceRecord, read_record, record_text

RECORD = SliceRecord(
    revision="new",
    members={"chat-s0-0": Member(uid="u", restarts=2)},
    doomed=("u",),
    restarts=(SliceRestart(time="2026-01-01T00:00:00Z", reason="PodLost", pod="chat-s0-0"),),
    total=1,
)


def annotated(text: str, revision: str = "new") -> dict:
    return statefulset(0, revision=revision, annotations={RECORD_ANNOTATION: text})


def test_what_is_written_is_read_again():
    assert read_record(annotated(record_text(RECORD)), "new") == RECORD


def test_a_slice_of_another_revision_starts_with_a_clean_record():
    assert read_record(annotated(record_text(RECORD)), "newer") == SliceRecord(revision="newer")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"revision": 5}', '{"members": {}}'])
def test_what_cannot_be_read_is_a_clean_record(text):
    assert read_record(annotated(text), "new") == SliceRecord(revision="new")


def test_a_slice_without_a_record_has_a_clean_one():
    assert read_record(statefulset(0), "new") == SliceRecord(revision="new")
