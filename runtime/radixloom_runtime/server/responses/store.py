"""Responses that can be asked for again, and gone on from.

In this process's memory: bounded in number and size, the oldest give way. A response belongs to
the API key that it was asked with.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.responses.items import AnyItem

MAX_RESPONSES = 10_000
MAX_BYTES = 256 * 2**20


class ResponseNotFoundError(RequestError):
    """There is no such response, or no more."""

    status = 404


@dataclass(frozen=True, slots=True)
class Stored:
    """A response, and the conversation that it ends."""

    owner: str
    told: bytes
    """The response as JSON."""
    items: Sequence[AnyItem]
    """Of the whole conversation, its output last."""
    items_bytes: int

    @property
    def num_bytes(self) -> int:
        """What it is counted for; items shared with other responses are counted in each."""
        return len(self.told) + self.items_bytes


class ResponseStore:
    """What was answered lately."""

    def __init__(self, *, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._responses: OrderedDict[str, Stored] = OrderedDict()
        self._num_bytes = 0

    def put(self, response_id: str, stored: Stored) -> None:
        """Keep a response while there is room."""
        self._responses[response_id] = stored
        self._num_bytes += stored.num_bytes
        while len(self._responses) > self._max_responses or self._num_bytes > self._max_bytes:
            _, oldest = self._responses.popitem(last=False)
            self._num_bytes -= oldest.num_bytes

    def get(self, response_id: str, *, owner: str) -> Stored:
        """Return a response. Raises: `ResponseNotFoundError`, also for another's."""
        stored = self._responses.get(response_id)
        if stored is None or stored.owner != owner:
            raise ResponseNotFoundError(
                f"there is no response {response_id!r}; this server keeps the latest ones in its"
                " memory, another replica's are not here",
                param="response_id",
                code="response_not_found",
            )
        return stored

    def delete(self, response_id: str, *, owner: str) -> None:
        """Forget a response. Raises: `ResponseNotFoundError`."""
        self._num_bytes -= self.get(response_id, owner=owner).num_bytes
        del self._responses[response_id]
