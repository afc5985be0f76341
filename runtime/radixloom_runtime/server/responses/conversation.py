"""A conversation that goes on from a stored response, and is stored with the next one."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from pydantic import ValidationError

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.responses.items import ITEMS, AnyItem
from radixloom_runtime.server.responses.replies import Item, Response
from radixloom_runtime.server.responses.schema import ResponseRequest
from radixloom_runtime.server.responses.store import ResponseNotFoundError, ResponseStore, Stored


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said up to the answer, and where to keep it."""

    store: ResponseStore
    owner: str
    items: Sequence[AnyItem]
    items_bytes: int
    is_kept: bool

    def keep(self, response: Response) -> None:
        """Store a response with all that led to it, if that was asked for."""
        if self.is_kept:
            output = as_input(response.output)
            stored = Stored(
                owner=self.owner,
                told=msgspec.json.encode(response),
                items=[*self.items, *output],
                items_bytes=self.items_bytes + _num_bytes(output),
            )
            self.store.put(response.id, stored)


def begin(wanted: ResponseRequest, store: ResponseStore, *, owner: str) -> Conversation:
    """Put what is new behind what was said before. Raises: `RequestError` if that is not there."""
    before: Sequence[AnyItem] = ()
    before_bytes = 0
    if wanted.previous_response_id is not None:
        stored = _previous(wanted.previous_response_id, store, owner=owner)
        before, before_bytes = stored.items, stored.items_bytes
    return Conversation(
        store=store,
        owner=owner,
        items=[*before, *wanted.input],
        items_bytes=before_bytes + _num_bytes(wanted.input),
        is_kept=wanted.store is not False,
    )


def as_input(output: Sequence[Item]) -> list[AnyItem]:
    """Return items of an answer as a client would send them back.

    A call that is none, since it was cut off or its arguments are no JSON, cannot be: nobody can
    have answered it.
    """
    found: list[AnyItem] = []
    for item in output:
        with contextlib.suppress(ValidationError):
            found += ITEMS.validate_python([msgspec.to_builtins(item)])
    return found


def _previous(response_id: str, store: ResponseStore, *, owner: str) -> Stored:
    try:
        return store.get(response_id, owner=owner)
    except ResponseNotFoundError as error:
        raise RequestError(
            str(error), param="previous_response_id", code="previous_response_not_found"
        ) from error


def _num_bytes(items: Sequence[AnyItem]) -> int:
    return sum(len(item.model_dump_json()) for item in items)
