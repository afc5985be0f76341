"""Which revision an undo goes back to. Pure."""

from collections.abc import Sequence
from typing import Any

from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.errors import OperatorError
from radixloom_operator.naming import REVISION_LABEL


class UndoError(OperatorError):
    """There is nothing to go back to; the message says what there is."""


def target(
    status: LLMServiceStatus, controller_revisions: Sequence[dict[str, Any]], wanted: str | None
) -> str:
    """Name the revision to serve again: `wanted`, or the one before the present one.

    A change that is under way goes back to what every slice ran before it.

    Raises:
        UndoError: it is not remembered, or there is none before.
    """
    oldest_first = sorted(controller_revisions, key=lambda one: one["revision"])
    names = [one["metadata"]["labels"][REVISION_LABEL] for one in oldest_first]
    known = ", ".join(names) or "none"
    if wanted is not None:
        if wanted not in names:
            raise UndoError(f"revision {wanted!r} is not remembered; there are: {known}")
        return wanted
    present = status.update_revision
    if status.current_revision in names and status.current_revision != present:
        return status.current_revision
    others = [name for name in names if name != present]
    if not others:
        raise UndoError(f"nothing is remembered but the present revision; there are: {known}")
    return others[-1]
